"""The low-density tail of learned functionals: a smooth way over to a closed form without parameters.

Between the densities `TAIL_START` and `TAIL_END` a learned functional goes over, with three continuous derivatives in
log n, to PBE correlation and PBE exchange with kappa = 0.174, which obeys the Lieb-Oxford bound of `EXCHANGE_BOUND`.
Below, the rules for empty points of `reduced` hold. Networks see constant features beyond the end of the tail, so
that no derivative of any order meets an extreme number there.

Most points that hold electrons lie above the tail. They are evaluated apart from the others (`TailedFunctional`):
without closed form and guards, which cost more than the networks, and in the precision of the networks' weights.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from dixc.functionals.base import PointwiseFunctional, SpinDensity
from dixc.functionals.gga import pbe_enhancement, pbe_gradient
from dixc.functionals.lda import pw92, slater
from dixc.functionals.reduced import Points, Polarisation, SpinPoints

# density, bohr^-3 (of the spin-scaled channel where a functional has channels)
TAIL_START = 1e-5
TAIL_END = 1e-7
EXCHANGE_BOUND = 1.174


class TailSwitch:
    """Where a network counts, by the density of `points`; all (N,).

    Attributes:
        within: points above the end of the tail; None if the points are dense, all of them above its start.
        log_n: log of the density, constant beyond the end of the tail.
        inside: weight of the network, from 0 at the end of the tail to 1 at its start.
    """

    def __init__(self, points: Points):
        self.within = None if points.mask is None else points.n > TAIL_END
        self.log_n = torch.log(self.feature(points.n, TAIL_END))
        if self.within is None:
            return
        depth = (self.log_n - math.log(TAIL_END)) / math.log(TAIL_START / TAIL_END)
        self.inside = _smooth_step(depth)

    def feature(self, value: Tensor, beyond: float) -> Tensor:
        """A feature (N,) that is the constant `beyond` beyond the end of the tail."""
        return value if self.within is None else torch.where(self.within, value, beyond)

    def blend(self, inner: Tensor, closed_form: Callable[[], Tensor]) -> Tensor:
        """From the closed form in the tail to `inner`, (N,)."""
        if self.within is None:
            return inner
        outer = closed_form()
        return outer + self.inside * (inner - outer)


class TailedFunctional(PointwiseFunctional):
    """A learned functional of spin-scaled densities with the tail of this module; points above it are dense."""

    def blended_energy_density(self, density: SpinDensity) -> Tensor:
        """Energy per volume (N,), hartree bohr^-3, with `TailSwitch` deciding about the tail."""
        raise NotImplementedError

    def energy_density(self, density: SpinDensity) -> Tensor:
        lowest = torch.stack([n for n, _, _ in density.channels]).amin(0).detach()
        above = lowest > TAIL_START
        precision = next((p.dtype for p in self.parameters()), None)
        result = torch.zeros_like(density.n)
        for mask, dtype, dense in ((above, precision, True), (~above, None, False)):
            points = torch.nonzero(mask).ravel()
            if len(points):
                energies = self.blended_energy_density(density.part(points, dtype, dense))
                result = result.index_put((points,), energies.to(result.dtype))
        return result


def _smooth_step(t: Tensor) -> Tensor:
    """From 0 (t <= 0) to 1 (t >= 1) with three continuous derivatives."""
    t = t.clamp(0.0, 1.0)
    return t.square().square() * (35 + t * (-84 + t * (70 - 20 * t)))


def exchange_factor(points: Points) -> Tensor:
    """Exchange enhancement over the local density in the tail, (N,)."""
    return pbe_enhancement(points.p, kappa=EXCHANGE_BOUND - 1)


def correlation(points: Points, polarisation: Polarisation, local: Tensor) -> Tensor:
    """Correlation energy per electron in the tail, (N,); `local` is that of the local density."""
    return local + pbe_gradient(points, polarisation, local)


def energy_density(points: SpinPoints) -> Tensor:
    """Exchange-correlation energy per volume of the closed form, (N,), hartree bohr^-3."""
    total, polarisation = points.total, points.polarisation
    exchange = points.spin_mean([slater(c) * exchange_factor(c) for c in points.channels])
    local = pw92(total.rs_sqrt, polarisation)
    return exchange + total.energy(total.n * correlation(total, polarisation, local))

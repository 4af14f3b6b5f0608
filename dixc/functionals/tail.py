"""The low-density tail of learned functionals: a smooth way over to a closed form without parameters.

Between the densities `TAIL_START` and `TAIL_END` a learned functional goes over, with three continuous derivatives in
log n, to PBE correlation and PBE exchange with kappa = 0.174, which obeys the Lieb-Oxford bound of `EXCHANGE_BOUND`.
Below, the rules for empty points of `reduced` hold. Networks see constant features beyond the end of the tail, so
that no derivative of any order meets an extreme number there.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from dixc.functionals.gga import pbe_enhancement, pbe_gradient
from dixc.functionals.lda import pw92, slater
from dixc.functionals.reduced import Points, Polarisation, SpinPoints

TAIL_START, TAIL_END = (
    1e-5,
    1e-7,
)  # density, bohr^-3 (of the spin-scaled channel where a functional has channels)
EXCHANGE_BOUND = 1.174


class TailSwitch:
    """Where a network counts, by the density of `points`; all (N,).

    Attributes:
        within: points above the end of the tail.
        log_n: log of the density, constant beyond the end of the tail.
        inside: weight of the network, from 0 at the end of the tail to 1 at its start.
    """

    def __init__(self, points: Points):
        self.within = points.n > TAIL_END
        self.log_n = torch.log(torch.where(self.within, points.n, TAIL_END))
        depth = (self.log_n - math.log(TAIL_END)) / math.log(TAIL_START / TAIL_END)
        self.inside = _smooth_step(depth)

    def feature(self, value: Tensor, beyond: float) -> Tensor:
        """A feature (N,) that is the constant `beyond` beyond the end of the tail."""
        return torch.where(self.within, value, beyond)

    def blend(self, inner: Tensor, closed_form: Tensor) -> Tensor:
        """From the closed form in the tail to `inner`, (N,)."""
        return closed_form + self.inside * (inner - closed_form)


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

"""Dimensionless variables of a spin density, harmless where there is no density.

Points at or below a cut are replaced by a harmless point (n = tau = 1, sigma = 0) before any power or
division, and their energy is masked to zero afterwards, so that no derivative of any order meets 0/0 there. Where the
caller vouches for every point (`dense`), there is nothing to replace, and half of the work is saved.
Symbols: p = s^2 = sigma / (4 (3 pi^2)^(2/3) n^(8/3)); opz = 1 + zeta and 1 - zeta, one per spin channel.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from dixc.functionals.base import EMPTY_BELOW, P_FACTOR, TAU_FACTOR, SpinDensity

# Largest p and tau / tau_unif; larger input is taken as that. At the cut a molecule has p of about 1e8
# (float64) or 1e4 (float32); the bound only keeps nonsense from overflowing.
LARGEST = {torch.float64: 1e20, torch.float32: 1e6}

RS_FACTOR = (3 / (4 * math.pi)) ** (1 / 3)


def _at_most(value: Tensor, bound: Tensor) -> Tensor:
    # not torch.minimum: its forward-mode derivative bound' + (value' - bound') is rounding for a large bound
    return torch.where(value < bound, value, bound)


class Polarisation:
    """Powers of 1 + zeta and 1 - zeta and what is built from them; plain numbers for a closed shell.

    Args:
        opz: [1 + zeta, 1 - zeta], each (N,) and positive; empty for a closed shell.
    """

    def __init__(self, opz: list[Tensor]):
        self.opz = opz
        self._cbrt = [o ** (1 / 3) for o in opz]

    def mean_power(self, thirds: int) -> Tensor | float:
        """Mean of opz^(thirds/3) over the channels; 1 for a closed shell. thirds in 2, 4, 5, 8."""
        if not self.opz:
            return 1.0
        whole, rest = divmod(thirds, 3)
        terms = [o**whole * c**rest if whole else c**rest for o, c in zip(self.opz, self._cbrt, strict=True)]
        return 0.5 * (terms[0] + terms[1])

    def log_mean_power(self, thirds: int, like: Tensor) -> Tensor:
        """Logarithm of `mean_power`, (N,) as `like`; 0 for a closed shell."""
        power = self.mean_power(thirds)
        return torch.log(power) if isinstance(power, Tensor) else torch.zeros_like(like)

    @property
    def zeta(self) -> Tensor | float:
        return 0.5 * (self.opz[0] - self.opz[1]) if self.opz else 0.0

    @property
    def f(self) -> Tensor | float:
        """Spin interpolation: 0 for a closed shell, 1 for a fully polarised point."""
        return (self.mean_power(4) - 1) / (2 ** (1 / 3) - 1)

    @property
    def phi(self) -> Tensor | float:
        return self.mean_power(2)


class Points:
    """One density with its reduced variables, all (N,).

    Attributes:
        mask: where there is density; `energy` applies it. None where all points are `dense`.
        n, r: density and n^(-1/3); all powers are products of these two, which neither under- nor overflow.
        sigma, p: not there for an LDA.
        tau, tau_unif: kinetic energy density and its uniform-gas value; only there for a meta-GGA.
    """

    sigma: Tensor
    p: Tensor
    tau: Tensor
    tau_unif: Tensor

    def __init__(self, n: Tensor, sigma: Tensor | None, tau: Tensor | None, dense: bool = False):
        self.mask = None if dense else n > EMPTY_BELOW[n.dtype]
        self.n = self.occupied(n, 1.0)
        self.r = self.n ** (-1 / 3)
        if sigma is not None:
            self.sigma = self.bounded(sigma)
            self.p = self.sigma * (self.r_to_8 / P_FACTOR)
        if tau is not None:
            self.tau_unif = TAU_FACTOR * self.n * self.n * self.r
            self.tau = _at_most(self.occupied(tau, 1.0), LARGEST[n.dtype] * self.tau_unif)

    def occupied(self, value: Tensor, empty: float) -> Tensor:
        """`value` with a constant at empty points."""
        return value if self.mask is None else torch.where(self.mask, value, empty)

    def bounded(self, sigma: Tensor) -> Tensor:
        """sigma, zero at empty points and at most what `LARGEST` allows."""
        n43 = self.n * self.n * self.r.square()
        return _at_most(self.occupied(sigma, 0.0), LARGEST[sigma.dtype] * P_FACTOR * n43.square())

    @property
    def r_to_8(self) -> Tensor:
        """n^(-8/3)."""
        return self.r.square().square().square()

    @property
    def rs_sqrt(self) -> Tensor:
        return (RS_FACTOR * self.r).sqrt()

    def energy(self, per_volume: Tensor) -> Tensor:
        """Energy per volume with empty points set to zero."""
        return self.occupied(per_volume, 0.0)

    def alpha(self, eta: float, spin_factor: Tensor | float = 1.0) -> Tensor:
        """(tau - tau_W) / (spin_factor tau_unif + eta tau_W), where tau_W = sigma / 8n (von Weizsaecker)."""
        tau_w = self.sigma / (8 * self.n)
        return (self.tau - tau_w) / (self.tau_unif * spin_factor + eta * tau_w)


class SpinPoints:
    """The total density and the spin channels of a `SpinDensity`; in a closed shell they are the same points.

    Attributes:
        total: the total density.
        channels: `Points` of each spin-scaled channel (2 n_s, 4 sigma_ss, 2 tau_s).
        polarisation: of the total density.
    """

    def __init__(self, density: SpinDensity):
        self.total = Points(density.n, density.sigma, density.tau, density.dense)
        if density.closed_shell:
            self.channels, self.polarisation = [self.total], Polarisation([])
            return
        self.channels = [Points(*channel, density.dense) for channel in density.channels]
        self.polarisation = Polarisation([self._opz(n) for n, _, _ in density.channels])

    def _opz(self, n_channel: Tensor) -> Tensor:
        # 2 n_s / n, not 1 +- zeta, keeps full precision of a minority spin. An empty spin channel would have
        # infinite derivatives; the floor makes them zero there.
        ratio = self.total.occupied(n_channel, 1.0) / self.total.n
        return ratio.clamp(min=torch.finfo(ratio.dtype).eps)

    def spin_mean(self, per_volume: list[Tensor]) -> Tensor:
        """Mean over the channels of an energy per volume of each: exact spin scaling of exchange."""
        masked = [points.energy(e) for points, e in zip(self.channels, per_volume, strict=True)]
        return masked[0] if len(masked) == 1 else 0.5 * (masked[0] + masked[1])

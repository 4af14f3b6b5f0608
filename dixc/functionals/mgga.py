"""r2SCAN exchange and correlation: Furness et al., J. Phys. Chem. Lett. 11, 8208 (2020), libxc's constants.

alpha = (tau - tau_W) / (tau_unif + eta tau_W). Negative alpha (rounding, unphysical input) is in the domain.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from dixc.functionals.gga import PBE_BETA, PBE_GAMMA, t_squared
from dixc.functionals.lda import pw92_with_slope
from dixc.functionals.reduced import Points, Polarisation

ETA = 1e-3
DP4 = 0.361**4
K1, H0X, MU_GE, A1 = 0.065, 1.174, 10 / 81, 4.9479


@dataclass(frozen=True)
class Switch:
    """Interpolation between alpha = 0 (value 1) and alpha = 1 (value 0): exp, polynomial to 2.5, exp."""

    polynomial: tuple[float, ...]  # ascending powers
    c1: float
    c2: float
    d: float

    def slope_at_one(self) -> float:
        return sum(i * c for i, c in enumerate(self.polynomial))

    def __call__(self, alpha: Tensor) -> Tensor:
        low, mid, high = alpha.clamp(max=0.0), alpha.clamp(0.0, 2.5), alpha.clamp(min=2.5)
        value = torch.full_like(alpha, self.polynomial[-1])
        for c in reversed(self.polynomial[:-1]):
            value = value * mid + c
        value = torch.where(alpha < 0, torch.exp(-self.c1 * low / (1 - low)), value)
        return torch.where(alpha > 2.5, -self.d * torch.exp(self.c2 / (1 - high)), value)


SWITCH_X = Switch(
    (1, -0.667, -0.4445555, -0.663086601049, 1.45129704449, -0.887998041597, 0.234528941479, -0.023185843322),
    c1=0.667,
    c2=0.8,
    d=1.24,
)
SWITCH_C = Switch(
    (1, -0.64, -0.4352, -1.535685604549, 3.061560252175, -1.915710236206, 0.516884468372, -0.051848879792),
    c1=0.64,
    c2=1.5,
    d=0.7,
)
# gradient expansion repair of exchange; the polynomial's value at 1 (1e-12, not 0) is part of libxc's number
_GE_X = (20 / 27 + ETA * 5 / 3) * -(SWITCH_X.slope_at_one() + sum(SWITCH_X.polynomial)) * (1 - H0X)


def _gaussian(p: Tensor) -> Tensor:
    """exp(-p^2 / dp2^4), zero to all digits from p = 10 on (the clamp avoids overflow of p^2)."""
    return torch.exp(p.clamp(max=10.0).square() / -DP4)


def r2scan_enhancement(p: Tensor, alpha: Tensor) -> Tensor:
    """r2SCAN exchange enhancement F_x(p, alpha) over the local density."""
    x = (_GE_X * _gaussian(p) + MU_GE) * p
    h1 = 1 + K1 * x / (K1 + x)
    # 1 - exp(-a1 / sqrt(s)) is 1 to all digits below p = 1e-6, where p^(-1/4) would have infinite derivatives
    # (not expm1: torch takes its slope as result + 1, which is all rounding where the result is near -1)
    decay = 1 - torch.exp(-A1 * p.clamp(min=1e-6) ** -0.25)
    return (h1 + SWITCH_X(alpha) * (H0X - h1)) * decay


# single-orbital limit of correlation (that of SCAN)
B1C, B2C, B3C = 0.0285764, 0.0889, 0.125541
CHI, G_CONST = 0.12802585262625815, 2.363 * (2 ** (1 / 3) - 1)


def _single_orbital(rs_sqrt: Tensor, p: Tensor, gc: Tensor | float) -> tuple[Tensor, Tensor, Tensor]:
    """Energy per electron at alpha = 0, its value at p = 0, and the derivative of the latter by rs."""
    denominator = 1 + rs_sqrt * (B2C + rs_sqrt * B3C)
    local = -B1C / denominator
    slope = -local / denominator * (0.5 * B2C / rs_sqrt + B3C)
    g = (1 + 4 * CHI * p) ** -0.25
    h = B1C * torch.log1p(torch.expm1(-local / B1C) * (1 - g))
    return (local + h) * gc, local * gc, slope * gc


def r2scan_correlation(points: Points, polarisation: Polarisation) -> Tensor:
    """r2SCAN correlation energy per electron (N,)."""
    x, p, pol = points.rs_sqrt, points.p, polarisation
    rs, phi, ds = x * x, pol.phi, pol.mean_power(5)
    gc = (1 - G_CONST * pol.f) * (1 - pol.zeta**12)
    e0, local0, slope0 = _single_orbital(x, p, gc)
    local1, slope1 = pw92_with_slope(x, pol)
    depth = PBE_GAMMA * phi**3
    w = torch.expm1(-local1 / depth)
    y = PBE_BETA / PBE_GAMMA * (1 + 0.1 * rs) / (1 + 0.1778 * rs) * t_squared(points, phi) / w
    repair = 20 * rs * (slope0 - slope1) - 45 * ETA * (local0 - local1)
    y = y - SWITCH_C.slope_at_one() / 27 * repair / (ds * depth * w) * p * _gaussian(p)
    e1 = local1 + depth * torch.log1p(w * (1 - (1 + 4 * y) ** -0.25))
    return e1 + SWITCH_C(points.alpha(ETA, ds)) * (e0 - e1)

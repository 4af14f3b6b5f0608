"""Local densities: Slater exchange, Perdew-Wang 92 and Vosko-Wilk-Nusair (RPA) correlation.

Constants are libxc's. Energies per volume (exchange) or per electron (correlation), hartree. x = sqrt(rs).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from dixc.functionals.reduced import Points, Polarisation

SLATER_FACTOR = -0.75 * (3 / math.pi) ** (1 / 3)

# Perdew, Wang, Phys. Rev. B 45, 13244 (1992), with the more precise A of libxc's LDA_C_PW_MOD;
# rows: unpolarised, fully polarised, minus spin stiffness.
PW92 = (
    (0.0310907, 0.21370, (7.5957, 3.5876, 1.6382, 0.49294)),
    (0.01554535, 0.20548, (14.1189, 6.1977, 3.3662, 0.62517)),
    (0.0168869, 0.11125, (10.357, 3.6231, 0.88026, 0.49671)),
)
F_CURVATURE = 8 / (9 * (2 ** (4 / 3) - 2))  # second derivative of the spin interpolation at zeta = 0

# Vosko, Wilk, Nusair, Can. J. Phys. 58, 1200 (1980), fit to the random phase approximation: A, b, c, x0.
VWN_RPA = ((0.0310907, 13.0720, 42.7198, -0.409286), (0.01554535, 20.1231, 101.578, -0.743294))


def slater(points: Points) -> Tensor:
    """Exchange energy per volume of a closed shell (or of a spin-scaled channel)."""
    return SLATER_FACTOR * (points.n * points.r).square()


def _pw92_factors(row: int, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Polynomial, front factor and logarithm of an interpolation function of PW92: the last two's product."""
    a, alpha, (b1, b2, b3, b4) = PW92[row]
    b = x * (b1 + x * (b2 + x * (b3 + x * b4)))
    log = torch.log1p(1 / (2 * a * b))
    return b, -2 * a * (1 + alpha * x * x), log


def _pw92_g(row: int, x: Tensor) -> Tensor:
    """One interpolation function of PW92."""
    _, front, log = _pw92_factors(row, x)
    return front * log


def _pw92_g_with_slope(row: int, x: Tensor) -> tuple[Tensor, Tensor]:
    """The same and its derivative with respect to rs."""
    b, front, log = _pw92_factors(row, x)
    a, alpha, (b1, b2, b3, b4) = PW92[row]
    db = 0.5 * b1 / x + b2 + x * (1.5 * b3 + x * (2 * b4))
    return front * log, -2 * a * alpha * log - front * db / (b * (1 + 2 * a * b))


def _pw92_mix(g: list[Tensor], polarisation: Polarisation) -> Tensor:
    if len(g) == 1:
        return g[0]
    f, zeta4 = polarisation.f, polarisation.zeta**4
    stiffness = g[2] / F_CURVATURE
    return g[0] + f * (zeta4 * (g[1] - g[0] + stiffness) - stiffness)


def pw92(x: Tensor, polarisation: Polarisation) -> Tensor:
    """PW92 correlation energy per electron (N,)."""
    rows = range(3 if polarisation.opz else 1)
    return _pw92_mix([_pw92_g(row, x) for row in rows], polarisation)


def pw92_with_slope(x: Tensor, polarisation: Polarisation) -> tuple[Tensor, Tensor]:
    """PW92 correlation energy per electron and its derivative with respect to rs at fixed zeta."""
    g = [_pw92_g_with_slope(row, x) for row in range(3 if polarisation.opz else 1)]
    return _pw92_mix([v for v, _ in g], polarisation), _pw92_mix([s for _, s in g], polarisation)


def _vwn(row: int, x: Tensor) -> Tensor:
    a, b, c, x0 = VWN_RPA[row]
    q = math.sqrt(4 * c - b * b)
    quadratic = x * x + b * x + c
    shift = b * x0 / (x0 * x0 + b * x0 + c)
    angle = torch.atan(q / (2 * x + b))
    return a * (
        torch.log(x * x / quadratic)
        + (2 * b - shift * 2 * (2 * x0 + b)) / q * angle
        - shift * torch.log((x - x0).square() / quadratic)
    )


def vwn_rpa(x: Tensor, polarisation: Polarisation) -> Tensor:
    """VWN-RPA correlation energy per electron (N,)."""
    unpolarised = _vwn(0, x)
    if not polarisation.opz:
        return unpolarised
    return unpolarised + polarisation.f * (_vwn(1, x) - unpolarised)

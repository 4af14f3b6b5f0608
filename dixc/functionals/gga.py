"""Gradient corrections: PBE exchange and correlation, B88 exchange, LYP correlation, with libxc's constants.

Everything is written in p = s^2, in which all of it is analytic at p = 0 (s has an infinite slope in sigma).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from dixc.functionals.base import P_FACTOR
from dixc.functionals.lda import pw92
from dixc.functionals.reduced import Points, Polarisation, SpinPoints

# Perdew, Burke, Ernzerhof, Phys. Rev. Lett. 77, 3865 (1996), with the digits of libxc
PBE_BETA = 0.06672455060314922
PBE_GAMMA = (1 - math.log(2)) / math.pi**2
PBE_KAPPA = 0.804
PBE_MU = PBE_BETA * math.pi**2 / 3

# Becke, Phys. Rev. A 38, 3098 (1988)
B88_BETA = 0.0042
B88_LDA = 0.375 * (3 / math.pi) ** (1 / 3) * 4 ** (2 / 3)
B88_SERIES_BELOW = 0.01
# x arcsinh(x) = sum_k c_k (x^2)^(k+1)
B88_SERIES = [(-0.25) ** k * math.comb(2 * k, k) / (2 * k + 1) for k in range(9)]

# Lee, Yang, Parr, Phys. Rev. B 37, 785 (1988); form of Miehlich et al., Chem. Phys. Lett. 157, 200 (1989)
LYP_A, LYP_B, LYP_C, LYP_D = 0.04918, 0.132, 0.2533, 0.349
LYP_CF = 0.3 * (3 * math.pi**2) ** (2 / 3)


def pbe_enhancement(p: Tensor, kappa: float = PBE_KAPPA) -> Tensor:
    """PBE exchange enhancement F_x(p) over the local density; it stays below 1 + kappa."""
    scaled = PBE_MU * p
    return 1 + kappa * scaled / (kappa + scaled)


def t_squared(points: Points, phi: Tensor | float) -> Tensor:
    """Reduced gradient of correlation, t^2 = sigma / (16 (3/pi)^(1/3) phi^2 n^(7/3))."""
    factor = P_FACTOR / (16 * (3 / math.pi) ** (1 / 3))
    return points.p * (factor * points.n * points.r.square()) / (phi * phi)


def pbe_gradient(points: Points, polarisation: Polarisation, local: Tensor) -> Tensor:
    """What PBE correlation adds to the local correlation energy per electron `local` (N,); not negative."""
    phi = polarisation.phi
    depth = PBE_GAMMA * phi**3
    w = torch.expm1(-local / depth)
    y = PBE_BETA / PBE_GAMMA * t_squared(points, phi) / w
    y = y * (1 + y)
    return depth * torch.log1p(w * y / (1 + y))


def pbe_correlation(points: Points, polarisation: Polarisation) -> Tensor:
    """PBE correlation energy per electron (N,)."""
    local = pw92(points.rs_sqrt, polarisation)
    return local + pbe_gradient(points, polarisation, local)


def _x_arcsinh(y: Tensor) -> Tensor:
    """x arcsinh(x) as a function of y = x^2; a series near 0, where derivatives of the closed form cancel."""
    small = y < B88_SERIES_BELOW
    x = torch.where(small, 1.0, y).sqrt()
    near = torch.where(small, y, 0.0)
    series = torch.full_like(y, B88_SERIES[-1])
    for c in reversed(B88_SERIES[:-1]):
        series = series * near + c
    return torch.where(small, series * near, x * torch.asinh(x))


def b88_enhancement(p: Tensor) -> Tensor:
    """B88 exchange enhancement over the local density."""
    y = 4 * (6 * math.pi**2) ** (2 / 3) * p  # x^2 of Becke, from the density of one spin
    return 1 + B88_BETA / B88_LDA * y / (1 + 6 * B88_BETA * _x_arcsinh(y))


def lyp(points: SpinPoints, sigma_channels: list[Tensor]) -> Tensor:
    """LYP correlation energy per electron (N,).

    Args:
        points: density of either spin case.
        sigma_channels: 4 sigma_ss of each spin channel (one entry for a closed shell), (N,).
    """
    total, pol = points.total, points.polarisation
    r = total.r
    screen = 1 / (1 + LYP_D * r)
    omega = LYP_B * torch.exp(-LYP_C * r) * screen
    delta = (LYP_C + LYP_D * screen) * r
    # sigma_ss / n^(8/3), so that an empty channel is never divided by
    own = [total.bounded(s) * (0.25 * total.r_to_8) for s in sigma_channels]
    opz: Sequence[Tensor | float] = pol.opz or [1.0]
    product = opz[0] * opz[-1]
    spin_sum = 2 / len(own)  # a closed shell has two equal channels
    sum_own = spin_sum * sum(own)
    sum_weighted = spin_sum * sum(o * z for o, z in zip(own, opz, strict=True))
    sum_crossed = spin_sum * sum(o * z * z for o, z in zip(own, reversed(opz), strict=True))
    gradient = (
        -total.p * P_FACTOR * (product * (47 - 7 * delta) / 72 - 2 / 3)
        + product * (2.5 - delta / 18) / 4 * sum_own
        + product * (delta - 11) / 72 * sum_weighted
        - 2 / 3 * sum_own
        + sum_crossed / 4
    )
    return LYP_A * (-product * screen + omega * (gradient - LYP_CF * product * pol.mean_power(8)))

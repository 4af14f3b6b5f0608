"""Density invariants for tests of functionals, by density, reduced gradient and alpha."""

from __future__ import annotations

import math

import numpy as np
import torch

from dixc.functionals.base import SpinDensity
from dixc.functionals.reduced import P_FACTOR, TAU_FACTOR


def closed_shell(n, s, alpha):
    """Invariants (3, N) with density n, reduced gradient s and (tau - tau_W) / tau_unif = alpha."""
    n, s, alpha = torch.broadcast_tensors(*(torch.as_tensor(v, dtype=torch.float64) for v in (n, s, alpha)))
    sigma = P_FACTOR * s**2 * n ** (8 / 3)
    return torch.stack([n, sigma, sigma / (8 * n) + alpha * TAU_FACTOR * n ** (5 / 3)])


def open_shell(up, down, cosine=0.3):
    """Invariants (7, N) from spin-scaled ones (3, N) of each spin and the angle between the gradients."""
    (n_a, s_a, t_a), (n_b, s_b, t_b) = up, down
    return torch.stack(
        [n_a / 2, n_b / 2, s_a / 4, cosine * (s_a * s_b).sqrt() / 4, s_b / 4, t_a / 2, t_b / 2]
    )


def random_closed(count=300, n_min=1e-9, seed=0):
    rng = np.random.default_rng(seed)
    s, alpha = 10 ** rng.uniform(-3, 1.5, count), 10 ** rng.uniform(-3, 2.5, count)
    return closed_shell(10 ** rng.uniform(math.log10(n_min), 3, count), s, alpha)


def energy_density(functional, x):
    return functional.energy_density(SpinDensity(x, functional.xctype))


def scaled_energy(functional, x0):
    """Function of dimensionless multipliers of x0 (rows, N), in units of the energy at x0 now."""
    unit = energy_density(functional, x0).detach().abs()
    return lambda m: energy_density(functional, x0 * m) / unit

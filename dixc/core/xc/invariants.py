"""Invariants of density rows, and their derivatives: linear maps and their adjoints.

Density rows of `dixc.core.grid` are (..., ns, nvar, N) with ns = 1 (total density of a closed shell) or 2. Invariants
x are quadratic in them: sigma_st = grad n_s . grad n_t, all else is linear. Hence every map here is exact, and none
needs a graph.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor


def _spin_pairs(ns: int) -> list[tuple[int, int]]:
    return [(s, t) for s in range(ns) for t in range(s, ns)]


def invariants(rho: Tensor) -> Tensor:
    """Invariants (rows, N) of density rows (ns, nvar, N)."""
    rows = list(rho[:, 0])
    if rho.shape[-2] > 1:
        rows += [(rho[s, 1:4] * rho[t, 1:4]).sum(0) for s, t in _spin_pairs(len(rho))]
    if rho.shape[-2] > 4:
        rows += list(rho[:, 4])
    return torch.stack(rows)


def invariants_jvp(rho: Tensor, drho: Tensor) -> Tensor:
    """First variation (..., rows, N) of the invariants for variations drho (..., ns, nvar, N)."""
    ns = rho.shape[0]
    rows = [drho[..., s, 0, :] for s in range(ns)]
    if rho.shape[-2] > 1:
        a, b = rho[:, 1:4], drho[..., 1:4, :]
        rows += [(a[s] * b[..., t, :, :] + a[t] * b[..., s, :, :]).sum(-2) for s, t in _spin_pairs(ns)]
    if rho.shape[-2] > 4:
        rows += [drho[..., s, 4, :] for s in range(ns)]
    return torch.stack(rows, dim=-2)


def invariants_curvature(drho: Tensor, cotangent: Tensor) -> Tensor:
    """x''(drho, .)^T cotangent, (..., ns, nvar, N): the part of x'^T cotangent that changes with rho (sigma rows)."""
    ns, nvar = drho.shape[-3], drho.shape[-2]
    # torch.broadcast_shapes would import sympy, two seconds of every process
    batch = np.broadcast_shapes(drho.shape[:-3], cotangent.shape[:-2])
    out = cotangent.new_zeros(*batch, ns, nvar, drho.shape[-1])
    if nvar > 1:
        for row, (s, t) in enumerate(_spin_pairs(ns), start=ns):
            c = cotangent[..., row : row + 1, :]
            out[..., s, 1:4, :] += c * drho[..., t, 1:4, :]
            out[..., t, 1:4, :] += c * drho[..., s, 1:4, :]
    return out


def invariants_second_variation(left: Tensor, right: Tensor) -> Tensor:
    """x''(left, right) (rows, N) of variations (ns, nvar, N): sigma is quadratic in rho, all else is linear."""
    result, ns = invariants_jvp(left, right), len(left)
    result[:ns] = 0
    result[ns + len(_spin_pairs(ns)) :] = 0
    return result


def invariants_vjp(rho: Tensor, cotangent: Tensor) -> Tensor:
    """x'(rho)^T cotangent, (..., ns, nvar, N), for cotangent (..., rows, N)."""
    ns = rho.shape[-3]
    out = invariants_curvature(rho, cotangent)
    out[..., 0, :] = cotangent[..., :ns, :]
    if rho.shape[-2] > 4:
        out[..., 4, :] = cotangent[..., -ns:, :]
    return out

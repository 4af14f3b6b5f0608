"""The kernel of a pointwise functional as a matrix over pairs of occupied and virtual orbitals.

Pairs are in the order of kappa in `dixc.core.state`, (a, i) with i fastest."""

from __future__ import annotations

import numpy as np
import torch
from scipy.linalg.blas import dsyrk, ssyrk

from dixc.core.arrays import Array
from dixc.core.grid import AOGrid

# a column adds less than its square to any element; all left out together some 1e-8 hartree
SMALL_COLUMN = 1e-5


def kernel_matrix(
    grid: AOGrid, fxc: torch.Tensor, orbo: Array, orbv: Array, negligible: float = SMALL_COLUMN
) -> Array:
    """(ia|f_xc|jb) over pairs (a, i), hartree.

    The kernel (nvar, nvar, N) may have fewer rows than the grid. At each point it is diagonalised,
    f = sum_k l_k u_k u_k^T, which makes the matrix a sum of outer products of columns sqrt|l_k| u_k . R_ia of either
    sign: half the work of a general product, and columns in the tails, nowhere larger than `negligible`, are never
    formed. The columns have the precision of the grid.
    """
    rank_update = dsyrk if grid.dtype == torch.float64 else ssyrk
    size = orbo.shape[1] * orbv.shape[1]
    occupied, virtual = grid.tensor(orbo), grid.tensor(orbv)
    values, vectors = torch.linalg.eigh(fxc.permute(2, 0, 1))
    scaled = vectors * values.abs().sqrt()[:, None, :]
    matrix = np.zeros((size, size), order="F", dtype=np.float64 if rank_update is dsyrk else np.float32)
    for block in grid.blocks():
        points, phi_o, phi_v = (
            block.points,
            occupied[block.rows].T @ block.ao,
            virtual[block.rows].T @ block.ao,
        )
        for k in range(len(fxc)):
            direction = scaled[points, :, k].T.to(grid.dtype)
            largest = _largest_column(phi_o, phi_v, direction)
            for sign in (1.0, -1.0):
                large = torch.nonzero((largest > negligible) & (sign * values[points, k] > 0)).ravel()
                if len(large):
                    columns = _pair_columns(phi_o[..., large], phi_v[..., large], direction[:, large])
                    matrix = rank_update(
                        sign, columns.cpu().numpy().T, 1.0, matrix, trans=1, overwrite_c=True
                    )
    matrix = matrix.astype(np.float64)
    return matrix + np.triu(matrix, 1).T


def _largest_column(phi_o: torch.Tensor, phi_v: torch.Tensor, direction: torch.Tensor) -> torch.Tensor:
    """Upper bound (n_points,) for the elements of the columns that `_pair_columns` would form."""
    o, v = phi_o.abs().amax(1), phi_v.abs().amax(1)
    u = direction.abs()
    bound = u[0] * o[0] * v[0]
    if len(u) > 1:
        bound = bound + (u[1:4] * (o[1:] * v[0] + o[0] * v[1:])).sum(0)
    if len(u) > 4:
        bound = bound + 0.5 * u[4] * (o[1:] * v[1:]).sum(0)
    return bound


def _pair_columns(phi_o: torch.Tensor, phi_v: torch.Tensor, direction: torch.Tensor) -> torch.Tensor:
    """sum_x direction_x R_x for the density rows R of all products phi_a phi_i, (n_pairs, n_points)."""
    inner = direction[0] * phi_o[0]
    if len(direction) > 1:
        inner = inner + (direction[1:4, None] * phi_o[1:]).sum(0)
    columns = phi_v[0][:, None] * inner
    if len(direction) > 1:
        columns.addcmul_((direction[1:4, None] * phi_v[1:]).sum(0)[:, None], phi_o[0])
    if len(direction) > 4:
        for k in (1, 2, 3):
            columns.addcmul_(0.5 * direction[4] * phi_v[k][:, None], phi_o[k])
    return columns.flatten(0, 1)

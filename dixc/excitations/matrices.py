"""Dense A + B and A - B of singlet excitations over pairs of occupied and virtual orbitals.

With pairs (i, a) of occupied and virtual canonical orbitals, f the XC kernel of the spin-summed density and a_x the
exact-exchange fraction:
    A + B = (e_a - e_i) + 4 (ia|jb) + 4 (ia|f|jb) - a_x [(ij|ab) + (ib|ja)]
    A - B = (e_a - e_i) + a_x [(ib|ja) - (ij|ab)]
and w^2 are the eigenvalues of (A-B)^(1/2) (A+B) (A-B)^(1/2). All matrices here are indexed by pairs in the order of
kappa in `dixc.grassmann`, (a, i) with i fastest: (n_vir n_occ, n_vir n_occ), hartree.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from pyscf import ao2mo
from scipy.linalg.blas import dsyrk, ssyrk

from dixc.core.grid import AOGrid
from dixc.core.response import xc_response
from dixc.core.xc import XCExpansion, density_kernel
from dixc.errors import InputError
from dixc.functionals import registry
from dixc.grassmann import split_orbitals
from dixc.pyscf.numint import GridNumInt

NEGLIGIBLE_ELECTRONS = 1e-8  # of a grid point; a quarter of the points, together some microhartree
# a column adds less than its square to any element; all left out together some 1e-8 hartree
SMALL_COLUMN = 1e-5


@dataclass(frozen=True)
class Window:
    """Orbitals whose pairs are kept: all of them by default, or those around the gap."""

    orbo: NDArray
    orbv: NDArray
    energy_o: NDArray
    energy_v: NDArray

    @classmethod
    def of(cls, mf, n_occ: int | None = None, n_vir: int | None = None) -> Window:
        """The highest `n_occ` occupied and lowest `n_vir` virtual orbitals of a mean field."""
        orbo, orbv = split_orbitals(mf.mo_coeff, mf.mo_occ)
        energy = np.asarray(mf.mo_energy)
        energy_o, energy_v = energy[mf.mo_occ == 2], energy[mf.mo_occ == 0]
        start = 0 if n_occ is None else max(0, orbo.shape[1] - n_occ)
        return cls(orbo[:, start:], orbv[:, :n_vir], energy_o[start:], energy_v[:n_vir])

    @property
    def differences(self) -> NDArray:
        """e_a - e_i, (n_vir, n_occ)."""
        return self.energy_v[:, None] - self.energy_o


def exchange_fraction(mf) -> float:
    """Exact-exchange fraction of a mean field (1 for Hartree-Fock).

    Raises:
        InputError: range-separated functional.
    """
    if not hasattr(mf, "_numint"):
        return 1.0
    omega, _alpha, hyb = mf._numint.rsh_and_hybrid_coeff(mf.xc, mf.mol.spin)
    if omega != 0:
        raise InputError(f"functional {mf.xc}: range separation is not supported")
    return float(hyb)


def dense_matrices(
    mf, window: Window | None = None, kernel: tuple[AOGrid, torch.Tensor] | None = None
) -> tuple[NDArray, NDArray]:
    """A + B and A - B of any PySCF RHF/RKS or dixc RKS, converged, canonical orbitals.

    Args:
        mf: the mean field.
        window: pairs of the matrices; all of them by default.
        kernel: what `xc_kernel` gives, if it is there already; that of another functional takes the place of the
            mean field's own.

    Returns:
        Two symmetric matrices over pairs, hartree.
    """
    window = window or Window.of(mf)
    plus, minus = integral_matrices(mf, window)
    difference = np.diag(window.differences.ravel())
    if kernel is None and not is_pointwise(mf):
        plus += 4 * _kernel_by_products(mf, window)
    elif (kernel := kernel or xc_kernel(mf)) is not None:
        plus += 4 * kernel_matrix(*kernel, window.orbo, window.orbv)
    return (plus + plus.T) / 2 + difference, (minus + minus.T) / 2 + difference


def integral_matrices(mf, window: Window) -> tuple[NDArray, NDArray]:
    """The parts of A + B and A - B that are two-electron integrals, over the pairs of `window`, hartree."""
    orbo, orbv = window.orbo, window.orbv
    nocc, nvir = orbo.shape[1], orbv.shape[1]
    size = nocc * nvir
    eri = _integrals(mf)
    hybrid = exchange_fraction(mf)
    hartree = ao2mo.general(eri, (orbv, orbo, orbv, orbo), compact=False).reshape(size, size)
    if not hybrid:
        return 4 * hartree, np.zeros((size, size))
    ij_ab = ao2mo.general(eri, (orbo, orbo, orbv, orbv), compact=False).reshape(nocc, nocc, nvir, nvir)
    ij_ab = ij_ab.transpose(2, 0, 3, 1).reshape(size, size)
    ib_ja = hartree.reshape(nvir, nocc, nvir, nocc).transpose(0, 3, 2, 1).reshape(size, size)
    return 4 * hartree - hybrid * (ij_ab + ib_ja), hybrid * (ib_ja - ij_ab)


def _integrals(mf):
    """Two-electron integrals that stay with the mean field if they fit in memory, else the molecule to make them of."""
    if getattr(mf, "_eri", None) is None and getattr(mf, "with_df", None) is None and mf._is_mem_enough():
        mf._eri = mf.mol.intor("int2e", aosym="s8")
    return mf.mol if mf._eri is None else mf._eri


def is_pointwise(mf) -> bool:
    """False for a dixc functional whose kernel couples different points."""
    functional = getattr(mf, "functional", None)
    return functional is None or functional.pointwise


def _kernel_by_products(mf, window: Window) -> NDArray:
    """(ia|f_xc|jb) over the pairs of a window, hartree, one column after the other."""
    occupied, _ = split_orbitals(mf.mo_coeff, mf.mo_occ)
    grid, expansion = mf._numint.expansion(mf.mol, mf.grids, occupied)
    columns = []
    for b, j in np.ndindex(window.differences.shape):
        pair = grid.density_of_pairs(window.orbv[:, [b]], window.orbo[:, [j]])
        half = grid.potential_on_orbitals(xc_response(expansion, pair), window.orbo)
        columns.append((window.orbv.T @ half).ravel() / 2)  # the density of a pair is 2 phi_b phi_j
    return np.array(columns)


def xc_kernel(
    mf, guide: bool = False, dtype: torch.dtype = torch.float32
) -> tuple[AOGrid, torch.Tensor] | None:
    """Grid and second derivatives (nvar, nvar, N) of a pointwise XC energy, weights included; None without XC.

    The grid leaves out points that hold next to no electron. In single precision products and matrices are good to
    some 1e-6 of their norm, in half the time.

    Args:
        dtype: of the orbitals on the grid.
        guide: the kernel of the classical functional that stands in for a dixc functional of the same invariants.
    """
    if not hasattr(mf, "_numint") or mf._numint._xc_type(mf.xc) == "HF":
        return None
    occupied, xctype = mf.mo_coeff[:, mf.mo_occ == 2], mf._numint._xc_type(mf.xc)
    numint = mf._numint if isinstance(mf._numint, GridNumInt) else GridNumInt()
    whole = numint.ao_grid(mf.mol, mf.grids, xctype)
    rho = whole.density_of_orbitals(occupied)
    kept = (rho[0] * whole.points.weights).abs() > NEGLIGIBLE_ELECTRONS
    rho, weights = rho[:, kept], whole.points.weights[kept]
    grid = AOGrid(mf.mol, whole.coords[kept.numpy()], weights.numpy(), xctype, dtype=dtype)
    if guide:
        functional = registry.create(registry.GUIDES[xctype])
        return grid, density_kernel(XCExpansion(functional, rho[None], grid.points, order=2))
    rows = rho[0] if xctype == "LDA" else rho
    fxc = mf._numint.eval_xc_eff(mf.xc, rows.numpy(), deriv=2, xctype=xctype)[2]
    return grid, torch.from_numpy(np.asarray(fxc).reshape(grid.nvar, grid.nvar, -1)) * weights


def kernel_matrix(
    grid: AOGrid, fxc: torch.Tensor, orbo: NDArray, orbv: NDArray, negligible: float = SMALL_COLUMN
) -> NDArray:
    """(ia|f_xc|jb) over pairs (a, i), hartree.

    The kernel (nvar, nvar, N) may have fewer rows than the grid. At each point it is diagonalised,
    f = sum_k l_k u_k u_k^T, which makes the matrix a sum of outer products of columns sqrt|l_k| u_k . R_ia of either
    sign: half the work of a general product, and columns in the tails, nowhere larger than `negligible`, are never
    formed. The columns have the precision of the grid.
    """
    rank_update = dsyrk if grid.dtype == torch.float64 else ssyrk
    size = orbo.shape[1] * orbv.shape[1]
    orbo, orbv = grid.tensor(orbo), grid.tensor(orbv)
    values, vectors = torch.linalg.eigh(fxc.permute(2, 0, 1))
    scaled = vectors * values.abs().sqrt()[:, None, :]
    matrix = np.zeros((size, size), order="F", dtype=np.float64 if rank_update is dsyrk else np.float32)
    for block in grid.blocks():
        points, phi_o, phi_v = block.points, orbo[block.rows].T @ block.ao, orbv[block.rows].T @ block.ao
        for k in range(len(fxc)):
            direction = scaled[points, :, k].T.to(grid.dtype)
            largest = _largest_column(phi_o, phi_v, direction)
            for sign in (1.0, -1.0):
                chosen = torch.nonzero((largest > negligible) & (sign * values[points, k] > 0)).ravel()
                if len(chosen):
                    columns = _pair_columns(phi_o[..., chosen], phi_v[..., chosen], direction[:, chosen])
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

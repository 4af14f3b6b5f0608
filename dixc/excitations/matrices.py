"""Dense A + B and A - B of singlet excitations over pairs of occupied and virtual orbitals.

With pairs (i, a) of occupied and virtual canonical orbitals, f the XC kernel of the spin-summed density and a_x the
exact-exchange fraction:
    A + B = (e_a - e_i) + 4 (ia|jb) + 4 (ia|f|jb) - a_x [(ij|ab) + (ib|ja)]
    A - B = (e_a - e_i) + a_x [(ib|ja) - (ij|ab)]
and w^2 are the eigenvalues of (A-B)^(1/2) (A+B) (A-B)^(1/2). All matrices here are indexed by pairs in the order of
kappa in `dixc.core.state`, (a, i) with i fastest: (n_vir n_occ, n_vir n_occ), hartree.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from pyscf import ao2mo

from dixc.core.grid import NEGLIGIBLE_ELECTRONS, AOGrid
from dixc.core.kernel_matrix import kernel_matrix
from dixc.core.orbitals import split_orbitals
from dixc.core.xc.expansion import XCExpansion, density_kernel
from dixc.functionals import registry
from dixc.pyscf.exchange import exchange_fraction
from dixc.pyscf.numint import GridNumInt

# orbitals on a grid, and second derivatives (nvar, nvar, N) of an XC energy with weights
Kernel = tuple[AOGrid, torch.Tensor]


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


def dense_matrices(mf, window: Window | None = None, kernel: Kernel | None = None) -> tuple[NDArray, NDArray]:
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
        change = expansion.product(pair[None])[0]
        half = grid.potential_on_orbitals(change, window.orbo)
        columns.append((window.orbv.T @ half).ravel() / 2)  # the density of a pair is 2 phi_b phi_j
    return np.array(columns)


def xc_kernel(mf, guide: bool = False, dtype: torch.dtype = torch.float32) -> Kernel | None:
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

"""PySCF's numerical-integration contract, kept by a dixc functional.

PySCF asks a NumInt for three things: XC energies and matrices (`nr_rks`, `nr_uks`), pointwise derivatives
(`eval_xc_eff`, used by nuclear gradients and dense TDDFT matrices), and, through a libxc-like module, what kind of
functional it is. The response is not taken from here but from `gen_response` of `dixc.pyscf.RKS` and `UKS`, which
also serves functionals that are not pointwise. Spin is decided by the rank of the arrays, never by the molecule.

Both kinds of functional, dixc's and libxc's, integrate on the same kept orbitals (`dixc.core.grid`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from pyscf.dft import numint

from dixc.core.grid import NVAR, AOGrid
from dixc.core.xc.expansion import XCExpansion, density_kernel
from dixc.errors import InputError
from dixc.functionals.base import Functional, GridPoints, SpinDensity
from dixc.functionals.identity import display_name

MAX_CACHE_MB = 2000.0
THIRD_DERIVATIVES = (
    "dixc's functionals have derivatives up to second order in PySCF: no gradients of excited states"
)


class LibxcFacade:
    """The part of PySCF's libxc module that mean fields consult, answering for one functional."""

    __name__ = "dixc"
    __version__ = ""
    __reference__ = "arXiv:2606.04279"

    def __init__(self, functional: Functional):
        self.hybrid, self.xctype = functional.exact_exchange, functional.xctype

    def is_hybrid_xc(self, xc_code) -> bool:
        return self.hybrid != 0

    def is_nlc(self, xc_code) -> bool:
        return False

    def xc_type(self, xc_code) -> str:
        return self.xctype

    def max_deriv_order(self, xc_code) -> int:
        return 2

    def test_deriv_order(self, xc_code, deriv: int, raise_error: bool = False) -> bool:
        """Whether there are derivatives of this order.

        Raises:
            InputError: if wanted, because there are none.
        """
        if deriv > 2 and raise_error:
            raise InputError(THIRD_DERIVATIVES)
        return deriv <= 2

    def rsh_coeff(self, xc_code) -> tuple[float, float, float]:
        return 0.0, self.hybrid, 0.0

    def hybrid_coeff(self, xc_code, spin: int = 0) -> float:
        return self.hybrid

    def nlc_coeff(self, xc_code) -> tuple:
        return ()

    def eval_xc(self, *args, **kwargs):
        raise InputError("dixc's functionals answer PySCF's eval_xc_eff, not the older eval_xc")


def _density_rows(rho: NDArray, xctype: str) -> tuple[torch.Tensor, bool]:
    """Density rows (ns, nvar, N) of what PySCF hands to `eval_xc_eff`, and whether they are spin-resolved."""
    nvar = NVAR[xctype]
    spin_resolved_lda = nvar == 1 and rho.ndim == 2 and len(rho) == 2
    polarized = rho.ndim == 3 or spin_resolved_lda
    rows_given = 1 if rho.ndim == 1 or spin_resolved_lda else rho.shape[-2]
    with_laplacian = xctype == "MGGA" and rows_given == nvar + 1
    # for an LDA or GGA PySCF may hand over more than is needed, in the same order
    if rows_given < nvar or (xctype == "MGGA" and rows_given > nvar + 1):
        raise ValueError(f"density of shape {rho.shape}, where a {xctype} has {nvar} rows")
    rho = rho.reshape(2 if polarized else 1, rows_given, rho.shape[-1])
    rho = rho[:, [0, 1, 2, 3, 5]] if with_laplacian else rho[:, :nvar]
    return torch.from_numpy(np.ascontiguousarray(rho)), polarized


class GridNumInt(numint.NumInt):
    """PySCF's integration of the functionals of libxc, on orbitals that are evaluated once instead of at every call."""

    def __init__(self):
        super().__init__()
        self.max_cache_mb = MAX_CACHE_MB
        self._grid: AOGrid | None = None

    def __getstate__(self) -> dict:
        return self.__dict__ | {"_grid": None}  # orbitals on the grid are made again when they are needed

    def ao_grid(self, mol, grids, xctype: str) -> AOGrid:
        """Orbitals on the points of `grids`; kept as long as molecule and points are the same."""
        if grids.coords is None:
            grids.build()
        current = self._grid
        if current is None or current.mol is not mol or current.source is not grids.coords:
            current = AOGrid(mol, grids.coords, grids.weights, xctype, self.max_cache_mb)
            current.source = grids.coords
        self._grid = current.for_xctype(xctype)
        return self._grid

    def share(self, other: GridNumInt) -> None:
        """Use the orbitals on the grid that another one keeps, if it has any."""
        self._grid = other._grid

    def nr_rks(self, mol, grids, xc_code, dms, relativity=0, hermi=1, max_memory=2000, verbose=None):
        """Electron numbers, XC energies and XC matrices of one (nao, nao) or several closed-shell density matrices."""
        xctype = self._xc_type(xc_code)
        if xctype == "HF":
            return super().nr_rks(mol, grids, xc_code, dms, relativity, hermi, max_memory, verbose)
        grid = self.ao_grid(mol, grids, xctype)
        results = [self._integrate(xc_code, grid, rho[None]) for rho in self._densities(grid, dms)]
        n_electrons, energies, matrices = zip(*results, strict=True)
        if np.ndim(dms) == 2:
            return n_electrons[0][0], energies[0], matrices[0][0]
        return np.array(n_electrons)[:, 0], np.array(energies), np.stack(matrices)[:, 0]

    def nr_uks(self, mol, grids, xc_code, dms, relativity=0, hermi=1, max_memory=2000, verbose=None):
        """The same for one pair of spin density matrices (2, nao, nao), or several (2, n, nao, nao)."""
        xctype = self._xc_type(xc_code)
        if xctype == "HF":
            return super().nr_uks(mol, grids, xc_code, dms, relativity, hermi, max_memory, verbose)
        grid = self.ao_grid(mol, grids, xctype)
        spins = numint._format_uks_dm(dms)
        pairs = zip(*(self._densities(grid, dm) for dm in spins), strict=True)
        results = [self._integrate(xc_code, grid, torch.stack(pair)) for pair in pairs]
        n_electrons, energies, matrices = zip(*results, strict=True)
        if np.ndim(spins[0]) == 2:
            return np.array(n_electrons[0]), energies[0], matrices[0]
        return np.array(n_electrons).T, np.array(energies), np.stack(matrices, axis=1)

    def _integrate(self, xc_code, grid: AOGrid, rho: torch.Tensor) -> tuple[list[float], float, NDArray]:
        """Electrons of each spin, XC energy and XC matrices (ns, nao, nao) of density rows (ns, nvar, N)."""
        energy, potential = self._energy_and_potential(xc_code, grid, rho)
        n_electrons = (rho[:, 0] @ grid.points.weights).tolist()
        return n_electrons, energy, grid.potential_matrix(potential)

    def _energy_and_potential(self, xc_code, grid: AOGrid, rho: torch.Tensor) -> tuple[float, torch.Tensor]:
        """XC energy in hartree and dE/drho (ns, nvar, N), weights included."""
        ns, nvar, n_points = rho.shape
        rows = (rho if ns == 2 else rho[0]).numpy()
        rows = rows[..., 0, :] if nvar == 1 else rows
        exc, vxc = self.eval_xc_eff(xc_code, rows, deriv=1, xctype=grid.xctype, spin=ns - 1)[:2]
        weights = grid.points.weights
        energy = float(torch.dot(rho[:, 0].sum(0) * weights, torch.from_numpy(exc)))
        return energy, torch.from_numpy(vxc).reshape(ns, nvar, n_points) * weights

    @staticmethod
    def _densities(grid: AOGrid, dms) -> Iterator[torch.Tensor]:
        """Density rows (nvar, N) of each matrix; from the orbitals that PySCF attached, where that is cheaper."""
        orbitals, occupations = getattr(dms, "mo_coeff", None), getattr(dms, "mo_occ", None)
        # PySCF's guess from an unrestricted checkpoint has occupations of two spins for one set of orbitals
        of_this = np.ndim(dms) == 2 and np.ndim(orbitals) == 2 and np.ndim(occupations) == 1
        if of_this and (occupations >= 0).all():
            occupied = orbitals[:, occupations > 0] * np.sqrt(occupations[occupations > 0] / 2)
            yield grid.density_of_orbitals(occupied)
            return
        for dm in np.reshape(dms, (-1, *np.shape(dms)[-2:])):
            yield grid.density((dm + dm.T) / 2)


class NumInt(GridNumInt):
    """XC energies, matrices and responses of one dixc functional on a mean field's grid."""

    def __init__(self, functional: Functional):
        super().__init__()
        self.functional = functional
        self.libxc = LibxcFacade(functional)

    def _energy_and_potential(self, xc_code, grid: AOGrid, rho: torch.Tensor) -> tuple[float, torch.Tensor]:
        expansion = XCExpansion(self.functional, rho, grid.points, order=1)
        return expansion.energy, expansion.potential

    def expansion(self, mol, grids, orbo: NDArray, spin_resolved: bool = False) -> tuple[AOGrid, XCExpansion]:
        """Second-order expansion around the closed-shell density of orbitals (nao, nocc)."""
        grid = self.ao_grid(mol, grids, self.functional.xctype)
        rho = grid.density_of_orbitals(orbo)[None]
        if spin_resolved:
            rho = torch.cat([rho, rho]) / 2
        return grid, XCExpansion(self.functional, rho, grid.points, order=2)

    def spin_expansion(self, mol, grids, orbitals: Sequence[NDArray]) -> tuple[AOGrid, XCExpansion]:
        """Second-order expansion around the density of the occupied orbitals (nao, n) of each spin."""
        grid = self.ao_grid(mol, grids, self.functional.xctype)
        rho = torch.stack([grid.density_of_orbitals(c) for c in orbitals]) / 2
        return grid, XCExpansion(self.functional, rho, grid.points, order=2)

    def eval_xc_eff(self, xc_code, rho, deriv=1, omega=None, xctype=None, verbose=None, spin=None):
        """Energy per electron and derivatives with respect to density rows, in PySCF's layout; no weights.

        rho is (rows, N) for a closed shell and (2, rows, N) spin-resolved, or (N,) and (2, N) for an LDA, as PySCF has
        it; that alone decides, not `spin`, which PySCF does not always give. Rows are n, its gradient, and for a
        meta-GGA tau as the last one: some callers put the Laplacian before it. Returns [exc, vxc, fxc, kxc] with None
        beyond `deriv` (at most 2).

        Raises:
            InputError: the functional is not pointwise, or third derivatives are wanted.
            ValueError: rows that are not those of the functional.
        """
        if not self.functional.pointwise:
            raise InputError(f"{display_name(self.functional)} is not pointwise: it has no eval_xc_eff")
        if deriv > 2:
            raise InputError(THIRD_DERIVATIVES)
        rho, polarized = _density_rows(np.array(rho, dtype=float), self.functional.xctype)
        ns, nvar, n_points = rho.shape
        grid = GridPoints(torch.ones(n_points, dtype=rho.dtype))
        expansion = XCExpansion(self.functional, rho, grid, order=deriv)
        exc = self._energy_per_electron(expansion, rho[:, 0].sum(0))
        vxc = fxc = None
        if deriv > 0:
            vxc = expansion.potential.numpy()
        if deriv > 1:
            fxc = density_kernel(expansion).reshape(ns, nvar, ns, nvar, n_points).numpy()
        if not polarized:
            vxc = None if vxc is None else vxc[0]
            fxc = None if fxc is None else fxc[0, :, 0]
        return [exc, vxc, fxc, None][:4]

    def _energy_per_electron(self, expansion: XCExpansion, n: torch.Tensor) -> NDArray:
        with torch.no_grad():
            density = self.functional.per_volume(SpinDensity(expansion.x, self.functional.xctype))
        occupied = n > 0
        return torch.where(occupied, density / torch.where(occupied, n, 1.0), 0.0).numpy()

    def _xc_type(self, xc_code):
        return self.functional.xctype

    def rsh_and_hybrid_coeff(self, xc_code, spin=0):
        """(omega, alpha, hyb): no range separation, a fraction of exact exchange."""
        return 0.0, self.functional.exact_exchange, self.functional.exact_exchange

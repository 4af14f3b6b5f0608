"""Lowest singlets of larger molecules by iteration: PySCF's Davidson solvers with dixc's products."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from dixc.core.integrals import FittedIntegrals
from dixc.core.response import occupied_response
from dixc.errors import Unstable
from dixc.excitations.casida import CasidaMatrix, Excitations
from dixc.excitations.matrices import (
    Window,
    exchange_fraction,
    integral_matrices,
    is_pointwise,
    kernel_matrix,
    xc_kernel,
)
from dixc.excitations.problems import Casida, Paired, TammDancoff
from dixc.grassmann import Response

# up to here a hybrid's integrals over pairs are kept: 0.5 GB for each of two matrices
MAX_INTEGRAL_PAIRS = 8000


class ResponseSolver:
    """PySCF's iterative TDDFT and TDA with dixc's products, the low-energy block of A and B treated exactly.

    Trial vectors start from the dense solution over orbitals around the gap, and the preconditioner inverts that block:
    a handful of products a state suffices where a diagonal preconditioner needs dozens. One solver serves both methods
    and several calls; its products work on occupied orbitals (`dixc.grassmann`). Where a functional is not pointwise
    the block has the kernel of a classical one, good enough to start from and to precondition with.

    Args:
        mf: converged PySCF RHF/RKS or dixc RKS, canonical orbitals.
        n_block: size of the exact block, about.
        matrices: A + B and A - B over all pairs, if they are there: then products cost nothing to speak of.
        dtype: of the products' work on the grid where the functional is pointwise; see `xc_kernel`.

    Raises:
        Unstable: no occupied or no virtual orbitals, or an occupied one above a virtual one.

    Attributes:
        differences: e_a - e_i, (n_vir, n_occ), hartree.
        hybrid: fraction of exact exchange.
        block: pairs of the low-energy block, (n,).
        low_plus, low_minus: A + B and A - B in it, hartree.
        tried: vectors (K, n_pairs) and their products with A + B so far.
        n_products: products with A + B (or A) so far.
    """

    def __init__(
        self,
        mf,
        n_block: int = 200,
        matrices: tuple[NDArray, NDArray] | None = None,
        dtype: torch.dtype = torch.float32,
    ):
        self.mf, self.window = mf, Window.of(mf)
        self.differences = self.window.differences
        if not self.differences.size:
            raise Unstable("TDDFT: no excitations without both occupied and virtual orbitals")
        if self.differences.min() <= 0:
            raise Unstable("TDDFT: an occupied orbital lies above a virtual one")
        self.n_products, self.tried = 0, []
        self.hybrid, self._matrices = exchange_fraction(mf), matrices
        nvir, nocc = self.differences.shape
        n_occ = min(nocc, max(2, round(np.sqrt(n_block / 2))))
        n_vir = min(nvir, max(1, n_block // n_occ))
        self.block = np.arange(nvir * nocc).reshape(nvir, nocc)[:n_vir, nocc - n_occ :].ravel()
        if matrices is not None:
            self.low_plus, self.low_minus = (m[np.ix_(self.block, self.block)] for m in matrices)
            return
        self._kernel = xc_kernel(mf, dtype=dtype) if is_pointwise(mf) else None
        exact = is_pointwise(mf) and self.hybrid and getattr(mf, "with_df", None) is None
        small = self.differences.size <= MAX_INTEGRAL_PAIRS
        self._integrals = integral_matrices(mf, self.window) if exact and small else None
        self._response = self._orbital_response()
        self._low_energy_block(Window.of(mf, n_occ, n_vir))

    def _low_energy_block(self, low: Window) -> None:
        if self._integrals is not None:
            self.low_plus, self.low_minus = (m[np.ix_(self.block, self.block)] for m in self._integrals)
        elif self.hybrid:
            self.low_plus, self.low_minus = integral_matrices(self.mf, low)
        else:  # for a start and a preconditioner fitted integrals are good enough
            fitted = FittedIntegrals(self.mf.mol, getattr(self.mf, "with_df", None))
            self.low_plus = 4 * fitted.pairs(low.orbo, low.orbv)
            self.low_minus = np.zeros_like(self.low_plus)
        kernel = self._kernel if is_pointwise(self.mf) else xc_kernel(self.mf, guide=True)
        if kernel is not None:
            self.low_plus = self.low_plus + 4 * kernel_matrix(*kernel, low.orbo, low.orbv)
        difference = np.diag(low.differences.ravel())
        self.low_plus, self.low_minus = (m + difference for m in (self.low_plus, self.low_minus))

    def _orbital_response(self) -> Response:
        """Response on occupied orbitals; a pointwise kernel is contracted to density rows once, for all products."""
        if self._kernel is None and hasattr(self.mf, "orbital_response"):
            return self.mf.orbital_response()
        get_jk = self.mf.get_jk if self._integrals is None else None
        if self._kernel is None:  # Hartree-Fock
            return occupied_response(self.window.orbo, get_jk, self.hybrid)
        grid, fxc = self._kernel

        def kernel_product(rho1: torch.Tensor) -> torch.Tensor:
            return torch.einsum("xyg,kyg->kxg", fxc, rho1)

        return occupied_response(self.window.orbo, get_jk, self.hybrid, grid, kernel_product)

    def plus(self, v: NDArray) -> NDArray:
        """(A + B) v for v (K, n_pairs), hartree."""
        kappa = v.reshape(-1, *self.differences.shape)
        self.n_products += len(kappa)
        if self._matrices is not None:
            return v @ self._matrices[0]
        change = self.window.orbv.T @ self._response(2 * self.window.orbv @ kappa)
        product = (self.differences * kappa + change).reshape(v.shape)
        if self._integrals is not None:
            product += v @ self._integrals[0]
        self.tried.append((v, product))
        return product

    def minus(self, v: NDArray) -> NDArray:
        """(A - B) v for v (K, n_pairs), hartree; diagonal without exact exchange."""
        if self._matrices is not None:
            return v @ self._matrices[1]
        kappa = v.reshape(-1, *self.differences.shape)
        product = self.differences * kappa
        if self._integrals is not None:
            return product.reshape(v.shape) + v @ self._integrals[1]
        if self.hybrid:
            dm = self.window.orbv @ kappa @ self.window.orbo.T
            exchange = self.mf.get_k(dm=dm - dm.transpose(0, 2, 1), hermi=2)
            product = product - self.hybrid * (self.window.orbv.T @ exchange @ self.window.orbo)
        return product.reshape(v.shape)

    def solve(self, n_states: int, method: str, conv_tol: float = 1e-3, max_cycle: int = 60) -> Excitations:
        """Lowest singlets, method "tddft" or "tda", to residual norms below `conv_tol` (hartree).

        Energies are quadratic in the residual: 1e-3 leaves about 1e-6 hartree.
        """
        n_states, pairs = min(n_states, self.differences.size), self.differences.size
        if self._matrices is not None and pairs <= 2 * len(self.block):
            return CasidaMatrix(*self._matrices).solve(self.differences.shape, n_states, method)
        solution = self._problem(method).solve(n_states, conv_tol, max_cycle)
        if len(solution[0]) < n_states:
            raise Unstable(f"TDDFT: only {len(solution[0])} of {n_states} roots are real and positive")
        return Excitations(*solution)

    def _problem(self, method: str) -> TammDancoff:
        if method == "tda":
            return TammDancoff(self)
        if not self.hybrid:
            return Casida(self)
        if self._matrices is not None:
            return Casida(self, self._matrices[1])
        if self._integrals is None:
            return Paired(self)
        return Casida(self, self._integrals[1] + np.diag(self.differences.ravel()))

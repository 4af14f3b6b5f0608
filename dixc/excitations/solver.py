"""Lowest singlets of larger molecules by iteration: PySCF's Davidson solver with dixc's products."""

from __future__ import annotations

import numpy as np
import scipy.linalg
import torch
from numpy.typing import NDArray
from pyscf import tdscf

from dixc.errors import UserError
from dixc.excitations.casida import CasidaMatrix, Excitations
from dixc.excitations.matrices import (
    Window,
    classical_kernel,
    dense_matrices,
    exchange_fraction,
    integral_matrices,
    is_pointwise,
    xc_kernel,
)
from dixc.grassmann import Response
from dixc.grid import AOGrid
from dixc.response import occupied_response

NEGLIGIBLE_ELECTRONS = 1e-8  # of a grid point, see _screened
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
        dtype: of the products' work on the grid where the functional is pointwise; see `_screened`.

    Attributes:
        n_products: products with A + B (or A) so far.
    """

    def __init__(self, mf, n_block: int = 200, dtype: torch.dtype = torch.float32):
        self.mf, self.window, self._dtype = mf, Window.of(mf), dtype
        self.differences = self.window.differences
        if self.differences.min() <= 0:
            raise UserError("TDDFT: an occupied orbital lies above a virtual one")
        self.n_products = 0
        self._hybrid = exchange_fraction(mf)
        self._kernel = xc_kernel(mf) if is_pointwise(mf) else None
        exact = is_pointwise(mf) and self._hybrid and getattr(mf, "with_df", None) is None
        small = self.differences.size <= MAX_INTEGRAL_PAIRS
        self._integrals = integral_matrices(mf, self.window) if exact and small else None
        self._response = self._orbital_response()
        nvir, nocc = self.differences.shape
        n_occ = min(nocc, max(2, round(np.sqrt(n_block / 2))))
        n_vir = min(nvir, max(1, n_block // n_occ))
        self._block = np.arange(nvir * nocc).reshape(nvir, nocc)[:n_vir, nocc - n_occ :].ravel()
        self._low = Window.of(mf, n_occ, n_vir)
        kernel = self._kernel if is_pointwise(mf) else classical_kernel(mf)
        self._plus, self._minus = dense_matrices(mf, self._low, kernel)
        self._tried: list[tuple[NDArray, NDArray]] = []
        self._low_values, self._low_vectors = scipy.linalg.eigh((self._plus + self._minus) / 2)

    def _orbital_response(self) -> Response:
        """Response on occupied orbitals; a pointwise kernel is contracted to density rows once, for all products."""
        if self._kernel is None and hasattr(self.mf, "orbital_response"):
            return self.mf.orbital_response()
        get_jk = self.mf.get_jk if self._integrals is None else None
        if self._kernel is None:  # Hartree-Fock
            return occupied_response(self.window.orbo, get_jk, self._hybrid)
        grid, fxc = _screened(*self._kernel, self.mf.make_rdm1(), self._dtype)

        def kernel_product(rho1: torch.Tensor) -> torch.Tensor:
            return torch.einsum("xyg,kyg->kxg", fxc, rho1)

        return occupied_response(self.window.orbo, get_jk, self._hybrid, grid, kernel_product)

    def plus(self, v: NDArray) -> NDArray:
        """(A + B) v for v (K, n_pairs), hartree."""
        kappa = v.reshape(-1, *self.differences.shape)
        self.n_products += len(kappa)
        change = self.window.orbv.T @ self._response(2 * self.window.orbv @ kappa)
        product = (self.differences * kappa + change).reshape(v.shape)
        if self._integrals is not None:
            product += v @ self._integrals[0]
        self._tried.append((v, product))
        return product

    def minus(self, v: NDArray) -> NDArray:
        """(A - B) v for v (K, n_pairs), hartree; diagonal without exact exchange."""
        kappa = v.reshape(-1, *self.differences.shape)
        product = self.differences * kappa
        if self._integrals is not None:
            return product.reshape(v.shape) + v @ self._integrals[1]
        if self._hybrid:
            dm = self.window.orbv @ kappa @ self.window.orbo.T
            exchange = self.mf.get_k(dm=dm - dm.transpose(0, 2, 1), hermi=2)
            product = product - self._hybrid * (self.window.orbv.T @ exchange @ self.window.orbo)
        return product.reshape(v.shape)

    def _precondition(self, residual: NDArray, energy) -> NDArray:
        """(A - w)^-1 residual, A diagonal outside of the low-energy block; residual (K, n_pairs), w (K,)."""
        energy = np.broadcast_to(np.ravel(energy), len(residual))[:, None]
        result = residual / _away_from_zero(self.differences.ravel() - energy)
        inner = residual[:, self._block] @ self._low_vectors / _away_from_zero(self._low_values - energy)
        result[:, self._block] = inner @ self._low_vectors.T
        return result

    def _start(self, n_states: int, method: str) -> tuple[NDArray, NDArray]:
        """X and Y (n, n_pairs) to start from.

        Where products with A + B are there from an earlier call and A - B is diagonal, the best TDA states in their
        span cost nothing; else the lowest states of the low-energy block.
        """
        if method == "tda" and self._tried and not self._hybrid:
            trial = np.concatenate([v for v, _ in self._tried])
            product = np.concatenate([p for _, p in self._tried]) + self.differences.ravel() * trial
            basis, triangle = np.linalg.qr(trial.T)
            kept = np.abs(triangle.diagonal()) > 1e-6 * np.abs(triangle.diagonal()).max()
            inverse = np.linalg.pinv(triangle)
            projected = basis.T @ (product.T / 2) @ inverse
            projected = projected[np.ix_(kept, kept)]
            _, vectors = scipy.linalg.eigh((projected + projected.T) / 2)
            x = (basis[:, kept] @ vectors[:, :n_states]).T
            return x, np.zeros_like(x)
        low = CasidaMatrix(self._plus, self._minus).solve(self._low.differences.shape, n_states, method)
        x = np.zeros((len(low.energies), self.differences.size))
        y = np.zeros_like(x)
        plus = low.amplitudes.reshape(len(x), -1)
        minus = plus if method == "tda" else plus @ self._plus / low.energies[:, None]
        x[:, self._block], y[:, self._block] = (plus + minus) / 2, (plus - minus) / 2
        return x, y

    def solve(self, n_states: int, method: str, conv_tol: float = 1e-3, max_cycle: int = 60) -> Excitations:
        """Lowest singlets, method "tddft" or "tda", to residual norms below `conv_tol` (hartree).

        Energies are quadratic in the residual: 1e-3 leaves about 1e-6 hartree.
        """
        n_states = min(n_states, self.differences.size)
        x, y = self._start(min(n_states + 1, len(self._block)), method)
        solver = tdscf.rks.TDA(self.mf) if method == "tda" else tdscf.rks.TDDFT(self.mf)
        solver.verbose, solver.conv_tol, solver.max_cycle = 0, conv_tol, max_cycle
        size = self.differences.size

        def product_tda(v: NDArray) -> NDArray:
            v = np.reshape(v, (-1, size))
            return (self.plus(v) + self.minus(v)) / 2

        def product_tddft(xy: NDArray) -> NDArray:
            xy = np.reshape(xy, (-1, 2 * size))
            plus = self.plus(xy[:, :size] + xy[:, size:])
            minus = self.minus(xy[:, :size] - xy[:, size:])
            return np.hstack([plus + minus, minus - plus]) / 2

        def precondition_tda(residual: NDArray, energy, *_) -> NDArray:
            rows = np.reshape(residual, (-1, size))
            return self._precondition(rows, energy).reshape(np.shape(residual))

        def precondition_tddft(residual: NDArray, energy, *_) -> NDArray:
            left, right = residual[:, :size], residual[:, size:]
            energy = np.asarray(energy)
            return np.hstack([self._precondition(left, energy), self._precondition(right, -energy)])

        product, precondition = (
            (product_tda, precondition_tda) if method == "tda" else (product_tddft, precondition_tddft)
        )
        solver.gen_vind = lambda *_: (product, self.differences.ravel())
        solver.get_precond = lambda *_: precondition
        solver.kernel(x0=x if method == "tda" else np.hstack([x, y]), nstates=n_states)
        if len(solver.e) < n_states:
            raise UserError(f"TDDFT: only {len(solver.e)} of {n_states} roots are real and positive")
        amplitudes = np.array([np.sqrt(2) * (np.asarray(x) + y) for x, y in solver.xy])
        return Excitations(
            np.asarray(solver.e),
            amplitudes.reshape(n_states, *self.differences.shape),
            np.asarray(solver.converged),
        )


def _screened(
    grid: AOGrid, fxc: torch.Tensor, dm: NDArray, dtype: torch.dtype
) -> tuple[AOGrid, torch.Tensor]:
    """Grid and kernel for products in a precision, without points that hold next to no electron.

    In float32 products are good to some 1e-6 of their norm, far inside the solver's threshold, in half the time.
    """
    density = grid.density(dm)[0]
    kept = (density * grid.points.weights).abs() > NEGLIGIBLE_ELECTRONS
    weights, coords = grid.points.weights[kept].numpy(), grid.coords[kept.numpy()]
    return AOGrid(grid.mol, coords, weights, grid.xctype, dtype=dtype), fxc[..., kept]


def _away_from_zero(values: NDArray, floor: float = 1e-3) -> NDArray:
    return np.where(np.abs(values) < floor, floor, values)

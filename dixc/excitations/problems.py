"""The eigenvalue problems of excitation energies, each with product, preconditioner and start, for Davidson's method.

    Tamm-Dancoff    A X = w X
    Casida          L^T (A+B) L Z = w^2 Z with A - B = L L^T and X + Y = L Z w^-1/2. Without exact exchange A - B is
                    diagonal; with it the Cholesky factor is taken of the matrix over all pairs
    paired          [[A, B], [-B, -A]] (X, Y) = w (X, Y), where that matrix is too large: twice as many products

All of them treat the low-energy block of A and B exactly (`dixc.excitations.solver`). Vectors are (K, n_pairs) in the
order of kappa, (a, i) with i fastest, energies in hartree.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Protocol

import numpy as np
import scipy.linalg
from numpy.typing import NDArray
from pyscf import lib, tdscf

from dixc.excitations.casida import CasidaMatrix

# energies X + Y (n, n_vir, n_occ) with X^2 - Y^2 = 1, and one flag a state
Solution = tuple[NDArray, NDArray, NDArray]


class Products(Protocol):
    """What a problem asks of a solver; see `dixc.excitations.solver.ResponseSolver`."""

    mf: object
    differences: NDArray
    hybrid: float
    block: NDArray
    low_plus: NDArray
    low_minus: NDArray
    tried: list[tuple[NDArray, NDArray]]

    def plus(self, v: NDArray) -> NDArray:
        """(A + B) v for v (K, n_pairs)."""

    def minus(self, v: NDArray) -> NDArray:
        """(A - B) v for v (K, n_pairs)."""


class Problem(ABC):
    """An eigenvalue problem over pairs.

    Args:
        solver: gives products and the low-energy block.
        low_values, low_vectors: eigenvalues (n,) and eigenvectors (n, n) of the problem in that block.
    """

    def __init__(self, solver: Products, low_values: NDArray, low_vectors: NDArray):
        self.solver, self.block = solver, solver.block
        self.differences = solver.differences.ravel()
        self.low_values, self.low_vectors = low_values, low_vectors

    @abstractmethod
    def solve(self, n_states: int, conv_tol: float, max_cycle: int) -> Solution:
        """Lowest states to residual norms below `conv_tol`, hartree."""

    @abstractmethod
    def product(self, v: NDArray) -> NDArray:
        """The matrix on vectors."""

    @abstractmethod
    def precondition(self, residual: NDArray, value: float) -> NDArray:
        """Approximate inverse of the matrix minus `value`."""

    @abstractmethod
    def start(self, count: int) -> NDArray:
        """Vectors to start from."""

    def davidson(self, n_states: int, conv_tol: float, max_cycle: int) -> Solution:
        """Lowest eigenvalues of the matrix, which is symmetric, vectors (n, n_vir, n_occ), and one flag a state."""
        converged, values, vectors = lib.davidson1(
            lambda rows: self.product(np.array(rows)),
            list(self.start(n_states + 1)),
            lambda residual, value, *_: self.precondition(residual, value),
            tol=conv_tol**2,
            tol_residual=conv_tol,
            nroots=n_states,
            max_cycle=max_cycle,
            max_space=20 + 4 * n_states,
            verbose=0,
        )
        shape = (-1, *self.solver.differences.shape)
        return np.asarray(values), np.reshape(vectors, shape), np.asarray(converged, dtype=bool)

    def shifted_inverse(self, residual: NDArray, value: float | NDArray) -> NDArray:
        """Approximate inverse of A minus `value`: diagonal, but for the block."""
        result = residual / _away_from_zero(self.differences - value)
        inner = residual[..., self.block] @ self.low_vectors / _away_from_zero(self.low_values - value)
        result[..., self.block] = inner @ self.low_vectors.T
        return result

    def in_all_pairs(self, low: NDArray) -> NDArray:
        """Vectors (K, n_pairs) that are `low` (K, n) in the block and zero outside."""
        vectors = np.zeros((len(low), self.differences.size))
        vectors[:, self.block] = low
        return vectors


class TammDancoff(Problem):
    """A X = w X."""

    def __init__(self, solver: Products):
        super().__init__(solver, *_low_energy_states(solver))

    def solve(self, n_states: int, conv_tol: float, max_cycle: int) -> Solution:
        return self.davidson(n_states, conv_tol, max_cycle)

    def product(self, v: NDArray) -> NDArray:
        return (self.solver.plus(v) + self.solver.minus(v)) / 2

    def precondition(self, residual: NDArray, value: float) -> NDArray:
        return self.shifted_inverse(residual, value)

    def start(self, count: int) -> NDArray:
        """Vectors to start from.

        Where products with A + B are there from an earlier call and A - B is diagonal, the best states in their span
        cost nothing; else the lowest states of the low-energy block.
        """
        tried = self.solver.tried
        if not tried or self.solver.hybrid:
            return self.in_all_pairs(self.low_vectors[:, :count].T)
        trial = np.concatenate([v for v, _ in tried])
        product = np.concatenate([p for _, p in tried]) + self.differences * trial
        basis, triangle = np.linalg.qr(trial.T)
        size = np.abs(triangle.diagonal())
        kept = size > 1e-6 * size.max()
        projected = (basis.T @ (product.T / 2) @ np.linalg.pinv(triangle))[np.ix_(kept, kept)]
        _, vectors = scipy.linalg.eigh((projected + projected.T) / 2)
        return (basis[:, kept] @ vectors[:, :count]).T


class Casida(Problem):
    """The symmetric problem for w^2.

    Args:
        minus: A - B over all pairs, where it is not diagonal.
    """

    def __init__(self, solver: Products, minus: NDArray | None = None):
        low_root = np.linalg.cholesky(solver.low_minus)
        low_values, vectors = scipy.linalg.eigh(low_root.T @ solver.low_plus @ low_root)
        super().__init__(solver, low_values, low_root @ vectors)  # X + Y of the block, but for w^-1/2
        self.root = np.sqrt(self.differences) if minus is None else np.linalg.cholesky(minus)

    def solve(self, n_states: int, conv_tol: float, max_cycle: int) -> Solution:
        squares, vectors, converged = self.davidson(
            n_states, 2 * conv_tol * np.sqrt(abs(self.low_values[0])), max_cycle
        )
        if squares.min() <= 0:
            return squares[squares > 0], vectors[squares > 0], converged[squares > 0]
        energies = np.sqrt(squares)
        amplitudes = self._times_root(vectors.reshape(len(energies), -1)) / np.sqrt(energies)[:, None]
        return energies, amplitudes.reshape(vectors.shape), converged

    def product(self, v: NDArray) -> NDArray:
        return self._times_root(self.solver.plus(self._times_root(v)), transposed=True)

    def precondition(self, residual: NDArray, value: float) -> NDArray:
        """L^-1 [A + B - w^2 (A - B)^-1]^-1 L^-T, the bracket taken as diagonal, but for the block."""
        rows = self._over_root(residual, transposed=True)
        result = rows / _away_from_zero(self.differences - value / self.differences)
        inner = rows[..., self.block] @ self.low_vectors / _away_from_zero(self.low_values - value)
        result[..., self.block] = inner @ self.low_vectors.T
        return self._over_root(result)

    def start(self, count: int) -> NDArray:
        return self._over_root(self.in_all_pairs(self.low_vectors[:, :count].T))

    def _times_root(self, rows: NDArray, transposed: bool = False) -> NDArray:
        """L (or L^T) on each row."""
        if self.root.ndim == 1:
            return rows * self.root
        return rows @ (self.root if transposed else self.root.T)

    def _over_root(self, rows: NDArray, transposed: bool = False) -> NDArray:
        """L^-1 (or L^-T) on each row."""
        if self.root.ndim == 1:
            return rows / self.root
        return scipy.linalg.solve_triangular(
            self.root, rows.T, lower=True, trans="T" if transposed else "N"
        ).T


class Paired(Problem):
    """X and Y side by side, (K, 2 n_pairs), by PySCF's solver for that problem."""

    def __init__(self, solver: Products):
        super().__init__(solver, *_low_energy_states(solver))

    def solve(self, n_states: int, conv_tol: float, max_cycle: int) -> Solution:
        solver = tdscf.rks.TDDFT(self.solver.mf)
        solver.verbose, solver.conv_tol, solver.max_cycle = 0, conv_tol, max_cycle
        solver.gen_vind = lambda *_: (self.product, self.differences)
        solver.get_precond = lambda *_: self.precondition
        solver.kernel(x0=self.start(n_states + 1), nstates=n_states)
        amplitudes = [np.sqrt(2) * np.reshape(x + y, self.solver.differences.shape) for x, y in solver.xy]
        return np.asarray(solver.e), np.array(amplitudes), np.asarray(solver.converged, dtype=bool)

    def product(self, v: NDArray) -> NDArray:
        x, y = self._halves(v)
        plus, minus = self.solver.plus(x + y), self.solver.minus(x - y)
        return np.hstack([plus + minus, minus - plus]) / 2

    def precondition(self, residual: NDArray, value, *_) -> NDArray:
        x, y = self._halves(residual)
        energy = np.broadcast_to(np.ravel(value), len(x))[:, None]
        return np.hstack([self.shifted_inverse(x, energy), self.shifted_inverse(y, -energy)])

    def start(self, count: int) -> NDArray:
        solver = self.solver
        low = CasidaMatrix(solver.low_plus, solver.low_minus).solve((len(self.block), 1), count, "tddft")
        plus = low.amplitudes[..., 0]
        minus = plus @ solver.low_plus / low.energies[:, None]
        return np.hstack([self.in_all_pairs(half) for half in ((plus + minus) / 2, (plus - minus) / 2)])

    def _halves(self, v: NDArray) -> tuple[NDArray, NDArray]:
        v = np.reshape(v, (-1, 2, self.differences.size))
        return v[:, 0], v[:, 1]


def _low_energy_states(solver: Products) -> tuple[NDArray, NDArray]:
    """Eigenvalues and eigenvectors of A in the low-energy block."""
    return scipy.linalg.eigh((solver.low_plus + solver.low_minus) / 2)


def _away_from_zero(values: NDArray, floor: float = 1e-3) -> NDArray:
    return np.where(np.abs(values) < floor, floor, values)

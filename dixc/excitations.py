"""Singlet excitation energies: dense Casida matrices, and an iterative solver for larger molecules.

With pairs (i, a) of occupied and virtual canonical orbitals, f the XC kernel of the spin-summed density and a_x the
exact-exchange fraction:
    A + B = (e_a - e_i) + 4 (ia|jb) + 4 (ia|f|jb) - a_x [(ij|ab) + (ib|ja)]
    A - B = (e_a - e_i) + a_x [(ib|ja) - (ij|ab)]
and w^2 are the eigenvalues of (A-B)^(1/2) (A+B) (A-B)^(1/2). All matrices here are indexed by pairs in the order of
kappa in `dixc.grassmann`, (a, i) with i fastest: (n_vir n_occ, n_vir n_occ), hartree.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import scipy.linalg
import torch
from numpy.typing import NDArray
from pyscf import ao2mo, tdscf
from scipy.linalg.blas import dsyrk

from dixc.errors import UserError
from dixc.grassmann import Response, split_orbitals
from dixc.grid import AOGrid

BLOCK_MB = 200.0
SMALL_COLUMN = (
    1e-5  # a column adds less than its square to any element; all left out together some 1e-8 hartree
)


@dataclass(frozen=True)
class Excitations:
    """Lowest singlets.

    Attributes:
        energies: (n_states,), hartree, ascending.
        amplitudes: X + Y (n_states, n_vir, n_occ) scaled so that X^2 - Y^2 = 1 (X alone in the Tamm-Dancoff case).
        converged: one flag a state.
    """

    energies: NDArray
    amplitudes: NDArray
    converged: NDArray


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
        UserError: range-separated functional.
    """
    if not hasattr(mf, "_numint"):
        return 1.0
    omega, _alpha, hyb = mf._numint.rsh_and_hybrid_coeff(mf.xc, mf.mol.spin)
    if omega != 0:
        raise UserError(f"functional {mf.xc}: range separation is not supported")
    return float(hyb)


def dense_matrices(mf, window: Window | None = None) -> tuple[NDArray, NDArray]:
    """A + B and A - B of any PySCF RHF/RKS or dixc RKS (pointwise functionals), converged, canonical orbitals.

    Returns:
        Two symmetric matrices over the pairs of `window` (all pairs by default), hartree.
    """
    window = window or Window.of(mf)
    orbo, orbv = window.orbo, window.orbv
    nocc, nvir = orbo.shape[1], orbv.shape[1]
    size = nocc * nvir
    eri = mf._eri if getattr(mf, "_eri", None) is not None else mf.mol
    hybrid = exchange_fraction(mf)
    difference = np.diag(window.differences.ravel())
    hartree = ao2mo.general(eri, (orbv, orbo, orbv, orbo), compact=False).reshape(size, size)
    plus = difference + 4 * hartree
    minus = difference
    if hybrid:
        ij_ab = ao2mo.general(eri, (orbo, orbo, orbv, orbv), compact=False).reshape(nocc, nocc, nvir, nvir)
        ij_ab = ij_ab.transpose(2, 0, 3, 1).reshape(size, size)
        ib_ja = hartree.reshape(nvir, nocc, nvir, nocc).transpose(0, 3, 2, 1).reshape(size, size)
        plus = plus - hybrid * (ij_ab + ib_ja)
        minus = minus + hybrid * (ib_ja - ij_ab)
    kernel = xc_kernel(mf)
    if kernel is not None:
        plus += 4 * kernel_matrix(*kernel, orbo, orbv)
    return (plus + plus.T) / 2, (minus + minus.T) / 2


def xc_kernel(mf) -> tuple[AOGrid, torch.Tensor] | None:
    """Grid and second derivatives (nvar, nvar, N) of a pointwise XC energy, weights included; None without XC."""
    if not hasattr(mf, "_numint"):
        return None
    numint, occupied = mf._numint, mf.mo_coeff[:, mf.mo_occ == 2]
    xctype = numint._xc_type(mf.xc)
    if xctype == "HF":
        return None
    grid = AOGrid(mf.mol, mf.grids.coords, mf.grids.weights, xctype)
    rho = grid.density_of_pairs(occupied, occupied)
    rows = rho[0] if xctype == "LDA" else rho
    fxc = numint.eval_xc_eff(mf.xc, rows.numpy(), deriv=2, xctype=xctype)[2]
    fxc = torch.from_numpy(np.asarray(fxc).reshape(grid.nvar, grid.nvar, -1))
    return grid, fxc * grid.points.weights


def kernel_matrix(grid: AOGrid, fxc: torch.Tensor, orbo: NDArray, orbv: NDArray) -> NDArray:
    """(ia|f_xc|jb) over pairs (a, i), hartree.

    At each point the kernel is diagonalised, f = sum_k l_k u_k u_k^T, which makes the matrix a sum of outer products of
    columns sqrt|l_k| u_k . R_ia of either sign: half the work of a general product, and columns in the tails, too small
    to matter, are never formed.
    """
    size = orbo.shape[1] * orbv.shape[1]
    orbo, orbv = grid.tensor(orbo), grid.tensor(orbv)
    values, vectors = torch.linalg.eigh(fxc.permute(2, 0, 1))
    scaled = vectors * values.abs().sqrt()[:, None, :]
    matrix = np.zeros((size, size), order="F")
    step = max(64, int(BLOCK_MB * 1e6 / (24 * size)))
    for points, ao in grid.blocks():
        phi_o, phi_v = orbo.T @ ao, orbv.T @ ao
        for k in range(grid.nvar):
            direction = scaled[points, :, k].T
            largest = _largest_column(phi_o, phi_v, direction)
            for sign in (1.0, -1.0):
                chosen = torch.nonzero((largest > SMALL_COLUMN) & (sign * values[points, k] > 0)).ravel()
                for part in chosen.split(step) if len(chosen) else ():
                    columns = _pair_columns(phi_o[..., part], phi_v[..., part], direction[:, part])
                    matrix = dsyrk(sign, columns.numpy().T, 1.0, matrix, trans=1, overwrite_c=True)
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


class CasidaMatrix:
    """Dense singlet excitations from A + B and A - B.

    Args:
        plus, minus: symmetric (n_pairs, n_pairs), hartree.
    """

    def __init__(self, plus: NDArray, minus: NDArray):
        self.plus, self.minus = plus, minus

    @cached_property
    def _root(self) -> NDArray:
        return matrix_sqrt(self.minus)

    @cached_property
    def _squares(self) -> NDArray:
        return self._root @ self.plus @ self._root

    def all_energies(self) -> NDArray:
        """Every excitation energy of the full problem, ascending, hartree."""
        return np.sqrt(self._stable(scipy.linalg.eigvalsh(self._squares)))

    def solve(self, shape: tuple[int, int], n_states: int, method: str) -> Excitations:
        """Lowest singlets for kappa of this shape; method "tddft" (full Casida) or "tda"."""
        n_states = min(n_states, len(self.plus))
        lowest = (0, n_states - 1)
        if method == "tda":
            energies, vectors = scipy.linalg.eigh((self.plus + self.minus) / 2, subset_by_index=lowest)
            amplitudes = vectors.T
        else:
            squares, vectors = scipy.linalg.eigh(self._squares, subset_by_index=lowest)
            energies = np.sqrt(self._stable(squares))
            amplitudes = (self._root @ vectors).T / np.sqrt(energies)[:, None]
        return Excitations(energies, amplitudes.reshape(-1, *shape), np.ones(n_states, dtype=bool))

    @staticmethod
    def _stable(squares: NDArray) -> NDArray:
        if squares[0] <= 0:
            raise UserError(f"TDDFT: the ground state is unstable (lowest w^2 = {squares[0]:.3g} hartree^2)")
        return squares


def matrix_sqrt(matrix: NDArray) -> NDArray:
    """Square root of a symmetric positive matrix; cheap for a diagonal one.

    Raises:
        UserError: not positive, so that the Casida equation has no real square root.
    """
    diagonal = matrix.diagonal()
    if np.count_nonzero(matrix - np.diag(diagonal)) == 0:
        values, vectors = diagonal, None
    else:
        values, vectors = scipy.linalg.eigh(matrix)
    if values.min() <= 0:
        raise UserError(f"TDDFT: A - B is not positive (lowest eigenvalue {values.min():.3g} hartree)")
    return np.diag(np.sqrt(values)) if vectors is None else (vectors * np.sqrt(values)) @ vectors.T


class ResponseSolver:
    """PySCF's iterative TDDFT and TDA with dixc's products, the low-energy block of A and B treated exactly.

    Trial vectors start from the dense solution over orbitals around the gap, and the preconditioner inverts that block:
    a handful of products a state suffices where a diagonal preconditioner needs dozens. One solver serves both methods
    and several calls; its products work on occupied orbitals (`dixc.grassmann`).

    Args:
        mf: converged PySCF RHF/RKS or dixc RKS, canonical orbitals.
        n_block: size of the exact block, about.

    Attributes:
        n_products: products with A + B (or A) so far.
    """

    def __init__(self, mf, n_block: int = 200):
        self.mf, self.window = mf, Window.of(mf)
        self.differences = self.window.differences
        if self.differences.min() <= 0:
            raise UserError("TDDFT: an occupied orbital lies above a virtual one")
        self.n_products = 0
        self._hybrid = exchange_fraction(mf)
        self._response = _orbital_response(mf, self.window.orbo)
        nvir, nocc = self.differences.shape
        n_occ = min(nocc, max(2, round(np.sqrt(n_block / 2))))
        n_vir = min(nvir, max(1, n_block // n_occ))
        self._block = np.arange(nvir * nocc).reshape(nvir, nocc)[:n_vir, nocc - n_occ :].ravel()
        self._low = Window.of(mf, n_occ, n_vir)
        self._plus, self._minus = dense_matrices(mf, self._low)
        self._tried: list[tuple[NDArray, NDArray]] = []
        self._low_values, self._low_vectors = scipy.linalg.eigh((self._plus + self._minus) / 2)

    def plus(self, v: NDArray) -> NDArray:
        """(A + B) v for v (K, n_pairs), hartree."""
        kappa = v.reshape(-1, *self.differences.shape)
        self.n_products += len(kappa)
        change = self.window.orbv.T @ self._response(2 * self.window.orbv @ kappa)
        product = (self.differences * kappa + change).reshape(v.shape)
        self._tried.append((v, product))
        return product

    def minus(self, v: NDArray) -> NDArray:
        """(A - B) v for v (K, n_pairs), hartree; diagonal without exact exchange."""
        kappa = v.reshape(-1, *self.differences.shape)
        product = self.differences * kappa
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


def _orbital_response(mf, orbo: NDArray) -> Response:
    """Response on occupied orbitals of any mean field; pointwise kernels are contracted here, once computed."""
    functional = getattr(mf, "functional", None)
    if functional is not None and not functional.pointwise:
        return mf.orbital_response()
    hybrid = exchange_fraction(mf)
    kernel = xc_kernel(mf)

    def response(left: NDArray) -> NDArray:
        half = left @ orbo.T
        vj, vk = mf.get_jk(dm=half + half.transpose(0, 2, 1), hermi=1, with_k=hybrid != 0)
        change = (vj - 0.5 * hybrid * vk if hybrid else vj) @ orbo
        if kernel is not None:
            grid, fxc = kernel
            v1 = torch.einsum("xyg,kyg->kxg", fxc, grid.density_of_pairs(left, orbo))
            change = change + grid.potential_on_orbitals(v1, orbo)
        return change

    return response


def _away_from_zero(values: NDArray, floor: float = 1e-3) -> NDArray:
    return np.where(np.abs(values) < floor, floor, values)

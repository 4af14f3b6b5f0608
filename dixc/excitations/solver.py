"""Lowest singlets of larger molecules by iteration: PySCF's Davidson solvers with dixc's products."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from dixc.core.hamiltonian import FixedKernel, LocalXC, PairCouplings, ResponseHamiltonian, ResponseXC
from dixc.core.integrals import FittedIntegrals
from dixc.core.kernel_matrix import kernel_matrix
from dixc.core.state import State
from dixc.core.two_electron import TwoElectron
from dixc.errors import Unstable
from dixc.excitations.casida import CasidaMatrix, Excitations
from dixc.excitations.matrices import Kernel, Window, integral_matrices, is_pointwise, xc_kernel
from dixc.excitations.problems import Casida, Paired, Problem, TammDancoff
from dixc.pyscf.exchange import exchange_fraction

# up to here a hybrid's integrals over pairs are kept: 0.5 GB for each of two matrices
MAX_INTEGRAL_PAIRS = 8000


class ResponseSolver:
    """PySCF's iterative TDDFT and TDA with dixc's products, the low-energy block of A and B treated exactly.

    Trial vectors start from the dense solution over orbitals around the gap, and the preconditioner inverts that block:
    a handful of products a state suffices where a diagonal preconditioner needs dozens. One solver serves both methods
    and several calls; its products are those of `dixc.core.state`, on the Hamiltonian that is cheapest: matrices that
    are there, integrals over pairs that fit in memory, a pointwise kernel contracted to density rows once. Where a
    functional is not pointwise the block has the kernel of a classical one, good enough to start from and to
    precondition with.

    Args:
        mf: converged PySCF RHF/RKS or dixc RKS, canonical orbitals.
        n_block: size of the exact block, about.
        matrices: A + B and A - B over all pairs, if they are there: then products cost nothing to speak of.
        dtype: of the products' work on the grid where the functional is pointwise; see `xc_kernel`.

    Raises:
        Unstable: no occupied or no virtual orbitals, or an occupied one above a virtual one.

    Attributes:
        state: the orbitals, whose Hessians are 4 (A + B) and 4 (A - B).
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
        self.n_products, self.hybrid = 0, exchange_fraction(mf)
        self.tried: list[tuple[NDArray, NDArray]] = []
        nvir, nocc = self.differences.shape
        n_occ = min(nocc, max(2, round(np.sqrt(n_block / 2))))
        n_vir = min(nvir, max(1, n_block // n_occ))
        self.block = np.arange(nvir * nocc).reshape(nvir, nocc)[:n_vir, nocc - n_occ :].ravel()
        self._matrices = matrices
        kernel = None
        if matrices is not None:
            diagonal = np.diag(self.differences.ravel())
            hamiltonian = ResponseHamiltonian(None, pairs=PairCouplings(*(m - diagonal for m in matrices)))
        else:
            kernel = xc_kernel(mf, dtype=dtype) if is_pointwise(mf) else None
            hamiltonian = self._hamiltonian(kernel)
        self.pairs = hamiltonian.pairs
        energies = self.window.energy_o, self.window.energy_v
        self.state = State(hamiltonian, self.window.orbo, self.window.orbv, mo_energy=energies)
        self.low_plus, self.low_minus = self._low_energy_block(Window.of(mf, n_occ, n_vir), kernel)

    def _hamiltonian(self, kernel: Kernel | None) -> ResponseHamiltonian:
        mf, orbo = self.mf, self.window.orbo
        exact = is_pointwise(mf) and self.hybrid and getattr(mf, "with_df", None) is None
        small = self.differences.size <= MAX_INTEGRAL_PAIRS
        pairs = PairCouplings(*integral_matrices(mf, self.window)) if exact and small else None
        two_electron = TwoElectron(mf.get_jk, self.hybrid) if pairs is None else None
        xc: ResponseXC | None = None
        if kernel is not None:
            xc = FixedKernel(*kernel, orbo)
        elif not is_pointwise(mf):
            grid = mf._numint.ao_grid(mf.mol, mf.grids, mf.functional.xctype)
            xc = LocalXC(mf.functional, grid, (orbo,))
        return ResponseHamiltonian(two_electron, xc, pairs)

    def _low_energy_block(self, low: Window, kernel: Kernel | None) -> tuple[NDArray, NDArray]:
        """A + B and A - B of the pairs in `block`, hartree."""
        inside = np.ix_(self.block, self.block)
        if self._matrices is not None:
            return self._matrices[0][inside], self._matrices[1][inside]
        if self.pairs is not None:
            plus, minus = self.pairs.real[inside], self.pairs.imaginary[inside]
        elif self.hybrid:
            plus, minus = integral_matrices(self.mf, low)
        else:  # for a start and a preconditioner fitted integrals are good enough
            plus = 4 * FittedIntegrals(self.mf.mol, getattr(self.mf, "with_df", None)).pairs(
                low.orbo, low.orbv
            )
            minus = np.zeros_like(plus)
        kernel = kernel if is_pointwise(self.mf) else xc_kernel(self.mf, guide=True)
        if kernel is not None:
            plus = plus + 4 * kernel_matrix(*kernel, low.orbo, low.orbv)
        difference = np.diag(low.differences.ravel())
        return plus + difference, minus + difference

    def plus(self, v: NDArray) -> NDArray:
        """(A + B) v for v (K, n_pairs), hartree."""
        self.n_products += len(v)
        product = self.state.hvp(v.reshape(-1, *self.differences.shape)).reshape(v.shape) / 4
        if self._matrices is None:
            self.tried.append((v, product))
        return product

    def minus(self, v: NDArray) -> NDArray:
        """(A - B) v for v (K, n_pairs), hartree; diagonal without exact exchange."""
        return self.state.hvp_imaginary(v.reshape(-1, *self.differences.shape)).reshape(v.shape) / 4

    def solve(self, n_states: int, method: str, conv_tol: float = 1e-3, max_cycle: int = 60) -> Excitations:
        """Lowest singlets, method "tddft" or "tda", to residual norms below `conv_tol` (hartree).

        Energies are quadratic in the residual: 1e-3 leaves about 1e-6 hartree.

        Raises:
            Unstable: fewer real and positive roots.
        """
        n_states, pairs = min(n_states, self.differences.size), self.differences.size
        if self._matrices is not None and pairs <= 2 * len(self.block):
            return CasidaMatrix(*self._matrices).solve(self.differences.shape, n_states, method)
        solution = self._problem(method).solve(n_states, conv_tol, max_cycle)
        if len(solution[0]) < n_states:
            raise Unstable(f"TDDFT: only {len(solution[0])} of {n_states} roots are real and positive")
        return Excitations(*solution)

    def _problem(self, method: str) -> Problem:
        if method == "tda":
            return TammDancoff(self)
        if not self.hybrid:
            return Casida(self)
        if self.pairs is None:
            return Paired(self)
        return Casida(self, self.pairs.imaginary + np.diag(self.differences.ravel()))

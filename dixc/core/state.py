"""A state: orbitals on a Hamiltonian, and the derivatives of their energy along orbital rotations.

With kappa (n_vir, n_occ), K = [[0, -kappa^T], [kappa, 0]] and C(kappa) = C exp(K) (occupied first), w electrons in an
orbital (2 in a closed shell, 1 in a spin channel) and P = w C_o C_o^T:

    gradient            g       = 2 w C_v^T F C_o
    Hessian             H kappa = 2 w (F_vv kappa - kappa F_oo + C_v^T dF[dP] C_o)
                                  with dP = w (C_v kappa C_o^T + transpose)
    imaginary rotations           the same with dP = w (C_v kappa C_o^T - transpose)

These are derivatives of the total energy, valid at any point, stationary or not, in hartree. PySCF's `gen_g_hop_rhf`
returns half of each. At canonical orbitals of a converged closed shell the Hessians are 4 (A + B) and 4 (A - B) of
singlet TDDFT (D. J. Thouless 1961).

Everyone uses this one algebra: `dixc.grassmann.OrbitalRotations` (any PySCF or dixc mean field), training (implicit
differentiation, gradient and Hessian supervision, the model's own SCF), TDDFT, and the accelerated hybrid SCF. They
differ in the Hamiltonian alone (`dixc.core.hamiltonian`, `dixc.pyscf.hamiltonian`).

Arrays of a closed shell stand for themselves; those of an open shell are pairs (alpha, beta).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any, Generic, TypeVar

import numpy as np
from scipy.sparse.linalg import LinearOperator, cg

from dixc.core.arrays import Array
from dixc.core.hamiltonian import BySpin, Expansion, Hamiltonian, occupation
from dixc.core.orbitals import canonical_orbitals, rotate

LEAST_DIAGONAL = 0.1  # hartree, floor of the preconditioner
LEAST_GAP = 0.05  # hartree; smaller differences of orbital energies say nothing of a step

E = TypeVar("E", bound=Expansion)
# an array of a closed shell, or one of each spin
Spins = Any


class State(Generic[E]):
    """Orbitals on a Hamiltonian.

    Nothing is computed before it is asked for, and the energy is expanded once.

    Args:
        hamiltonian: gives energy, Fock matrix and response.
        orbo, orbv: occupied (nao, nocc) and virtual (nao, nvir) orbitals, orthonormal; pairs of them for an open shell.
        order: highest derivative that will be asked for: 1 leaves out the kernel.
        trainable: keep what gradients by the functional's parameters need.
        mo_energy: energies of occupied (nocc,) and virtual (nvir,) canonical orbitals of a closed shell, where they are
            known, hartree.
    """

    def __init__(
        self,
        hamiltonian: Hamiltonian[E],
        orbo: Spins,
        orbv: Spins,
        order: int = 2,
        trainable: bool = False,
        mo_energy: tuple[Array, Array] | None = None,
    ):
        self.hamiltonian, self.order, self.trainable = hamiltonian, order, trainable
        self._orbo, self._orbv = _by_spin(orbo), _by_spin(orbv)
        self._mo_energy = mo_energy
        self._factor = 2 * occupation(self._orbo)

    @property
    def orbo(self) -> Spins:
        """Occupied orbitals (nao, nocc)."""
        return _spins(self._orbo)

    @property
    def orbv(self) -> Spins:
        """Virtual orbitals (nao, nvir)."""
        return _spins(self._orbv)

    @property
    def shape(self) -> Spins:
        """(n_vir, n_occ)."""
        return _spins(tuple((v.shape[1], o.shape[1]) for v, o in zip(self._orbv, self._orbo, strict=True)))

    @cached_property
    def expansion(self) -> E:
        """The Hamiltonian's energy around the density."""
        return self.hamiltonian.expand(self._orbo, self._orbv, self.order, self.trainable)

    @property
    def energy(self) -> float:
        """Total energy, hartree."""
        return self.expansion.energy

    @property
    def fock(self) -> Spins:
        """Fock matrix (nao, nao), hartree."""
        return _spins(self.expansion.fock)

    @cached_property
    def _gradient(self) -> BySpin:
        return tuple(self._factor * block for block in self.expansion.fock_vo())

    def gradient(self) -> Spins:
        """dE/dkappa at kappa = 0, (nvir, nocc), hartree."""
        return _spins(tuple(block.copy() for block in self._gradient))

    @cached_property
    def _blocks(self) -> list[tuple[Array, Array]]:
        """F_oo and F_vv of each spin; of canonical orbitals their diagonals."""
        if self._mo_energy is not None:
            return [self._mo_energy]
        triples = zip(self.expansion.fock, self._orbo, self._orbv, strict=True)
        return [(o.T @ fock @ o, v.T @ fock @ v) for fock, o, v in triples]

    def diagonal(self) -> Spins:
        """Leading part of the Hessian's diagonal, 2 w (F_aa - F_ii), (nvir, nocc), hartree."""
        return _spins(tuple(self._factor * (_diag(vv)[:, None] - _diag(oo)) for oo, vv in self._blocks))

    def hvp(self, kappa: Spins) -> Spins:
        """Hessian products for kappa (..., nvir, nocc), hartree."""
        return self._product(kappa, imaginary=False)

    def hvp_imaginary(self, kappa: Spins) -> Spins:
        """Products with the Hessian along imaginary rotations i kappa, for kappa (..., nvir, nocc), hartree."""
        return self._product(kappa, imaginary=True)

    def _product(self, kappa: Spins, imaginary: bool) -> Spins:
        arrays = tuple(np.asarray(k, dtype=float) for k in _by_spin(kappa))
        flat = tuple(k.reshape(-1, *k.shape[-2:]) for k in arrays)
        couple = self.expansion.coupling_imaginary if imaginary else self.expansion.coupling
        products = [
            self._factor * (_commutator(oo, vv, k) + change)
            for (oo, vv), k, change in zip(self._blocks, flat, couple(flat), strict=True)
        ]
        return _spins(tuple(p.reshape(k.shape) for p, k in zip(products, arrays, strict=True)))

    def dense(self, imaginary: bool = False) -> Array:
        """The Hessian along real, or imaginary, rotations as a matrix (n_pairs, n_pairs), hartree.

        Rows and columns are pairs (a, i), i fastest; of an open shell alpha before beta.
        """
        pairs = self.expansion.pair_couplings() if len(self._orbo) == 1 else None
        if pairs is not None:
            coupling = pairs.imaginary if imaginary else pairs.real
            return self._factor * (self._pair_differences() + coupling)
        size = sum(v.shape[1] * o.shape[1] for v, o in zip(self._orbv, self._orbo, strict=True))
        return self._packed(self._product(self._unpacked(np.eye(size)), imaginary))

    def _pair_differences(self) -> Array:
        """F_vv kappa - kappa F_oo as a matrix over pairs of a closed shell."""
        oo, vv = self._blocks[0]
        if oo.ndim == 1:
            return np.diag((vv[:, None] - oo).ravel())
        return np.kron(vv, np.eye(len(oo))) - np.kron(np.eye(len(vv)), oo)

    def solve(
        self,
        rhs: Spins,
        rtol: float = 1e-3,
        max_iter: int = 60,
        precondition: Callable[[Spins], Spins] | None = None,
    ) -> tuple[Spins, bool]:
        """H^-1 rhs by preconditioned conjugate gradients.

        Args:
            rhs: (nvir, nocc).
            rtol: residual norm relative to that of rhs.
            precondition: approximate inverse of H on (nvir, nocc); that of `diagonal` if None.

        Returns:
            The solution (nvir, nocc), and whether it converged.
        """
        diagonal = np.maximum(self._packed(self.diagonal()), LEAST_DIAGONAL)

        def inverse(v: Array) -> Array:
            return v / diagonal if precondition is None else self._packed(precondition(self._unpacked(v)))

        vector = self._packed(rhs)
        size = vector.size
        hessian = LinearOperator((size, size), lambda v: self._packed(self.hvp(self._unpacked(v.ravel()))))
        x, info = cg(
            hessian, vector, rtol=rtol, maxiter=max_iter, M=LinearOperator((size, size), lambda v: inverse(v.ravel()))
        )  # fmt: skip
        return self._unpacked(x), info == 0

    def _packed(self, kappa: Spins) -> Array:
        """Vectors (..., n_pairs) of kappa (..., nvir, nocc)."""
        return np.concatenate([k.reshape(*k.shape[:-2], -1) for k in _by_spin(kappa)], axis=-1)

    def _unpacked(self, vectors: Array) -> Spins:
        """Kappa (..., nvir, nocc) of vectors (..., n_pairs)."""
        shapes = [(v.shape[1], o.shape[1]) for v, o in zip(self._orbv, self._orbo, strict=True)]
        ends = np.cumsum([nvir * nocc for nvir, nocc in shapes])[:-1]
        pieces = np.split(vectors, ends, axis=-1)
        return _spins(tuple(p.reshape(*p.shape[:-1], *s) for p, s in zip(pieces, shapes, strict=True)))

    def rotated(self, kappa: Spins) -> State[E]:
        """The state C exp(K) on the same Hamiltonian."""
        rotations = _by_spin(kappa)
        moved = [rotate(o, v, k) for o, v, k in zip(self._orbo, self._orbv, rotations, strict=True)]
        orbo, orbv = zip(*moved, strict=True)
        return State(self.hamiltonian, _spins(orbo), _spins(orbv), self.order, self.trainable)

    @cached_property
    def canonical(self) -> tuple[Array, Array, Array]:
        """Orbital energies, orbitals and occupations of a closed shell with the same density (`canonical_orbitals`)."""
        return canonical_orbitals(self.expansion.fock[0], self._orbo[0], self._orbv[0])

    @cached_property
    def second_order(self) -> float:
        """1/2 g . D^-1 g with D = 2 w (e_a - e_i): energy above the minimum, without any response, hartree."""
        energies, orbitals, _ = self.canonical
        nocc = self._orbo[0].shape[1]
        if not 0 < nocc < len(energies):
            return 0.0
        gradient = self._factor * orbitals[:, nocc:].T @ self.expansion.fock[0] @ orbitals[:, :nocc]
        gaps = np.maximum(energies[nocc:, None] - energies[:nocc], LEAST_GAP)
        return float(np.sum(gradient**2 / gaps)) / (2 * self._factor)

    @property
    def norm(self) -> float:
        """|g| as PySCF prints it: half of the norm of dE/dkappa."""
        return float(np.linalg.norm(self._packed(self.gradient()))) / 2

    @property
    def aufbau(self) -> bool:
        """Whether the occupied orbitals are the lowest of this Fock matrix, as far as its diagonal blocks tell."""
        energies, nocc = self.canonical[0], self._orbo[0].shape[1]
        return len(energies) == nocc or bool(energies[nocc - 1] < energies[nocc])


def _by_spin(value: Spins) -> tuple[Any, ...]:
    return tuple(value) if isinstance(value, tuple | list) else (value,)


def _spins(value: tuple[Any, ...]) -> Spins:
    return value[0] if len(value) == 1 else value


def _diag(block: Array) -> Array:
    return block if block.ndim == 1 else block.diagonal()


def _commutator(oo: Array, vv: Array, kappa: Array) -> Array:
    """F_vv kappa - kappa F_oo, (K, nvir, nocc)."""
    if oo.ndim == 1:
        return (vv[:, None] - oo) * kappa
    return vv @ kappa - kappa @ oo

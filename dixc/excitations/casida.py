"""Excitation energies and amplitudes from dense A + B and A - B (`dixc.excitations.matrices`)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import scipy.linalg
from numpy.typing import NDArray

from dixc.errors import Unstable

HARTREE_EV = 27.211386245988  # CODATA 2018


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
            raise Unstable(f"TDDFT: the ground state is unstable (lowest w^2 = {squares[0]:.3g} hartree^2)")
        return squares


def matrix_sqrt(matrix: NDArray) -> NDArray:
    """Square root of a symmetric positive matrix; cheap for a diagonal one.

    Raises:
        Unstable: not positive, so that the Casida equation has no real square root.
    """
    diagonal = matrix.diagonal()
    if np.count_nonzero(matrix - np.diag(diagonal)) == 0:
        values, vectors = diagonal, None
    else:
        values, vectors = scipy.linalg.eigh(matrix)
    if values.min() <= 0:
        raise Unstable(f"TDDFT: A - B is not positive (lowest eigenvalue {values.min():.3g} hartree)")
    return np.diag(np.sqrt(values)) if vectors is None else (vectors * np.sqrt(values)) @ vectors.T

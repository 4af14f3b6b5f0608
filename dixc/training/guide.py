"""The Hessian of a classical functional at the reference density: the preconditioner of a molecule's SCF and response.

It has no parameters and sees no reference derivative; it steers how fast the model's SCF and response equations are
solved, not where they lead.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import scipy.linalg

from dixc.core.arrays import Array
from dixc.core.hamiltonian import PairCouplings, ResponseHamiltonian
from dixc.core.kernel_matrix import kernel_matrix
from dixc.core.state import State
from dixc.core.xc.expansion import density_kernel
from dixc.functionals import registry

if TYPE_CHECKING:
    from dixc.training.molecule import TrainingMolecule

SMALLEST_COLUMN = 3e-3  # smaller columns of the kernel matrix cost a third of its time, and save no iteration


class Guide:
    """Cholesky factor of the Hessian, on the Hessian grid.

    Args:
        molecule: its fitted integrals, grid and reference orbitals are used.
    """

    def __init__(self, molecule: TrainingMolecule):
        functional = registry.create(registry.GUIDES[molecule.xctype]).to(molecule.device)
        state = molecule.reference_state(functional, "hessian", order=2)
        local, orbo, orbv = state.expansion.local, molecule.orbo_ref, molecule.orbv_ref
        pairs = molecule.fitted_integrals.pairs(orbo, orbv)
        pairs += kernel_matrix(local.grid, density_kernel(local.expansion), orbo, orbv, SMALLEST_COLUMN)
        couplings = PairCouplings(4 * pairs, np.zeros((0, 0)))
        dense = State(ResponseHamiltonian(pairs=couplings, fock=state.fock), orbo, orbv)
        self.shape, self._factor = molecule.shape, scipy.linalg.cho_factor(dense.dense())

    def inverse(self, vector: Array) -> Array:
        """H^-1 times (n_vir, n_occ)."""
        return scipy.linalg.cho_solve(self._factor, vector.ravel()).reshape(self.shape)

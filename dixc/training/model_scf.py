"""The model's own SCF during training: Newton steps on the manifold, from where the molecule was left last time.

A functional changes little between two visits of a molecule, so few steps reach the new solution. Each step costs one
build of the gradient: the steps use the inverse Hessian of a classical functional at the reference density (the
molecule's "guide", factorised once), which contracts the gradient tenfold or more. The model's own kernel, much dearer,
is computed once, at the solution, for the implicit differentiation.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dixc.core.arrays import Array
from dixc.core.hamiltonian import FunctionalExpansion, FunctionalHamiltonian
from dixc.core.newton import bounded
from dixc.core.orbitals import orthonormalised
from dixc.core.state import State
from dixc.functionals.base import Functional
from dixc.training.molecule import TrainingMolecule

MAX_ROTATION = 0.3  # rad; longer Newton steps are scaled down
EXPECTED_CONTRACTION = 0.1  # of the gradient's norm in a step


@dataclass(frozen=True)
class ModelSolution:
    """Where the model's SCF ended on one molecule.

    Attributes:
        state: orbitals on the model's Hamiltonian; with the kernel if it was asked for and the SCF converged.
        converged: gradient below the threshold.
        builds: evaluations of the functional spent.
    """

    state: State[FunctionalExpansion]
    converged: bool
    builds: int

    @property
    def orbitals(self) -> tuple[Array, Array]:
        """Occupied (nao, nocc) and virtual (nao, nvir) orbitals."""
        return self.state.orbo, self.state.orbv


def solve(
    molecule: TrainingMolecule,
    functional: Functional,
    start: tuple[Array, Array] | None,
    conv_tol_grad: float,
    max_steps: int = 20,
    order: int = 2,
) -> ModelSolution:
    """The model's SCF solution nearest to the starting orbitals (the reference's if None).

    Args:
        conv_tol_grad: threshold for the norm of dE/dkappa, hartree.
        order: 2 if the model's own Hessian is wanted at the solution (there is none without convergence).
    """
    hamiltonian = molecule.hamiltonian(functional)
    orbo, orbv = start if start is not None else (molecule.orbo_ref, molecule.orbv_ref)
    orbo, orbv = orthonormalised(orbo, orbv, molecule.overlap)
    state = _state(hamiltonian, orbo, orbv, 1)
    norm, builds, converged = np.inf, 0, False
    while builds <= max_steps:
        # where the next gradient is expected to be small enough, the Hessian is taken along
        if norm * EXPECTED_CONTRACTION < conv_tol_grad:
            state = _state(hamiltonian, state.orbo, state.orbv, order)
        gradient = state.gradient()
        builds, norm = builds + 1, float(np.linalg.norm(gradient))
        converged = norm < conv_tol_grad
        if converged or builds > max_steps or not np.isfinite(norm):
            break
        moved = state.rotated(bounded(-molecule.guide_inverse(gradient), MAX_ROTATION))
        state = _state(hamiltonian, moved.orbo, moved.orbv, 1)
    if converged and state.order < order:
        state, builds = _state(hamiltonian, state.orbo, state.orbv, order), builds + 1
    return ModelSolution(state, converged, builds)


def _state(
    hamiltonian: FunctionalHamiltonian, orbo: Array, orbv: Array, order: int
) -> State[FunctionalExpansion]:
    return State(hamiltonian, orbo, orbv, order, trainable=order == 2)

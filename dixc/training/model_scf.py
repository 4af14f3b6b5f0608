"""The model's own SCF during training: Newton steps on the manifold, from where the molecule was left last time.

A functional changes little between two visits of a molecule, so few steps reach the new solution. Each step costs one
build of the gradient: the steps use the inverse Hessian of a classical functional at the reference density (the
molecule's "guide", factorised once), which contracts the gradient tenfold or more. The model's own kernel, much dearer,
is computed once, at the solution, for the implicit differentiation.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.linalg
from numpy.typing import NDArray

from dixc.core.grid import OrbitalValues
from dixc.core.response import expansion_response
from dixc.core.xc import XCExpansion
from dixc.functionals.base import Functional
from dixc.grassmann import OrbitalHessian, rotate
from dixc.training.data import TrainingMolecule

MAX_ROTATION = 0.3  # rad; longer Newton steps are scaled down
EXPECTED_CONTRACTION = 0.1  # of the gradient's norm in a step


@dataclass
class SCFPoint:
    """State of the model on one molecule.

    Attributes:
        orbo, orbv: orbitals (nao, nocc), (nao, nvir).
        values: the occupied ones on the main grid.
        energy: total energy, hartree.
        gradient: dE/dkappa (nvir, nocc), hartree.
        expansion: the functional around this density.
        hessian: the model's Hessian operator; None unless asked for.
        converged: gradient below the threshold.
        builds: evaluations of the functional spent.
    """

    orbo: NDArray
    orbv: NDArray
    values: OrbitalValues
    energy: float
    gradient: NDArray
    expansion: XCExpansion
    hessian: OrbitalHessian | None = None
    converged: bool = False
    builds: int = 1


def expand_at(
    molecule: TrainingMolecule, functional: Functional, orbo: NDArray, orbv: NDArray, order: int
) -> SCFPoint:
    """Energy and gradient of the model at given orbitals on the main grid; with order 2 its Hessian operator too."""
    grid, hybrid = molecule.grid(), functional.exact_exchange
    dm = 2 * orbo @ orbo.T
    hcore, constant = molecule.one_electron(hybrid)
    get_jk = molecule.integrals(hybrid).get_jk
    vj, vk = get_jk(dm, with_k=hybrid != 0)
    coulomb = vj if vk is None else vj - 0.5 * hybrid * vk
    values = grid.values(orbo)
    rho = grid.density_of_orbitals(values)[None]
    expansion = XCExpansion(functional, rho, grid.points, order, trainable=order == 2)
    energy = constant + np.vdot(dm, hcore + 0.5 * coulomb) + expansion.energy
    if order == 1:
        half = (hcore + coulomb) @ orbo + grid.potential_on_orbitals(expansion.potential[0], values)
        return SCFPoint(orbo, orbv, values, float(energy), 4 * orbv.T @ half, expansion)
    fock = hcore + coulomb + grid.potential_matrix(expansion.potential[0])
    response = expansion_response(grid, expansion, orbo, get_jk, hybrid, values)
    hessian = OrbitalHessian(orbo, orbv, fock, response)
    return SCFPoint(orbo, orbv, values, float(energy), hessian.gradient(), expansion, hessian)


def solve(
    molecule: TrainingMolecule,
    functional: Functional,
    start: tuple[NDArray, NDArray] | None,
    conv_tol_grad: float,
    max_steps: int = 20,
    order: int = 2,
) -> SCFPoint:
    """The model's SCF solution nearest to the starting orbitals (the reference's if None).

    Args:
        conv_tol_grad: threshold for the norm of dE/dkappa, hartree.
        order: 2 if the model's own Hessian is wanted at the solution (there is none without convergence).
    """
    orbo, orbv = start if start is not None else (molecule.orbo_ref, molecule.orbv_ref)
    orbo, orbv = _orthonormal(orbo, orbv, molecule.overlap)
    norm = np.inf
    for builds in range(1, max_steps + 2):
        # where the next gradient is expected to be small enough, the Hessian is taken along
        last = norm * EXPECTED_CONTRACTION < conv_tol_grad
        point = expand_at(molecule, functional, orbo, orbv, order if last else 1)
        point.builds, norm = builds, float(np.linalg.norm(point.gradient))
        point.converged = norm < conv_tol_grad
        if point.converged or builds > max_steps or not np.isfinite(norm):
            break
        kappa = -molecule.guide_inverse(point.gradient)
        kappa *= min(1.0, MAX_ROTATION / np.abs(kappa).max())
        orbo, orbv = rotate(orbo, orbv, kappa)
    if order == 2 and point.converged and point.hessian is None:
        solution = expand_at(molecule, functional, orbo, orbv, 2)
        solution.converged, solution.builds = True, builds + 1
        return solution
    return point


def _orthonormal(orbo: NDArray, orbv: NDArray, overlap: NDArray) -> tuple[NDArray, NDArray]:
    """Symmetric orthonormalisation: removes what rounding adds over many rotations."""
    orbitals = np.hstack([orbo, orbv])
    inverse_root = scipy.linalg.inv(scipy.linalg.sqrtm(orbitals.T @ overlap @ orbitals).real)
    orbitals = orbitals @ inverse_root
    return orbitals[:, : orbo.shape[1]], orbitals[:, orbo.shape[1] :]

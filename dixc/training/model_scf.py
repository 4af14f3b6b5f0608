"""The model's own SCF during training: Newton steps on the manifold, from where the molecule was left last time.

A functional changes little between two visits of a molecule, so two or three Newton steps with the operator of
`dixc.grassmann` reach the new solution; the Hessian at the end serves the implicit differentiation as well.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.linalg
from numpy.typing import NDArray

from dixc.functionals.base import Functional
from dixc.grassmann import OrbitalHessian, rotate
from dixc.pyscf.rks import occupied_response
from dixc.training.data import TrainingMolecule
from dixc.xc import XCExpansion

MAX_ROTATION = 0.3  # rad; longer Newton steps are scaled down


@dataclass
class SCFPoint:
    """State of the model on one molecule.

    Attributes:
        orbo, orbv: orbitals (nao, nocc), (nao, nvir).
        energy: total energy, hartree.
        expansion: the functional around this density (second order).
        hessian: gradient and Hessian products here.
        converged: gradient below the threshold.
        iterations: Fock builds spent.
    """

    orbo: NDArray
    orbv: NDArray
    energy: float
    expansion: XCExpansion
    hessian: OrbitalHessian
    converged: bool
    iterations: int


def expand_at(molecule: TrainingMolecule, functional: Functional, orbo: NDArray, orbv: NDArray) -> SCFPoint:
    """Energy, gradient and Hessian operator of the model at given orbitals, on the main grid."""
    grid = molecule.grid()
    dm = 2 * orbo @ orbo.T
    vj, vk = molecule.get_jk(dm, with_k=functional.exact_exchange != 0)
    coulomb = vj if vk is None else vj - 0.5 * functional.exact_exchange * vk
    rho = grid.density_of_pairs(orbo, orbo)[None]
    expansion = XCExpansion(functional, rho, grid.points, order=2)
    fock = molecule.hcore + coulomb + grid.potential_matrix(expansion.potential[0])
    energy = molecule.mol.energy_nuc() + np.vdot(dm, molecule.hcore + 0.5 * coulomb) + expansion.energy
    response = occupied_response(grid, expansion, orbo, molecule.get_jk, functional.exact_exchange)
    hessian = OrbitalHessian(orbo, orbv, fock, response)
    return SCFPoint(orbo, orbv, float(energy), expansion, hessian, False, 1)


def solve(
    molecule: TrainingMolecule,
    functional: Functional,
    start: tuple[NDArray, NDArray] | None,
    conv_tol_grad: float,
    max_steps: int = 12,
) -> SCFPoint:
    """The model's SCF solution nearest to the starting orbitals (the reference's if None).

    Args:
        conv_tol_grad: threshold for the norm of dE/dkappa, hartree.
    """
    orbo, orbv = start if start is not None else (molecule.orbo_ref, molecule.orbv_ref)
    orbo, orbv = _orthonormal(orbo, orbv, molecule.overlap)
    point = expand_at(molecule, functional, orbo, orbv)
    for step in range(1, max_steps + 1):
        gradient = point.hessian.gradient()
        norm = np.linalg.norm(gradient)
        if norm < conv_tol_grad:
            point.converged = True
            break
        # inexact Newton: no tighter than the step can use
        kappa, _ = point.hessian.solve(-gradient, rtol=min(0.1, max(0.3 * conv_tol_grad / norm, norm)), max_iter=30)
        kappa *= min(1.0, MAX_ROTATION / np.abs(kappa).max())
        orbo, orbv = rotate(point.orbo, point.orbv, kappa)
        point = expand_at(molecule, functional, orbo, orbv)
        point.iterations = step + 1
    return point


def _orthonormal(orbo: NDArray, orbv: NDArray, overlap: NDArray) -> tuple[NDArray, NDArray]:
    """Symmetric orthonormalisation: removes what rounding adds over many rotations."""
    orbitals = np.hstack([orbo, orbv])
    inverse_root = scipy.linalg.inv(scipy.linalg.sqrtm(orbitals.T @ overlap @ orbitals).real)
    orbitals = orbitals @ inverse_root
    return orbitals[:, : orbo.shape[1]], orbitals[:, orbo.shape[1] :]

"""Molecular orbitals: which are occupied, and how they are rotated into each other."""

from __future__ import annotations

import numpy as np
import scipy.linalg
from numpy.typing import ArrayLike

from dixc.core.arrays import Array
from dixc.errors import InputError


def split_orbitals(mo_coeff: Array, mo_occ: ArrayLike) -> tuple[Array, Array]:
    """Occupied (nao, nocc) and virtual (nao, nvir) columns as `mo_occ` marks them.

    Raises:
        InputError: occupations other than 0 and 2, or unrestricted orbitals.
    """
    occupations = np.asarray(mo_occ)
    if occupations.ndim != 1 or not np.isin(occupations, (0, 2)).all():
        raise InputError("orbital rotations need closed-shell restricted orbitals (occupations 0 and 2)")
    return mo_coeff[:, occupations == 2], mo_coeff[:, occupations == 0]


def rotate(orbo: Array, orbv: Array, kappa: Array) -> tuple[Array, Array]:
    """Occupied and virtual orbitals moved along the geodesic C exp(K), K = [[0, -kappa^T], [kappa, 0]].

    Args:
        orbo, orbv: orbitals (nao, nocc), (nao, nvir), orthonormal.
        kappa: rotation (nvir, nocc).
    """
    nocc, nvir = orbo.shape[1], orbv.shape[1]
    generator = np.block([[np.zeros((nocc, nocc)), -kappa.T], [kappa, np.zeros((nvir, nvir))]])
    moved = np.hstack([orbo, orbv]) @ scipy.linalg.expm(generator)
    return moved[:, :nocc], moved[:, nocc:]


def canonical_orbitals(fock: Array, orbo: Array, orbv: Array) -> tuple[Array, Array, Array]:
    """Orbital energies, orbitals and occupations that diagonalise a Fock matrix within each of the two spaces.

    Args:
        fock: (nao, nao), hartree.
        orbo, orbv: orbitals (nao, nocc), (nao, nvir) of a closed shell.

    Returns:
        (nmo,), (nao, nmo) and (nmo,): occupied orbitals first, each space in order of energy.
    """
    energy_o, u_o = scipy.linalg.eigh(orbo.T @ fock @ orbo)
    energy_v, u_v = scipy.linalg.eigh(orbv.T @ fock @ orbv)
    occupations = np.repeat([2.0, 0.0], [len(energy_o), len(energy_v)])
    return np.hstack([energy_o, energy_v]), np.hstack([orbo @ u_o, orbv @ u_v]), occupations


def orthonormalised(orbo: Array, orbv: Array, overlap: Array) -> tuple[Array, Array]:
    """Symmetric orthonormalisation: removes what rounding adds over many rotations.

    Args:
        orbo, orbv: orbitals (nao, nocc), (nao, nvir).
        overlap: (nao, nao).
    """
    orbitals = np.hstack([orbo, orbv])
    inverse_root = scipy.linalg.inv(scipy.linalg.sqrtm(orbitals.T @ overlap @ orbitals).real)
    orbitals = orbitals @ inverse_root
    return orbitals[:, : orbo.shape[1]], orbitals[:, orbo.shape[1] :]

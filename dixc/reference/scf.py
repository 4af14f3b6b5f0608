"""The converged SCF of one molecule with the method of the reference, as it is stored."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dixc.config.sections import Reference
from dixc.core.integrals import FittedIntegrals
from dixc.errors import NotConverged
from dixc.pyscf.exchange import exchange_fraction
from dixc.reference.method import reference_mean_field
from dixc.reference.record import ENERGY_NAMES

if TYPE_CHECKING:
    from pyscf.scf.hf import RHF

    from dixc.molecules import Molecule


def attributes_of(molecule: Molecule) -> dict[str, Any]:
    """What a chunk says of a molecule whether its SCF converged or not."""
    return {
        "split": molecule.split,
        "charge": molecule.charge,
        "formula": molecule.formula,
        "n_heavy": molecule.n_heavy,
    }


def solve(molecule: Molecule, settings: Reference) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
    """Datasets (names and units in `dixc.reference.record.UNITS`) and attributes of one molecule.

    Raises:
        InputError: PySCF has no such basis for the molecule.
        NotConverged: the SCF did not converge.
    """
    mol = molecule.to_pyscf(settings.basis)
    mf = reference_mean_field(mol, settings)
    mf.kernel()
    if not mf.converged:
        raise NotConverged(f"{settings.functional} SCF not converged in {settings.max_cycle} cycles")
    arrays = {
        "atomic_numbers": mf.mol.atom_charges(),
        "coords": mf.mol.atom_coords(),
        "mo_coeff": mf.mo_coeff,
        "mo_occ": mf.mo_occ,
        "mo_energy": mf.mo_energy,
        "dipole": mf.dip_moment(unit="Debye", verbose=0),
    }
    dm = mf.make_rdm1()
    vj, vk = mf.get_jk(dm=dm)
    arrays["energies"] = _energy_components(mf, dm, vj, vk)
    if molecule.split != "test":
        arrays |= FittedIntegrals(mol).errors(dm, vj, vk)
    return arrays, attributes_of(molecule) | {"cycles": mf.cycles, "energy_names": " ".join(ENERGY_NAMES)}


def _energy_components(mf: RHF, dm: NDArray, vj: NDArray, vk: NDArray) -> NDArray[np.float64]:
    """Energies in the order of `ENERGY_NAMES`; e_xc is the semilocal part alone."""
    e_coulomb = 0.5 * np.einsum("ij,ji", dm, vj)
    e_exchange = -0.25 * exchange_fraction(mf) * np.einsum("ij,ji", dm, vk)
    e_core = np.einsum("ij,ji", dm, mf.get_hcore())
    e_nuclear = mf.energy_nuc()
    e_xc = mf.e_tot - e_nuclear - e_core - e_coulomb - e_exchange
    return np.array([mf.e_tot, e_nuclear, e_core, e_coulomb, e_xc, e_exchange])

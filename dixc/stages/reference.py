"""Reference stage: converged hybrid SCF of each molecule of a chunk."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from dixc.core.integrals import FittedIntegrals
from dixc.errors import InputError, UserError
from dixc.molecules import Molecule, read_xyz
from dixc.provenance import file_hash, hash_of, origin, short
from dixc.reference.method import check_functional
from dixc.reference.record import ENERGY_NAMES, UNITS, reference_mean_field
from dixc.store import ChunkWriter

if TYPE_CHECKING:
    from dixc.config import Config


def run(molecules: Path, config: Config, out: Path) -> None:
    """Write the reference chunk of an xyz file; molecules that fail are recorded with their reason.

    Raises:
        InputError: broken input, a functional or basis that cannot be a reference, or more failures than
            `reference.max_failed_fraction`.
    """
    settings = config.reference.model_dump()
    check_functional(settings["functional"])
    listed = read_xyz(molecules)
    _require_basis(listed, settings["basis"], molecules)
    digest = file_hash(molecules)
    key = hash_of([settings, digest])
    made_from = origin(config, short(digest), xyz=molecules)
    writer = ChunkWriter(out, stage="reference", settings=settings, key=key, origin=made_from)
    for molecule in tqdm(listed, desc=f"reference {out.stem}", unit="mol", disable=None):
        if not writer.has(molecule.name):
            _compute(molecule, settings, writer)
    writer.finish(settings["max_failed_fraction"])


def _require_basis(listed: list[Molecule], basis: str, path: Path) -> None:
    """Refuses a basis that none of the molecules can have.

    A basis that some molecules cannot have is theirs: they are recorded as failed.
    """
    for molecule in listed:
        try:
            molecule.to_pyscf(basis)
            return
        except UserError as error:
            reason = str(error)
    raise InputError(f"reference.basis: {reason} (nor for any other molecule of {path})")


def _compute(molecule: Molecule, settings: dict, writer: ChunkWriter) -> None:
    attributes = {
        "split": molecule.split,
        "charge": molecule.charge,
        "formula": molecule.formula,
        "n_heavy": molecule.n_heavy,
    }
    try:
        mol = molecule.to_pyscf(settings["basis"])
    except UserError as error:
        writer.fail(molecule.name, str(error).removeprefix(f"{molecule.name}: "), attributes)
        return
    mf = reference_mean_field(mol, settings)
    mf.kernel()
    if not mf.converged:
        reason = f"{settings['functional']} SCF not converged in {settings['max_cycle']} cycles"
        writer.fail(molecule.name, reason, attributes)
        return
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
    attributes |= {"cycles": mf.cycles, "energy_names": " ".join(ENERGY_NAMES)}
    writer.write(molecule.name, arrays, attributes, UNITS)


def _energy_components(mf, dm: NDArray, vj: NDArray, vk: NDArray) -> NDArray:
    """Energies in the order of `ENERGY_NAMES`; e_xc is the semilocal part alone."""
    from dixc.excitations import exchange_fraction

    hybrid = exchange_fraction(mf)
    e_coulomb = 0.5 * np.einsum("ij,ji", dm, vj)
    e_exchange = -0.25 * hybrid * np.einsum("ij,ji", dm, vk)
    e_core = np.einsum("ij,ji", dm, mf.get_hcore())
    e_nuclear = mf.energy_nuc()
    e_xc = mf.e_tot - e_nuclear - e_core - e_coulomb - e_exchange
    return np.array([mf.e_tot, e_nuclear, e_core, e_coulomb, e_xc, e_exchange])

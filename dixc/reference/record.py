"""Reference records: what the reference stage stored of a molecule, in memory.

Everything downstream starts from a `ReferenceRecord`: it rebuilds the molecule, the quadrature grid
and mean fields with exactly the settings of the reference, so that model and reference never differ
by a grid or a basis. Units: hartree, bohr, debye. Names of fields and HDF5 datasets are the same.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from pyscf import lib

from dixc import provenance
from dixc.config.sections import Reference
from dixc.core.integrals import ERROR_NAMES
from dixc.elements import SYMBOLS
from dixc.errors import InputError
from dixc.reference.method import reference_mean_field
from dixc.store import decoding, molecules_hash, open_chunk

if TYPE_CHECKING:
    import h5py
    from pyscf.dft.gen_grid import Grids
    from pyscf.gto import Mole
    from pyscf.scf.hf import RHF

    from dixc.functionals.base import Functional

MeanField = TypeVar("MeanField", bound="RHF")
# names of datasets and their units
UNITS = {
    "atomic_numbers": "1",
    "coords": "bohr",
    "mo_coeff": "1",
    "mo_occ": "1",
    "mo_energy": "hartree",
    "dipole": "debye",
    "energies": "hartree",
    **dict.fromkeys(ERROR_NAMES, "hartree"),  # not of test molecules
}
ENERGY_NAMES = ("e_tot", "e_nuclear", "e_core", "e_coulomb", "e_xc", "e_exact_exchange")


@dataclass
class ReferenceRecord:
    """A molecule with its converged reference.

    Attributes:
        coords: nuclei (natm, 3), bohr.
        mo_coeff, mo_occ, mo_energy: canonical orbitals (nao, nmo), occupations, energies (hartree).
        dipole: (3,), debye.
        e_tot: total energy, hartree.
        settings: the config section `reference` that made it.
        coulomb_error, exchange_error: lower triangles of dJ and dK of `dixc.core.integrals` at this
            density, hartree; None if the reference stage left them out.
    """

    name: str
    split: str
    charge: int
    atomic_numbers: NDArray
    coords: NDArray
    mo_coeff: NDArray
    mo_occ: NDArray
    mo_energy: NDArray
    dipole: NDArray
    e_tot: float
    settings: Reference
    coulomb_error: NDArray | None = None
    exchange_error: NDArray | None = None

    @property
    def n_heavy(self) -> int:
        """Number of atoms other than hydrogen."""
        return int((self.atomic_numbers > 1).sum())

    @property
    def n_electrons(self) -> int:
        """Number of electrons."""
        return int(self.atomic_numbers.sum()) - self.charge

    @cached_property
    def dm(self) -> NDArray:
        """Density matrix (nao, nao)."""
        return (self.mo_coeff * self.mo_occ) @ self.mo_coeff.T

    @cached_property
    def mol(self) -> Mole:
        """PySCF molecule in the reference basis."""
        from pyscf import gto

        atoms = [(int(z), tuple(xyz)) for z, xyz in zip(self.atomic_numbers, self.coords, strict=True)]
        return gto.M(atom=atoms, unit="bohr", basis=self.settings.basis, charge=self.charge, verbose=0)

    def fitting_correction(self, exact_exchange: float) -> tuple[NDArray, float]:
        """Operator (nao, nao) and constant, hartree: with them fitted integrals are exact at P_ref.

        Args:
            exact_exchange: fraction of exact exchange of the functional that they are for.

        Raises:
            InputError: the record has no fitting errors.
        """
        if self.coulomb_error is None or self.exchange_error is None:
            why = (
                "test molecules have none"
                if self.split == "test"
                else "an older dixc made it: run its stage again"
            )
            raise InputError(f"{self.name}: its reference has no fitting errors ({why})")
        packed = self.coulomb_error - 0.5 * exact_exchange * self.exchange_error
        operator = lib.unpack_tril(packed.astype(float))
        return operator, -0.5 * float(np.vdot(self.dm, operator))

    def grid(self, level: int | None = None) -> Grids:
        """Built PySCF grid of the reference level, or of another one."""
        from pyscf import dft

        grids = dft.gen_grid.Grids(self.mol)
        grids.level = self.settings.grid_level if level is None else level
        return grids.build()

    def mean_field(self, functional: Functional | None = None) -> RHF:
        """Mean field on the reference basis and grid: the reference's own, or a functional's."""
        if functional is None:
            return reference_mean_field(self.mol, self.settings)
        import dixc.pyscf

        mf = dixc.pyscf.RKS(self.mol, xc=functional)
        mf.grids.level = self.settings.grid_level
        mf.small_rho_cutoff = 0
        return mf

    def with_orbitals(self, mf: MeanField) -> MeanField:
        """`mf` holding the reference orbitals as if its kernel had run, grids built."""
        mf.mo_coeff, mf.mo_occ, mf.mo_energy = self.mo_coeff, self.mo_occ, self.mo_energy
        mf.e_tot, mf.converged = self.e_tot, True
        if hasattr(mf, "grids") and mf.grids.coords is None:
            mf.grids.build()
        return mf


def record_from_group(group: h5py.Group, settings: Reference) -> ReferenceRecord:
    """A record from a molecule's group of a reference chunk.

    Raises:
        ValueError, KeyError: arrays that are missing, do not fit each other, or hold what is no
            number.
    """
    arrays = {key: np.array(group[key]) for key in UNITS if key in group and key != "energies"}
    _check(arrays)
    attributes = group.attrs
    return ReferenceRecord(
        name=str(attributes["name"]),
        split=str(attributes["split"]),
        charge=int(attributes["charge"]),
        e_tot=float(group["energies"][ENERGY_NAMES.index("e_tot")]),
        settings=settings,
        **arrays,
    )


def _check(arrays: dict[str, NDArray]) -> None:
    """Refuses arrays that cannot be one molecule's, although the file's checksum is right."""
    natm, (nao, nmo) = len(arrays["atomic_numbers"]), arrays["mo_coeff"].shape
    shapes = {
        "atomic_numbers": (natm,), "coords": (natm, 3), "mo_coeff": (nao, nmo), "mo_occ": (nmo,),
        "mo_energy": (nmo,), "dipole": (3,),
    } | {key: (nao * (nao + 1) // 2,) for key in ERROR_NAMES if key in arrays}  # fmt: skip
    for key, shape in shapes.items():
        if arrays[key].shape != shape or not np.isfinite(arrays[key]).all():
            raise ValueError(f"{key} of shape {arrays[key].shape}, where finite numbers {shape} belong")


def elements(records: Iterable[ReferenceRecord]) -> list[str]:
    """Symbols of the elements in some molecules, by atomic number."""
    numbers = {int(z) for record in records for z in record.atomic_numbers}
    return [SYMBOLS[z - 1] for z in sorted(numbers)]


def training_origin(config: str | None, references: Sequence[Path]) -> dict[str, Any]:
    """Provenance of a model: hashes of the config and of all training molecules."""
    return provenance.origin(config, provenance.combined(molecules_hash(path) for path in references))


def read_settings(path: Path) -> Reference:
    """The settings of the reference that made a chunk."""
    with open_chunk(path, stage="reference") as chunk, decoding(path):
        return settings_of(chunk)


def read_records(path: Path) -> list[ReferenceRecord]:
    """All molecules of a reference chunk whose SCF converged, in the order of the chunk."""
    with open_chunk(path, stage="reference") as chunk, decoding(path):
        settings = settings_of(chunk)
        return [record_from_group(g, settings) for g in chunk.values() if g.attrs["status"] == "ok"]


def read_failures(path: Path) -> dict[str, dict[str, Any]]:
    """The molecules of a reference chunk that failed: split, n_heavy and reason by name."""
    keys = ("split", "n_heavy", "reason")
    with open_chunk(path, stage="reference") as chunk, decoding(path):
        failed = {name: group for name, group in chunk.items() if group.attrs["status"] != "ok"}
        return {name: {key: group.attrs[key] for key in keys} for name, group in failed.items()}


def settings_of(chunk: h5py.File) -> Reference:
    """The section `reference` that a chunk keeps, less keys that another dixc may have written."""
    stored = json.loads(chunk.attrs["settings"])
    return Reference.model_validate({key: stored[key] for key in Reference.model_fields if key in stored})

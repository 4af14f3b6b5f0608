"""Training molecules straight from chunk files: an index of names, and arrays only of the molecules in use.

A run on a hundred thousand molecules has more arrays than memory. Names, elements and places are read once; the arrays
of a molecule are read when it is asked for, and who asks (`dixc.training.cache.MoleculeCache`) decides how long they
stay. Any order of molecules costs the same, so an epoch is one permutation of all of them, across files. Reading a
molecule takes milliseconds, a step on it seconds: nothing is gained by reading ahead.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from pyscf.data.nist import BOHR

from dixc.config.sections import Reference
from dixc.core.arrays import Array
from dixc.elements import SYMBOLS
from dixc.errors import InputError
from dixc.molecules import Molecule
from dixc.molecules.duplicates import Geometries
from dixc.reference.record import record_from_group, settings_of
from dixc.store import decoding, open_chunk, require_made_from
from dixc.training.molecule import TrainingMolecule
from dixc.training.reference_derivatives import DERIVATIVE_NAMES, HESSIAN_NAMES

SHOWN = 10  # molecules that a message names


class Place(NamedTuple):
    """Where a molecule is: its group in a chunk, and the chunk's time and size when it was verified."""

    path: Path
    group: str
    stamp: tuple[int, int]


class ChunkedMolecules(Mapping[str, TrainingMolecule]):
    """Training molecules by name; each access reads the molecule anew.

    Args:
        references: reference chunks; molecules whose SCF failed are left out.
        derivatives: their derivative chunks, or none.
        grid_level: grid of energy, density and gradient terms.
        hessian_grid_level: grid of the Hessian term.
        xctype: which density rows the functional wants.
        device: torch device of grid arrays.
        dtype: of orbitals on the grids.

    Attributes:
        splits: the split that each molecule was chosen for, by name.

    Raises:
        InputError: no molecule at all, two of one name, a molecule without derivatives although derivative chunks are
            given, or derivatives of other references.
    """

    def __init__(
        self,
        references: Sequence[Path],
        derivatives: Sequence[Path],
        grid_level: int,
        hessian_grid_level: int,
        xctype: str = "MGGA",
        device: str | torch.device = "cpu",
        dtype: torch.dtype = torch.float64,
    ):
        self._options = (grid_level, hessian_grid_level, xctype, device, dtype)
        self._derivatives: dict[str, Place] = {}
        self._references: dict[str, Place] = {}
        self._settings: dict[Path, Reference] = {}
        self._numbers: set[int] = set()
        self.splits: dict[str, str] = {}
        for path in map(Path, derivatives):
            self._index_derivatives(path, references)
        for path in map(Path, references):
            self._index_references(path, bool(derivatives))
        if not self._references:
            raise InputError(f"no usable molecule in {', '.join(map(str, references))}")

    def _index_derivatives(self, path: Path, references: Sequence[Path]) -> None:
        stamp = _stamp(path)
        with open_chunk(path, stage="derivatives") as chunk, decoding(path):
            require_made_from(chunk, path, reference=references)
            for key, group in chunk.items():
                if any(name in group for name in HESSIAN_NAMES):
                    self._derivatives[str(group.attrs["name"])] = Place(path, key, stamp)

    def _index_references(self, path: Path, need_derivatives: bool) -> None:
        stamp = _stamp(path)
        with open_chunk(path, stage="reference") as chunk, decoding(path):
            self._settings[path] = settings_of(chunk)
            for key, group in chunk.items():
                name = str(group.attrs["name"])
                if group.attrs["status"] != "ok":
                    continue
                if need_derivatives and name not in self._derivatives:
                    raise InputError(f"{path}: molecule {name} has no Hessian in the derivative chunks given")
                if name in self._references:
                    raise InputError(f"{path}: molecule {name} is in {self._references[name].path} already")
                self._references[name] = Place(path, key, stamp)
                self.splits[name] = str(group.attrs["split"])
                self._numbers |= set(np.array(group["atomic_numbers"]).tolist())

    def __iter__(self) -> Iterator[str]:
        return iter(self._references)

    def __len__(self) -> int:
        return len(self._references)

    def __getitem__(self, name: str) -> TrainingMolecule:
        place = self._references[name]
        with _opened(place, "reference") as chunk, decoding(place.path):
            record = record_from_group(chunk[place.group], self._settings[place.path])
        return TrainingMolecule(record, self._arrays(name), *self._options)

    def _arrays(self, name: str) -> dict[str, Array]:
        place = self._derivatives.get(name)
        if place is None:
            return {}
        with _opened(place, "derivatives") as chunk, decoding(place.path):
            group = chunk[place.group]
            return {key: np.array(group[key]) for key in DERIVATIVE_NAMES if key in group}

    def geometries(self) -> Iterator[Molecule]:
        """All molecules, geometries only; each file is opened once."""
        for path, names in groupby(self._references, key=lambda name: self._references[name].path):
            with _opened(self._references[first := next(names)], "reference") as chunk, decoding(path):
                for name in (first, *names):
                    group = chunk[self._references[name].group]
                    symbols = tuple(SYMBOLS[int(z) - 1] for z in group["atomic_numbers"][()])
                    coords = group["coords"][()] * BOHR
                    yield Molecule(name, symbols, coords, int(group.attrs["charge"]), self.splits[name])

    @property
    def elements(self) -> list[str]:
        """Symbols of the elements in all molecules, by atomic number."""
        return [SYMBOLS[number - 1] for number in sorted(self._numbers)]


def require_disjoint(train: ChunkedMolecules, validation: ChunkedMolecules) -> None:
    """Refuses a training that would be judged on molecules that it has seen, or would see those of the test.

    Molecules are the same by name, or by formula, charge and geometry.

    Raises:
        InputError: with their names.
    """
    for role, molecules in (("training", train), ("validation", validation)):
        test = [name for name, split in molecules.splits.items() if split == "test"]
        if test:
            raise InputError(f"{_count(test)} of the split test given for {role}: {_listed(test)}")
    known = Geometries()
    for molecule in validation.geometries():
        known.add(molecule)
    shared = []
    for molecule in train.geometries():
        if molecule.name in validation:
            shared.append(molecule.name)
        elif (same := known.find(molecule)) is not None:
            shared.append(f"{molecule.name} ({same} in validation)")
    if shared:
        raise InputError(f"{_count(shared)} in training and in validation: {_listed(shared)}")


def _count(names: Sequence[str]) -> str:
    return f"{len(names)} molecule{'s' if len(names) > 1 else ''}"


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more


def _opened(place: Place, stage: str) -> AbstractContextManager[Any]:
    """The chunk of a place; its checksum is verified again only if the file is not the one that was."""
    return open_chunk(place.path, stage, verify=_stamp(place.path) != place.stamp)


def _stamp(path: Path) -> tuple[int, int]:
    try:
        status = path.stat()
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    return status.st_mtime_ns, status.st_size

"""Training molecules straight from chunk files: an index of names, and arrays only of the molecules in use.

A run on a hundred thousand molecules has more arrays than memory. Names, elements and places are read once; the arrays
of a molecule are read when it is asked for, and who asks (`dixc.training.data.MoleculeCache`) decides how long they
stay. Any order of molecules costs the same, so an epoch is one permutation of all of them, across files. Reading a
molecule takes milliseconds, a step on it seconds: nothing is gained by reading ahead.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from dixc.elements import SYMBOLS
from dixc.errors import UserError
from dixc.records import record_from_group
from dixc.store import decoding, open_chunk, require_made_from
from dixc.training.data import DERIVATIVE_NAMES, HESSIAN_NAMES, TrainingMolecule


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

    Raises:
        UserError: no molecule at all, a molecule without derivatives although derivative chunks are given, or
            derivatives of other references.
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
        self._settings: dict[Path, dict] = {}
        self._numbers: set[int] = set()
        for path in map(Path, derivatives):
            self._index_derivatives(path, references)
        for path in map(Path, references):
            self._index_references(path, bool(derivatives))
        if not self._references:
            raise UserError(f"no usable molecule in {', '.join(map(str, references))}")

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
            self._settings[path] = json.loads(chunk.attrs["settings"])
            for key, group in chunk.items():
                name = str(group.attrs["name"])
                if group.attrs["status"] != "ok":
                    continue
                if need_derivatives and name not in self._derivatives:
                    raise UserError(f"{path}: molecule {name} has no Hessian in the derivative chunks given")
                self._references[name] = Place(path, key, stamp)
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

    def _arrays(self, name: str) -> dict[str, NDArray]:
        place = self._derivatives.get(name)
        if place is None:
            return {}
        with _opened(place, "derivatives") as chunk, decoding(place.path):
            group = chunk[place.group]
            return {key: np.array(group[key]) for key in DERIVATIVE_NAMES if key in group}

    @property
    def elements(self) -> list[str]:
        """Symbols of the elements in all molecules, by atomic number."""
        return [SYMBOLS[number - 1] for number in sorted(self._numbers)]


def _opened(place: Place, stage: str):
    """The chunk of a place; its checksum is verified again only if the file is not the one that was."""
    return open_chunk(place.path, stage, verify=_stamp(place.path) != place.stamp)


def _stamp(path: Path) -> tuple[int, int]:
    try:
        status = path.stat()
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    return status.st_mtime_ns, status.st_size

"""Geometries that have been seen, and whether a molecule is one of them."""

from __future__ import annotations

import math
from collections import defaultdict

import numpy as np
from numpy.typing import NDArray

from dixc.molecules.molecule import Molecule

SAME_DISTANCE = 1e-3  # angstrom


class Geometries:
    """Molecules by formula and geometry.

    Two molecules are the same if they have one formula and charge, and if all their distances,
    sorted within each pair of elements, agree to a thousandth of an angstrom; order of atoms,
    place, direction and mirror do not matter. The root mean squares of their distances agree as
    well then (triangle inequality), which need no distances: only molecules with nearly the same
    one are compared, however many share a formula.
    """

    def __init__(self) -> None:
        self._seen: dict[tuple[str, int], list[tuple[str, NDArray, NDArray]]] = defaultdict(list)

    def add(self, molecule: Molecule) -> str | None:
        """Remembers a molecule, or names the one that was there before and is the same."""
        same = self.find(molecule)
        if same is None:
            seen = molecule.name, _numbers(molecule), molecule.coords_angstrom
            self._seen[molecule.formula, _bucket(molecule)].append(seen)
        return same

    def find(self, molecule: Molecule) -> str | None:
        """The name of the molecule that was added and is the same; None if none is."""
        formula, bucket = molecule.formula, _bucket(molecule)
        near = [
            other
            for near in (bucket - 1, bucket, bucket + 1)
            if (formula, near) in self._seen
            for other in self._seen[formula, near]
        ]
        shape = _shape(_numbers(molecule), molecule.coords_angstrom) if near else None
        for name, *other in near:
            if np.all(np.abs(shape - _shape(*other)) < SAME_DISTANCE):
                return name
        return None


def _numbers(molecule: Molecule) -> NDArray:
    return np.array(molecule.atomic_numbers, dtype=np.int16)


def _bucket(molecule: Molecule) -> int:
    return math.floor(_rms_distance(molecule.coords_angstrom) / SAME_DISTANCE)


def _rms_distance(coords: NDArray) -> float:
    """Root mean square of all distances between atoms, angstrom; 0 for one atom.

    It follows from the distances to their centre.
    """
    centred = coords - coords.mean(axis=0)
    return math.sqrt(2 * float(np.vdot(centred, centred)) / max(1, len(coords) - 1))


def _shape(numbers: NDArray, coords: NDArray) -> NDArray:
    """Distances between atoms, angstrom, sorted within each pair of elements.

    Order of atoms and mirror do not matter.
    """
    i, j = np.triu_indices(len(numbers), 1)
    distances = np.linalg.norm(coords[i] - coords[j], axis=1)
    low, high = np.minimum(numbers[i], numbers[j]), np.maximum(numbers[i], numbers[j])
    return distances[np.lexsort((distances, high, low))]

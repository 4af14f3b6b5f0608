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

    Two molecules are the same if they have one formula and charge, and if all their distances, sorted within each
    pair of elements, agree to a thousandth of an angstrom; order of atoms, place, direction and mirror do not matter.
    Means of the distances agree then too: only molecules with nearly the same mean are compared, however many share
    a formula.
    """

    def __init__(self) -> None:
        self._seen: dict[tuple[str, int], list[tuple[str, NDArray[np.float32]]]] = defaultdict(list)

    def find(self, molecule: Molecule) -> str | None:
        """Name of the molecule that was added and is the same; None if there is none."""
        shape = _shape(molecule)
        bucket = _bucket(shape)
        for near in (bucket - 1, bucket, bucket + 1):
            for name, other in self._seen.get((molecule.formula, near), ()):
                if np.all(np.abs(shape - other) < SAME_DISTANCE):
                    return name
        return None

    def add(self, molecule: Molecule) -> None:
        """Remembers a molecule."""
        shape = _shape(molecule)
        self._seen[molecule.formula, _bucket(shape)].append((molecule.name, shape.astype(np.float32)))


def _bucket(shape: NDArray) -> int:
    return math.floor(shape.mean() / SAME_DISTANCE) if len(shape) else 0


def _shape(molecule: Molecule) -> NDArray:
    """Distances between atoms, angstrom, sorted within each pair of elements: blind to order and mirror."""
    coords, numbers = molecule.coords_angstrom, np.array(molecule.atomic_numbers)
    i, j = np.triu_indices(len(numbers), 1)
    distances = np.linalg.norm(coords[i] - coords[j], axis=1)
    low, high = np.minimum(numbers[i], numbers[j]), np.maximum(numbers[i], numbers[j])
    return distances[np.lexsort((distances, high, low))]

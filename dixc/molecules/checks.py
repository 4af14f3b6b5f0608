"""Doubts about a molecule's geometry that are no errors."""

from __future__ import annotations

import warnings
from os import PathLike

import numpy as np

from dixc.elements import covalent_radius
from dixc.errors import DixcWarning
from dixc.molecules.molecule import Molecule

BOHR = 0.529177210903  # angstrom
# nearest distance over the sum of covalent radii: those of the shipped molecules are
# 0.78 to 1.05 in angstrom, and 1.48 to 1.98 if bohr are taken for angstrom
BONDED = (0.75, 1.3)
UNBONDED = 1.4
# elements whose shortest bonds are as long as BONDED says; those of metals, such as Cr2, are
# shorter
NONMETALS = {1, 5, 6, 7, 8, 9, 14, 15, 16, 17, 34, 35, 53}
METAL_BOND = 0.5  # the same ratio for others: Cr2 has 0.60
SHORTEST = 0.7  # angstrom; no bond is as short, that of H2 included
H2_BOND = 0.74  # angstrom; twice the radius of hydrogen in its bonds to others is much less
NOBLE_GASES = {2, 10, 18, 36, 54, 86}


def looks_like_bohr(molecule: Molecule) -> bool:
    """Whether a molecule has bond lengths only if its coordinates are taken as bohr.

    No atom may have a neighbour at a bond's length in angstrom, and all must have one in bohr:
    stretched bonds, complexes of molecules and single atoms pass. Noble gases are not judged, as
    their distances fit by accident.
    """
    numbers = set(molecule.atomic_numbers)
    if len(molecule.symbols) < 2 or NOBLE_GASES & numbers:
        return False
    distances, bonds = _distances_and_bonds(molecule)
    nearest = (distances / bonds).min(axis=1)
    low, high = BONDED
    return bool(nearest.min() > UNBONDED and (low < BOHR * nearest).all() and (BOHR * nearest < high).all())


def too_close(molecule: Molecule) -> str | None:
    """The pair of atoms that is closer than any bond, in words; None if there is none."""
    if len(molecule.symbols) < 2:
        return None
    distances, bonds = _distances_and_bonds(molecule)
    usual = np.isin(molecule.atomic_numbers, list(NONMETALS))
    shortest = np.where(np.logical_and.outer(usual, usual), BONDED[0], METAL_BOND) * bonds
    excess = distances / np.maximum(shortest, SHORTEST)
    i, j = np.unravel_index(np.argmin(excess), excess.shape)
    if excess[i, j] >= 1:
        return None
    symbols = molecule.symbols
    return f"{symbols[i]}{i + 1} and {symbols[j]}{j + 1} {distances[i, j]:.2f} angstrom apart"


def _distances_and_bonds(molecule: Molecule) -> tuple[np.ndarray, np.ndarray]:
    """Distances and usual bond lengths of all pairs of atoms, (natm, natm), angstrom.

    The distance of an atom to itself is infinite.
    """
    numbers = np.array(molecule.atomic_numbers)
    coords = molecule.coords_angstrom
    radii = np.array([covalent_radius(number) for number in molecule.atomic_numbers])
    distances = np.linalg.norm(coords[:, None] - coords[None], axis=2)
    np.fill_diagonal(distances, np.inf)
    bonds = radii[:, None] + radii[None]
    bonds[np.outer(numbers == 1, numbers == 1)] = H2_BOND
    return distances, bonds


class Doubts:
    """Collects the molecules of a file whose geometry is doubtful, for one warning of each kind.

    Args:
        path: the file, for the messages.
    """

    def __init__(self, path: str | PathLike[str]):
        self.path, self.count = path, 0
        self._bohr: list[str] = []
        self._close: list[str] = []

    def see(self, molecule: Molecule) -> None:
        """Takes a look at the next molecule."""
        self.count += 1
        pair = too_close(molecule)
        if pair is not None:
            self._close.append(f"{molecule.name}: {pair}")
        elif looks_like_bohr(molecule):
            self._bohr.append(molecule.name)

    def warn(self, total: int | None = None) -> None:
        """Warns of what was found; `total` is the number of molecules if not all were seen."""
        total = total or self.count
        if self._bohr:
            self._say(
                f"{_which(self._bohr, total)} with all atoms some 1.9 times too far apart: coordinates in "
                "bohr? dixc reads angstrom; if they are bohr, multiply them by 0.529177"
            )
        if self._close:
            self._say(f"{_which(self._close, total)}: closer than any bond, check the geometry")

    def _say(self, what: str) -> None:
        warnings.warn(f"{self.path}: {what}", DixcWarning, stacklevel=3)


def _which(doubtful: list[str], total: int) -> str:
    which = f"{len(doubtful)} of {total} molecules" if total > 1 else "the molecule"
    return f"{which} (first {doubtful[0]})"

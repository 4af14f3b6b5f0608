"""Doubts about a molecule's geometry that are no errors."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from os import PathLike

import numpy as np

from dixc.errors import DixcWarning
from dixc.molecules.molecule import Molecule

BOHR = 0.529177210903  # angstrom
# nearest distance over the sum of covalent radii: those of the shipped molecules are
# 0.78 to 1.05 in angstrom, and 1.48 to 1.98 if bohr are taken for angstrom
BONDED = (0.75, 1.3)
UNBONDED = 1.4
H2_BOND = 0.74  # angstrom; twice the radius of hydrogen in its bonds to others is much less
NOBLE_GASES = {2, 10, 18, 36, 54, 86}


def looks_like_bohr(molecule: Molecule) -> bool:
    """Whether a molecule has bond lengths only if its coordinates are taken as bohr.

    No atom may have a neighbour at a bond's length in angstrom, and all must have one in bohr: stretched bonds,
    complexes of molecules and single atoms pass. Noble gases are not judged, as their distances fit by accident.
    """
    from ase.data import covalent_radii

    numbers = np.array(molecule.atomic_numbers)
    if len(numbers) < 2 or NOBLE_GASES & set(numbers.tolist()):
        return False
    coords, radii = molecule.coords_angstrom, covalent_radii[numbers]
    distances = np.linalg.norm(coords[:, None] - coords[None], axis=2)
    np.fill_diagonal(distances, np.inf)
    bonds = radii[:, None] + radii[None]
    bonds[np.outer(numbers == 1, numbers == 1)] = H2_BOND
    nearest = (distances / bonds).min(axis=1)
    low, high = BONDED
    return bool(nearest.min() > UNBONDED and (low < BOHR * nearest).all() and (BOHR * nearest < high).all())


def warn_of_bohr(path: str | PathLike[str], doubtful: Sequence[str], count: int) -> None:
    """Warns, once a file, of those of its `count` molecules whose coordinates look as if they were in bohr."""
    if doubtful:
        which = f"{len(doubtful)} of {count} molecules" if count > 1 else "the molecule"
        warnings.warn(
            f"{path}: {which} (first {doubtful[0]}) with all atoms some 1.9 times too far apart: coordinates in "
            "bohr? dixc reads angstrom; if they are bohr, multiply them by 0.529177",
            DixcWarning,
            stacklevel=3,
        )

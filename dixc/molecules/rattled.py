"""Copies of molecules with their nuclei displaced at random: more to learn from without more molecules."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from dixc.errors import UserError
from dixc.molecules.entry import Entry
from dixc.molecules.molecule import Molecule

if TYPE_CHECKING:
    from dixc.config.sections import Rattled
    from dixc.molecules.pool import Pool


def with_copies(entries: list[Entry], settings: Rattled, pool: Pool) -> list[Entry]:
    """Each molecule, and after it its copies `<name>~1`, `<name>~2`, ...

    Every coordinate is displaced by a normal deviate, which follows from the seed and the copy's name alone.

    Args:
        entries: molecules in the order of their draw.
        settings: how many copies, and the standard deviation of the displacements.
        pool: whose names are taken, and whose seed is used.

    Raises:
        UserError: there is a molecule of a copy's name.
    """
    return [
        one for entry in entries for one in (entry, *(_copy(entry, n, settings, pool)
                                                      for n in range(1, settings.copies + 1)))
    ]  # fmt: skip


def _copy(entry: Entry, number: int, settings: Rattled, pool: Pool) -> Entry:
    name, width = f"{entry.name}~{number}", settings.displacement_angstrom
    if name in pool.entries:
        raise UserError(
            f"molecules.train.rattled: a copy of {entry.name} would be {name}, the name of a molecule in "
            f"{pool.entries[name].source}"
        )

    def load() -> Molecule:
        molecule = entry.load()
        digest = hashlib.sha256(f"{pool.settings.seed}:{name}".encode()).digest()
        rng = np.random.default_rng(int.from_bytes(digest[:8], "little"))
        coords = molecule.coords_angstrom + width * rng.standard_normal(molecule.coords_angstrom.shape)
        return replace(molecule, name=name, coords_angstrom=coords)

    return replace(entry, name=name, load=load)

"""Molecules of the speed benchmark: from QM9 as it comes with dixc, and benzene."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dixc.molecules import Molecule, read_xyz

FOLDER = Path(__file__).parents[2] / "config/molecules"
BASIS, GRID_LEVEL = "def2-svp", 1
CC, CH = 1.39, 1.09  # benzene, angstrom


@dataclass(frozen=True)
class Case:
    """A molecule under the name it has in the tables."""

    label: str
    molecule: Molecule

    @property
    def n_heavy(self) -> int:
        return self.molecule.n_heavy

    def to_pyscf(self):
        """PySCF molecule in the basis of the benchmark."""
        return self.molecule.to_pyscf(BASIS)


# label: (file, name); one molecule a number of heavy atoms, and the labels of the issue
QM9 = {
    "H2O": ("qm9_heavy1-4", "dsgdb9nsd_000003"),
    "CH3OH": ("qm9_heavy1-4", "dsgdb9nsd_000008"),
    "propane": ("qm9_heavy1-4", "dsgdb9nsd_000013"),
    "isobutane": ("qm9_heavy1-4", "dsgdb9nsd_000021"),
    "furan": ("qm9_heavy5", "dsgdb9nsd_000052"),
    "C4H5NO": ("qm9_heavy6", "dsgdb9nsd_000232"),
    "C3H5NO3": ("qm9_heavy7", "dsgdb9nsd_001653"),
    "C6H7NO2": ("qm9_heavy9", "dsgdb9nsd_026926"),
}


def benzene() -> Molecule:
    """D6h benzene."""
    angles = np.deg2rad(60 * np.arange(6))
    ring = np.stack([np.cos(angles), np.sin(angles), np.zeros(6)], axis=1)
    return Molecule("benzene", ("C",) * 6 + ("H",) * 6, np.vstack([CC * ring, (CC + CH) * ring]))


def case(label: str) -> Case:
    """A molecule by its label."""
    if label == "benzene":
        return Case(label, benzene())
    file, name = QM9[label]
    found = {molecule.name: molecule for molecule in read_xyz(FOLDER / f"{file}.xyz")}
    return Case(label, found[name])

"""Molecules that one-build energies are tested and calibrated on: their kinds; no two are the same."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pyscf.data import radii

from dixc.config import load
from dixc.functionals import files
from dixc.models import shipped
from dixc.molecules import Molecule, open_shell_reason, read_xyz
from dixc.molecules.duplicates import Geometries
from dixc.molecules.pool import Pool
from dixc.molecules.splits import choose

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "benchmarks/molecules"
CONFIGS = ["config.yaml", "benchmark.yaml", "development.yaml"]


@pytest.fixture(scope="module")
def molecules() -> dict[str, list[Molecule]]:
    return {name: read_xyz(FOLDER / f"one_build_{name}.xyz") for name in ("test", "calibration")}


def distances(molecule: Molecule) -> np.ndarray:
    """All distances (natm, natm), angstrom; infinite on the diagonal."""
    coords = molecule.coords_angstrom
    return np.linalg.norm(coords[:, None] - coords, axis=-1) + np.diag(np.full(len(coords), np.inf))


@pytest.mark.parametrize(("name", "count", "largest"), [("test", 40, 20), ("calibration", 24, 7)])
def test_number_and_size(molecules, name, count, largest):
    sizes = [molecule.n_heavy for molecule in molecules[name]]
    assert len(sizes) == count
    assert (sizes[0], sizes[-1]) == (3, largest)
    assert sizes == sorted(sizes)
    assert all(open_shell_reason(molecule) is None for molecule in molecules[name])


def test_no_molecule_twice(molecules):
    both = molecules["test"] + molecules["calibration"]
    assert len({molecule.name for molecule in both}) == len(both)
    # the script writes one SMILES for a molecule, without stereochemistry, so conformers have the same
    assert len({molecule.info["smiles"] for molecule in both}) == len(both)
    seen = Geometries()
    assert [seen.add(molecule) for molecule in both] == [None] * len(both)


def test_kinds(molecules):
    for part in molecules.values():
        sources = [molecule.info["source"] for molecule in part]
        assert 0.25 <= sources.count("QM9") / len(part) <= 0.5
        assert sources.count("distorted") >= 2
        assert sum(molecule.charge > 0 for molecule in part) >= 2
        assert sum(molecule.charge < 0 for molecule in part) >= 2
        zwitterions = [m for m in part if m.charge == 0 and "+]" in m.info["smiles"]]
        assert len(zwitterions) >= 2
        assert {symbol for molecule in part for symbol in molecule.symbols} == set("HCNOFPS") | {"Cl"}
    assert sum(molecule.n_heavy > 10 for molecule in molecules["test"]) >= 8


@pytest.mark.parametrize("file", CONFIGS)
def test_none_was_trained_on(molecules, file, monkeypatch):
    monkeypatch.chdir(ROOT)
    chosen = choose(Pool(load(f"config/{file}").molecules))
    seen, names = Geometries(), set()
    for entry in chosen["train"] + chosen["validation"]:
        names.add(entry.name)
        seen.add(entry.load())
    for molecule in molecules["test"] + molecules["calibration"]:
        assert molecule.name not in names
        assert seen.find(molecule) is None
    if file == "development.yaml":
        assert not {molecule.name for molecule in molecules["test"]} & {e.name for e in chosen["test"]}


def test_no_shipped_model_knows_one(molecules):
    for name in shipped():
        metadata = files.resolve(name).metadata
        known = {*metadata["train_molecules"], *metadata["validation_molecules"]}
        assert known
        assert not known & {molecule.name for part in molecules.values() for molecule in part}


def test_every_molecule_is_whole(molecules):
    """Bonds hold all atoms together, those of stretched bonds as well, and no two atoms are too close."""
    for molecule in molecules["test"] + molecules["calibration"]:
        radius = radii.COVALENT[list(molecule.atomic_numbers)] * 0.529177
        ratio = distances(molecule) / (radius[:, None] + radius)
        assert ratio.min() > 0.75, molecule.name
        bonded, reached = ratio < 1.5, np.zeros(len(radius), dtype=bool)
        reached[0] = True
        for _ in radius:
            reached |= bonded[reached].any(axis=0)
        assert reached.all(), molecule.name


@pytest.mark.parametrize(
    ("part", "name", "bond", "length", "count"),
    [
        ("test", "ozone", "OO", 1.272, 2),
        ("test", "sulfur_dioxide", "OS", 1.431, 2),
        ("test", "cubane", "CC", 1.575, 12),
        ("test", "propellane", "CC", 1.525, 6),
        ("test", "propellane", "CC", 1.596, 1),
    ],
)
def test_measured_geometries(molecules, part, name, bond, length, count):
    assert lengths(molecules[part], name, *bond, length - 5e-4, length + 5e-4) == count


@pytest.mark.parametrize(
    ("part", "name", "bond", "usual", "factor"),
    [
        ("test", "fluoroethane_stretched", ("C", "F"), 1.38, 1.3),
        ("test", "vinyl_chloride_stretched", ("C", "Cl"), 1.73, 1.25),
        ("calibration", "dimethyl_sulfide_stretched", ("C", "S"), 1.80, 1.25),
    ],
)
def test_stretched_bonds(molecules, part, name, bond, usual, factor):
    low, high = (usual + change for change in (-0.05, 0.05))
    unstretched = 1 if part == "calibration" else 0  # the other bond of the sulfide
    assert lengths(molecules[part], name, *bond, low, high) == unstretched
    assert lengths(molecules[part], name, *bond, factor * low, factor * high) == 1


def lengths(part: list[Molecule], name: str, a: str, b: str, low: float, high: float) -> int:
    """Number of distances within bounds between atoms of two elements."""
    molecule = next(m for m in part if m.name == name)
    found = distances(molecule)
    pairs = [(i, j) for i, j in zip(*np.triu_indices(len(found), 1), strict=True)]
    kinds = {tuple(sorted((a, b)))}
    wanted = [p for p in pairs if tuple(sorted(molecule.symbols[i] for i in p)) in kinds]
    return sum(low <= found[pair] <= high for pair in wanted)

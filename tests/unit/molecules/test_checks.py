"""Doubts about geometries: coordinates in bohr, atoms closer than any bond."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from dixc.errors import DixcWarning
from dixc.molecules import Molecule, read_xyz
from dixc.molecules.checks import BOHR, looks_like_bohr, too_close

ROOT = Path(__file__).resolve().parents[3]


def test_water_in_bohr_is_warned_of_and_shipped_molecules_are_not(tmp_path, recwarn):
    path = tmp_path / "bohr.xyz"
    path.write_text("3\nname=water\nO 0 0 0.2226\nH 0 1.4277 -0.8904\nH 0 -1.4277 -0.8904\n")
    with pytest.warns(DixcWarning, match=r"bohr\.xyz: the molecule \(first water\).*coordinates in bohr\?"):
        read_xyz(path)
    recwarn.clear()
    shipped = sorted((ROOT / "config" / "molecules").glob("*.xyz"))
    assert shipped
    for path in shipped:
        molecules = read_xyz(path, closed_shells_only=False)
        assert all(looks_like_bohr(in_bohr(molecule)) for molecule in molecules if len(molecule.symbols) > 1)
    assert not any(too_close(m) for path in shipped for m in read_xyz(path, closed_shells_only=False))
    assert not recwarn.list, "a false alarm"


# shortest known bonds (angstrom), and what is shorter
@pytest.mark.parametrize(
    ("symbols", "distance"),
    [("HH", 0.74), ("HeH", 0.77), ("HF", 0.92), ("OH", 0.95), ("NN", 1.10), ("NO", 1.06), ("CO", 1.13), ("CC", 1.20),
     ("OO", 1.12), ("CrCr", 1.68), ("LiH", 1.60), ("PN", 1.49), ("SiO", 1.51), ("BH", 1.19), ("MoMo", 1.93),
     ("UO", 1.70)],
)  # fmt: skip
def test_real_bonds_are_not_warned_of_and_shorter_ones_are(symbols, distance):
    atoms = tuple(re.findall("[A-Z][a-z]?", symbols))
    assert too_close(Molecule("m", atoms, [[0, 0, 0], [0, 0, distance]])) is None
    for short in (0.41, 0.6):
        assert f"{atoms[0]}1 and {atoms[1]}2 {short:.2f} angstrom" in too_close(
            Molecule("m", atoms, [[0, 0, 0], [0, 0, short]])
        )


def test_short_bonds_are_one_warning_a_file(tmp_path):
    path = tmp_path / "a.xyz"
    path.write_text("".join(f"2\nname=m{i}\nC 0 0 0\nO 0 0 {d}\n" for i, d in enumerate((1.13, 0.9, 0.6))))
    with pytest.warns(DixcWarning) as caught:
        read_xyz(path)
    (warning,) = caught
    assert str(warning.message).endswith(
        "a.xyz: 2 of 3 molecules (first m1: C1 and O2 0.90 angstrom apart): closer than any bond, check the geometry"
    )


def in_bohr(molecule):
    return replace(molecule, coords_angstrom=molecule.coords_angstrom / BOHR)


@pytest.mark.parametrize(
    ("symbols", "distance"),
    [("HH", 0.74), ("HH", 1.0), ("ArAr", 3.76), ("HeHe", 2.97), ("NaCl", 2.36), ("LiH", 1.6), ("HF", 3.5)],
)
def test_unusual_distances_are_no_bohr(symbols, distance):
    atoms = tuple(re.findall("[A-Z][a-z]?", symbols))
    assert not looks_like_bohr(Molecule("m", atoms, [[0, 0, 0], [0, 0, distance]]))

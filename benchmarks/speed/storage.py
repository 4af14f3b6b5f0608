"""Bytes of a molecule in reference and derivative chunks, and what all of QM9 would take."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np

from benchmarks.speed.molecules import case
from benchmarks.speed.reference import chunks
from benchmarks.speed.timing import Options

MOLECULES = ("CH3OH", "propane", "isobutane", "furan", "C4H5NO", "C3H5NO3", "C6H7NO2")
DENSE = ("a_plus_b", "a_minus_b")
TARGET_MB = {"small": 2.0, "large": 25.0}  # up to 5 heavy atoms, and 9; without the dense matrices
# molecules of QM9 without fluorine by heavy atoms
QM9 = {1: 3, 2: 5, 3: 9, 4: 31, 5: 126, 6: 602, 7: 3108, 8: 17607, 9: 107417}


def measure(options: Options, folder: Path) -> list[dict]:
    """A row a molecule, then a row a size with the total of QM9."""
    found = [molecule_row(label, folder) for label in (("H2O",) if options.quick else MOLECULES)]
    return found + totals(found)


def dataset_mb(path: Path, wanted: Callable[[str], bool]) -> float:
    """MB of the datasets of a chunk whose names are wanted."""
    total = 0

    def add(name: str, item) -> None:
        nonlocal total
        if isinstance(item, h5py.Dataset) and wanted(name.rsplit("/", 1)[-1]):
            total += item.id.get_storage_size()

    with h5py.File(path) as file:
        file.visititems(add)
    return total * 1e-6


def molecule_row(label: str, folder: Path) -> dict:
    """What a training molecule takes on disk."""
    molecule, (reference, derivatives) = case(label), chunks(label, folder)
    dense = dataset_mb(derivatives, lambda name: name in DENSE)
    first, second = (path.stat().st_size * 1e-6 for path in (reference, derivatives))
    rest = first + second - dense
    target = TARGET_MB["small" if molecule.n_heavy <= 5 else "large"]
    row = {"section": "storage", "quantity": "molecule", "molecule": label, "n_heavy": molecule.n_heavy}
    row |= {"reference_MB": first, "derivatives_MB": second, "dense_MB": dense, "without_dense_MB": rest}
    return row | {"target_MB": target, "met": rest <= target}


def totals(found: list[dict]) -> list[dict]:
    """GB of all of QM9 by size: one molecule stands for its size, sizes between are interpolated."""
    sizes = [row["n_heavy"] for row in found]
    rows = []
    for n_heavy, count in QM9.items():
        row = {"section": "storage", "quantity": "QM9", "n_heavy": n_heavy, "count": count}
        for key in ("reference_MB", "derivatives_MB", "dense_MB"):
            each = float(np.interp(n_heavy, sizes, [row[key] for row in found]))
            row[key.replace("MB", "GB")] = 1e-3 * count * each
        rows.append(row)
    return rows

"""Merge the parts of a run into its tables scf, warmstart and tddft.

The SCF parts are HDF5 chunks, one a functional and chunk of molecules; the other two come as CSV
parts that already have the final columns, and a few more (`dixc.tables.details`). Every molecule
keeps its row, with `converged` False if anything failed. One thing is made here, the energy error
after a fit of per-element energies.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from dixc.errors import InputError
from dixc.tables.element_fit import element_counts, fitted_errors
from dixc.tables.frames import as_types, empty_table, read_table, sort_rows
from dixc.tables.metrics import FITTED
from dixc.tables.schema import KEYS, TABLES
from dixc.text import shortened

SHOWN = 10  # molecules that a message names
Paths = Sequence[Path]


def merge(scf: Paths, warmstart: Paths, tddft: Paths) -> dict[str, pd.DataFrame]:
    """The three tables of all parts, sorted."""
    return {
        "scf": _gather("scf", scf, read_chunk),
        "warmstart": _gather("warmstart", warmstart, partial(read_table, name="warmstart", of_part=True)),
        "tddft": _gather("tddft", tddft, partial(read_table, name="tddft", of_part=True)),
    }


def _gather(name: str, paths: Paths, read: Callable[[Path], pd.DataFrame]) -> pd.DataFrame:
    """Concatenate parts, refuse repeated rows, fit energies (with all molecules at hand), sort."""
    parts = [(Path(path), read(Path(path))) for path in paths]
    filled = [rows for _, rows in parts if len(rows)]
    if not filled:
        return empty_table(name)
    table = pd.concat(filled, ignore_index=True)
    identity = list(TABLES[name].identity)
    repeated = table.duplicated(identity)
    if repeated.any():
        first = table.loc[repeated.idxmax(), identity]
        files = [str(path) for path, rows in parts if (rows[KEYS] == first[KEYS]).all(axis=1).any()]
        words = ", ".join(f"{key} {value}" for key, value in first.items())
        raise InputError(f"{' and '.join(files)}: the same row twice in table {name} ({words})")
    _require_one_split(table, name)
    if name == "scf":
        table[FITTED] = fitted_errors(table, element_counts(table.pop("atomic_numbers")))
    return sort_rows(as_types(table, name))


def _require_one_split(table: pd.DataFrame, name: str) -> None:
    """Refuses results of which some call a molecule one of training, and others one of the test."""
    splits = table.groupby("molecule")["split"].unique()
    several = splits[splits.map(len) > 1]
    if len(several):
        words = [f"{molecule} ({', '.join(names)})" for molecule, names in several.items()]
        raise InputError(f"table {name}: molecules in more than one split: {shortened(words, SHOWN)}")


def read_chunk(path: Path) -> pd.DataFrame:
    """Rows of an scf chunk: columns of scf but for the fit, and `atomic_numbers` (or empty)."""
    from dixc.store import decoding, open_chunk

    with open_chunk(path, stage="scf") as chunk, decoding(path):
        return pd.DataFrame(list(_rows(chunk, path)))


def _rows(chunk: Any, path: Path) -> Iterator[dict[str, Any]]:
    tags = {key: _attribute(chunk, key, path) for key in ("model", "loss", "seed")}
    measured = [column for column in TABLES["scf"].measured if column != FITTED]
    for key, group in chunk.items():
        where = f"{path}: {key}"
        ok = _attribute(group, "status", where) == "ok"
        row = tags | {"molecule": str(group.attrs.get("name", key))}
        row["split"] = str(group.attrs.get("split", chunk.attrs.get("split", "")))
        row["converged"] = bool(ok and group.attrs.get("converged", False))
        for column in ("n_heavy", *measured):
            # a molecule that failed may lack anything; one that did not must have every metric
            row[column] = float(_attribute(group, column, where, None if ok else np.nan))
        has_atoms = "atomic_numbers" in group
        if ok and not has_atoms:
            raise InputError(f"{where}: no dataset atomic_numbers")
        row["atomic_numbers"] = tuple(int(z) for z in group["atomic_numbers"][()]) if has_atoms else ()
        yield row


def _attribute(node: Any, name: str, where: Path | str, default: float | None = None) -> Any:
    """An HDF5 attribute; an error if it is absent and has no default."""
    value = node.attrs.get(name, default)
    if value is None:
        raise InputError(f"{where}: no attribute {name}")
    return value

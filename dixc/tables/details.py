"""What the parts of a run say beyond its tables: cycles of the SCFs, and intensities.

convergence.csv has a row a cycle of the test molecules' SCFs, and of all that did not converge;
spectra.csv is tddft.csv with oscillator strengths in the place of errors.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dixc.errors import InputError
from dixc.tables.frames import as_types, sort_rows
from dixc.tables.merge import Paths
from dixc.tables.schema import KEYS, TABLES

# columns of a warm-start part, datasets of an SCF chunk: energies and gradient norms of the cycles
HISTORY = ("scf_energies", "scf_gradients")


def collect(scf: Paths, warmstart: Paths, tddft: Paths) -> dict[str, pd.DataFrame]:
    """The tables convergence and spectra, sorted.

    Raises:
        InputError: cycles that are no numbers.
    """
    cycles = [row for path in scf for row in _of_chunk(Path(path))]
    cycles += [row for path in warmstart for row in _of_part(Path(path))]
    tables = {
        "convergence": pd.DataFrame(cycles, columns=TABLES["convergence"].columns),
        "spectra": _spectra(tddft),
    }
    return {name: sort_rows(as_types(table, name)) for name, table in tables.items()}


def _of_chunk(path: Path) -> Iterator[dict[str, Any]]:
    from dixc.store import open_chunk

    with open_chunk(path, stage="scf") as chunk:
        for key, group in chunk.items():
            attributes = group.attrs
            split = str(attributes.get("split", ""))
            converged = bool(attributes.get("converged", False))
            if not all(name in group for name in HISTORY) or not _is_kept(split, converged):
                continue
            tags = {name: chunk.attrs[name] for name in ("model", "loss", "seed")}
            tags |= {"split": split, "molecule": str(attributes.get("name", key))}
            tags |= {"n_heavy": attributes["n_heavy"], "converged": converged}
            tags |= {"scf_of": "functional", "guess": "minao"}
            yield from _cycles(tags, *(group[name][()] for name in HISTORY))


def _of_part(path: Path) -> Iterator[dict[str, Any]]:
    table = pd.read_csv(path, keep_default_na=False, dtype=str)
    if not set(HISTORY) <= set(table):
        return
    for row in table.to_dict("records"):
        converged = row["converged"] == "True"
        if not _is_kept(row["split"], converged):
            continue
        tags = {name: row[name] for name in (*KEYS, "n_heavy", "guess")}
        try:
            energies, gradients = (np.array(row[name].split(), dtype=float) for name in HISTORY)
        except ValueError as error:
            raise InputError(f"{path}: cycles of {row['molecule']}: {error}") from None
        yield from _cycles(tags | {"converged": converged, "scf_of": "reference"}, energies, gradients)


def _is_kept(split: str, converged: bool) -> bool:
    return split == "test" or not converged


def _cycles(
    tags: dict[str, Any], energies: NDArray[np.float64], gradients: NDArray[np.float64]
) -> Iterator[dict[str, Any]]:
    for cycle, (energy, gradient) in enumerate(zip(energies, gradients, strict=False), start=1):
        yield tags | {"cycle": cycle, "e_tot_Eh": energy, "gradient_Eh": gradient}


def _spectra(tddft: Paths) -> pd.DataFrame:
    """Rows of spectra.csv from TDDFT parts; strengths are missing where a part has none."""
    columns = TABLES["spectra"].columns
    parts = [pd.read_csv(path, keep_default_na=False, dtype=str) for path in tddft]
    filled = [part.reindex(columns=columns, fill_value="") for part in parts if len(part)]
    return pd.concat(filled, ignore_index=True) if filled else pd.DataFrame(columns=columns)

"""Merge the parts of a run into its tables: scf.csv, warmstart.csv, tddft.csv and summary.csv, and two of details.

The SCF parts are HDF5 chunks, one a functional and chunk of molecules; the other two come as CSV parts that
already have the final columns, and a few more (`dixc.tables.details`). Every molecule keeps its row, with
`converged` False if anything failed. Two things are made here: the energy error after a fit of per-element
energies, and the summary (`dixc.tables.metrics`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from dixc.errors import InputError
from dixc.evaluation.history import BUILD_ERRORS
from dixc.inputs import require_regular
from dixc.store.folder import write_files
from dixc.tables.element_fit import element_counts, fitted_errors
from dixc.tables.metrics import KEYS, SUMMARY_COLUMNS, sort_rows

if TYPE_CHECKING:
    pass

HEAD = [*KEYS, "n_heavy", "converged"]
COLUMNS = {
    "scf": [*HEAD, "e_tot_error_mEh", "e_tot_error_fit_mEh", "e_rho_mEh", "dipole_error_debye", "l2_density",
            "cycles", "wall_s"],
    "warmstart": [*HEAD, "guess", "cycles", "hybrid_fock_builds", "cheap_fock_builds", "wall_s",
                  "wall_total_s", "e_diff_Eh", *BUILD_ERRORS],
    "tddft": [*HEAD, "method", "state", "excitation_eV", "reference_eV", "error_eV", "overlap_error_eV"],
    "summary": SUMMARY_COLUMNS,
    "convergence": [*HEAD, "scf_of", "guess", "cycle", "e_tot_Eh", "gradient_Eh"],
    "spectra": [*HEAD, "method", "state", "excitation_eV", "oscillator_strength", "reference_eV",
                "reference_strength"],
}  # fmt: skip
# columns that a part may have beyond those of its table
OF_PARTS = {
    "warmstart": ("scf_energies", "scf_gradients"),
    "tddft": ("oscillator_strength", "reference_strength"),
}
# columns that files of earlier releases lack; empty then
LATER = {"warmstart": BUILD_ERRORS}
# what tells two rows of a table apart
IDENTITY = {"scf": KEYS, "warmstart": [*KEYS, "guess"], "tddft": [*KEYS, "method", "state"],
            "summary": ["model", "loss", "split", "metric"]}  # fmt: skip
TEXT = {"model", "loss", "split", "molecule", "guess", "method", "metric", "scf_of"}
INTEGERS = {
    "seed",
    "n_heavy",
    "cycles",
    "hybrid_fock_builds",
    "cheap_fock_builds",
    "state",
    "n",
    "n_failed",
    "cycle",
}
SHOWN = 10  # molecules that a message names
TRUTH = {"True": True, "False": False}
Paths = Sequence[Path]


def merge(scf: Paths, warmstart: Paths, tddft: Paths) -> dict[str, pd.DataFrame]:
    """The three tables of all parts, sorted."""
    return {
        "scf": _gather("scf", scf, read_chunk),
        "warmstart": _gather(
            "warmstart", warmstart, lambda path: read_table(path, "warmstart", of_part=True)
        ),
        "tddft": _gather("tddft", tddft, lambda path: read_table(path, "tddft", of_part=True)),
    }


def _gather(name: str, paths: Paths, read: Callable[[Path], pd.DataFrame]) -> pd.DataFrame:
    """Concatenate parts, refuse repeated rows, fit energies (which needs all training molecules), sort."""
    parts = [(Path(path), read(Path(path))) for path in paths]
    filled = [part for _, part in parts if len(part)]
    if not filled:
        return as_types(pd.DataFrame(columns=COLUMNS[name]), name)
    table = pd.concat(filled, ignore_index=True)
    repeated = table.duplicated(IDENTITY[name])
    if repeated.any():
        first = table.loc[repeated.idxmax(), IDENTITY[name]]
        files = [str(path) for path, part in parts if (part[KEYS] == first[KEYS]).all(axis=1).any()]
        words = ", ".join(f"{key} {value}" for key, value in first.items())
        raise InputError(f"{' and '.join(files)}: the same row twice in table {name} ({words})")
    _require_one_split(table, name)
    if name == "scf":
        table["e_tot_error_fit_mEh"] = fitted_errors(table, element_counts(table.pop("atomic_numbers")))
    return sort_rows(as_types(table[COLUMNS[name]], name))


def _require_one_split(table: pd.DataFrame, name: str) -> None:
    """Refuses results of which some call a molecule one of training, and others one of the test."""
    splits = table.groupby("molecule")["split"].unique()
    several = splits[splits.map(len) > 1]
    if len(several):
        words = [f"{molecule} ({', '.join(found)})" for molecule, found in several.head(SHOWN).items()]
        more = f" and {len(several) - SHOWN} more" if len(several) > SHOWN else ""
        raise InputError(f"table {name}: molecules in more than one split: {', '.join(words)}{more}")


def read_chunk(path: Path) -> pd.DataFrame:
    """Rows of an scf chunk: scf.csv's columns but for the fit, and `atomic_numbers` (empty if unknown)."""
    from dixc.store import decoding, open_chunk

    rows = []
    with open_chunk(path, stage="scf") as chunk, decoding(path):
        root = {key: _attribute(chunk, key, path) for key in ("model", "loss", "seed")}
        for key, group in chunk.items():
            where = f"{path}: {key}"
            ok = _attribute(group, "status", where) == "ok"
            row = dict(root, molecule=str(group.attrs.get("name", key)))
            row["split"] = str(group.attrs.get("split", chunk.attrs.get("split", "")))
            row["converged"] = bool(ok and group.attrs.get("converged", False))
            for column in ("n_heavy", *COLUMNS["scf"][7:]):
                if column != "e_tot_error_fit_mEh":
                    # a molecule that failed may lack anything; one that did not must have every metric
                    default = np.nan if not ok else None
                    row[column] = float(_attribute(group, column, where, default))
            known = "atomic_numbers" in group
            if ok and not known:
                raise InputError(f"{where}: no dataset atomic_numbers")
            row["atomic_numbers"] = tuple(int(z) for z in group["atomic_numbers"][()]) if known else ()
            rows.append(row)
    return pd.DataFrame(rows)


def _attribute(node: Any, name: str, where: Path | str, default: object = None) -> Any:
    """An HDF5 attribute; UserError if it is absent and has no default."""
    value = node.attrs.get(name, default)
    if value is None:
        raise InputError(f"{where}: no attribute {name}")
    return value


def read_table(path: Path, name: str, of_part: bool = False) -> pd.DataFrame:
    """Read a CSV table with exactly the columns of table `name` of COLUMNS; a part may have those of OF_PARTS too.

    Columns of LATER may be missing.

    Raises:
        InputError: no such file, other columns, or something that is not a number where one belongs.
    """
    path, wanted = Path(path), COLUMNS[name]
    numbers = [column for column in wanted if column not in TEXT | {"converged"}]
    require_regular(path)
    try:
        table = pd.read_csv(
            path, keep_default_na=False, na_values={column: ["", "nan", "NaN"] for column in numbers},
            dtype=dict.fromkeys([*TEXT, "converged"], str),
        )  # fmt: skip
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except (OSError, pd.errors.EmptyDataError, pd.errors.ParserError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not a CSV table ({str(error).splitlines()[0]})") from None
    missing = [column for column in wanted if column not in (*table, *LATER.get(name, ()))]
    known = [*wanted, *(OF_PARTS.get(name, ()) if of_part else ())]
    unknown = [column for column in table if column not in known]
    for words, columns in (("no column", missing), ("unknown column", unknown)):
        if columns:
            raise InputError(f"{path}: {words} {', '.join(columns)} (a {name} table has {', '.join(wanted)})")
    return as_types(table, name, path)


def as_types(table: pd.DataFrame, name: str, path: Path | None = None) -> pd.DataFrame:
    """Give each column its type: text, whole numbers that may be missing (Int64), bool, or float64.

    Columns of LATER are made where they are missing; columns of no table are left out.
    """
    where = path or f"table {name}"
    table = table.assign(**{column: np.nan for column in LATER.get(name, ()) if column not in table})
    result = {}
    for column in COLUMNS[name]:
        values = table[column]
        try:
            if column in TEXT:
                result[column] = values.astype(str)
            elif column == "converged":
                result[column] = values.map(lambda value: TRUTH[str(value)]).astype(bool)
            else:
                number = pd.to_numeric(values).astype("float64")
                result[column] = number.astype("Int64") if column in INTEGERS else number
        except (KeyError, ValueError, TypeError) as error:
            raise InputError(f"{where}: column {column}: {error} is not what belongs there") from None
    return pd.DataFrame(result, columns=COLUMNS[name])


def write_tables(tables: dict[str, pd.DataFrame], out: Path, record: dict[str, Any] | None = None) -> None:
    """Write every table as out/NAME.csv, and their provenance.

    Args:
        tables: by name.
        out: folder.
        record: provenance, for provenance.json beside them.
    """
    write_files(_content(tables, record), Path(out))


def _content(tables: dict[str, pd.DataFrame], record: dict[str, Any] | None) -> Iterator[tuple[str, bytes]]:
    from dixc.store.csvtext import csv_bytes
    from dixc.store.sidecar import NAME, sidecar_text

    content = {f"{name}.csv": csv_bytes(t[COLUMNS[name]]) for name, t in tables.items()}
    if record is not None:
        yield NAME, sidecar_text(content, record).encode()
    yield from content.items()

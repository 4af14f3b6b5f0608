"""Tables of the schema as data frames: types, order of rows, reading and writing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from dixc.config.root import NO_LOSS
from dixc.errors import InputError
from dixc.inputs import require_regular
from dixc.store.folder import write_files
from dixc.tables.metrics import BY_NAME
from dixc.tables.schema import TABLES

# rows are sorted by these, as far as a table has them; classical functionals come first
_WITHIN_MOLECULE = ("scf_of", "guess", "cycle", "method", "state", "metric")
_SORTED_BY = ("_learned", "model", "loss", "seed", "split", "n_heavy", "molecule", *_WITHIN_MOLECULE)
# values in an order of their own
_ORDER = {column.name: column.values for table in TABLES.values() for column in table.fields if column.values}
_ORDER["metric"] = tuple(BY_NAME)
_TRUTH = {"True": True, "False": False}


def as_types(table: pd.DataFrame, name: str, path: Path | None = None) -> pd.DataFrame:
    """The columns of table `name`, each with its type; integers may be missing (Int64).

    Columns that earlier releases lack are made where they are missing; others are left out.

    Raises:
        InputError: a value that does not belong into its column.
    """
    schema = TABLES[name]
    absent = [column for column in schema.later if column not in table]
    table = table.assign(**dict.fromkeys(absent, np.nan))
    typed = {}
    for column in (column for column in schema.fields if not column.part_only):
        values = table[column.name]
        try:
            if column.kind == "text":
                values = values.astype(str)
            elif column.kind == "flag":
                values = values.map(lambda value: _TRUTH[str(value)]).astype(bool)
            else:
                values = pd.to_numeric(values).astype("float64")
            typed[column.name] = values.astype("Int64") if column.kind == "integer" else values
        except (KeyError, ValueError, TypeError) as error:
            where = f"{path or f'table {name}'}: column {column.name}"
            raise InputError(f"{where}: {error} is not what belongs there") from None
    return pd.DataFrame(typed, columns=schema.columns)


def empty_table(name: str) -> pd.DataFrame:
    """Table `name` without rows."""
    return as_types(pd.DataFrame(columns=TABLES[name].columns), name)


def sort_rows(table: pd.DataFrame) -> pd.DataFrame:
    """Sort rows: classical functionals first, then by model, loss, seed, split, size, name, ..."""
    keyed = table.assign(_learned=table["loss"] != NO_LOSS)
    by = [column for column in _SORTED_BY if column in keyed]

    def rank(column: pd.Series) -> pd.Series:
        places = {value: place for place, value in enumerate(_ORDER.get(str(column.name), ()))}
        return column.map(lambda value: places.get(value, len(places))) if places else column

    # kind="stable" is honoured by pandas for one key; with several it is stable by construction
    ordered = keyed.sort_values(by, key=rank, kind="stable", na_position="last")
    return ordered[list(table)].reset_index(drop=True)


def read_table(path: Path, name: str, of_part: bool = False) -> pd.DataFrame:
    """Read a CSV table with exactly the columns of table `name`, or of its parts.

    Columns that earlier releases lack may be missing.

    Raises:
        InputError: no such file, other columns, or a value that does not belong there.
    """
    path, schema = Path(path), TABLES[name]
    texts = [
        column.name for column in schema.fields if column.kind in ("text", "flag") and not column.part_only
    ]
    numbers = [column for column in schema.columns if column not in texts]
    require_regular(path)
    try:
        table = pd.read_csv(
            path,
            keep_default_na=False,
            na_values={column: ["", "nan", "NaN"] for column in numbers},
            dtype=dict.fromkeys(texts, str),
        )
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except (OSError, pd.errors.EmptyDataError, pd.errors.ParserError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not a CSV table ({str(error).splitlines()[0]})") from None
    missing = [column for column in schema.columns if column not in (*table, *schema.later)]
    unknown = [
        column for column in table if column not in (schema.part_columns if of_part else schema.columns)
    ]
    for words, columns in (("no column", missing), ("unknown column", unknown)):
        if columns:
            has = f"a {name} table has {', '.join(schema.columns)}"
            raise InputError(f"{path}: {words} {', '.join(columns)} ({has})")
    return as_types(table, name, path)


def write_tables(
    tables: Mapping[str, pd.DataFrame], out: Path, record: Mapping[str, Any] | None = None
) -> None:
    """Write every table as out/NAME.csv, and their provenance.

    Args:
        tables: by name.
        out: folder.
        record: provenance, for provenance.json beside them.
    """
    write_files(_content(tables, record), Path(out))


def _content(
    tables: Mapping[str, pd.DataFrame], record: Mapping[str, Any] | None
) -> Iterator[tuple[str, bytes]]:
    from dixc.store.csvtext import csv_bytes
    from dixc.store.sidecar import NAME, sidecar_text

    content = {f"{name}.csv": csv_bytes(table[TABLES[name].columns]) for name, table in tables.items()}
    if record is not None:
        yield NAME, sidecar_text(content, record).encode()
    yield from content.items()

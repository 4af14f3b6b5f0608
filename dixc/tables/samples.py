"""Samples of a metric: one value a molecule (or state) of each functional and seed.

A sample is *used* if its row converged and its value is finite; all others are kept and counted.
A molecule with an element that no training molecule has is no sample of the energies fitted by
element: it has not failed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dixc.tables.metrics import FITTED, Metric, Source
from dixc.tables.schema import KEYS, FunctionalKey

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]


def floats(column: pd.Series) -> Floats:
    """A column as float64, missing values as NaN."""
    values: Floats = column.to_numpy(dtype=float, na_value=np.nan)
    return values


def rows_of(table: pd.DataFrame, functional: FunctionalKey, **equal: Any) -> pd.DataFrame:
    """The rows of a functional, and of them those with these values in other columns."""
    wanted = functional._asdict() | equal
    keep = np.ones(len(table), dtype=bool)
    for column, value in wanted.items():
        keep &= (table[column] == value).to_numpy(dtype=bool)
    return table[keep]


def samples(metric: Metric, tables: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """One row a molecule (or state): the KEYS, n_heavy, `value` (float64) and `used`.

    Args:
        metric: one of METRICS.
        tables: scf, warmstart and tddft with the columns of the schema.
    """
    source = metric.source
    table = tables[source.table]
    keep = np.ones(len(table), dtype=bool)
    for column, value in source.rows.items():
        keep &= (table[column] == value).to_numpy(dtype=bool)
    if source.column == FITTED:
        keep &= ~has_unseen_element(table)
    if source.builds:
        keep &= _takes_builds(table, source)
    rows = table[keep]
    values = floats(rows[source.column])
    if source.against_minao:
        before = _minao(source, table, rows)
        values = 100.0 * (before - values) / before
    if source.absolute:
        values = np.abs(values)
    result = rows[[*KEYS, "n_heavy"]].copy()
    result["value"] = values
    result["used"] = rows["converged"].to_numpy(dtype=bool) & np.isfinite(values)
    return result.reset_index(drop=True)


def has_unseen_element(scf: pd.DataFrame) -> Flags:
    """Whether a row's molecule has an element that no converged training molecule has; (n_rows,).

    Told by the fit: it has a value for others of the same functional and seed, and none for this
    one, which converged.
    """
    fitted = np.isfinite(floats(scf[FITTED]))
    solved = scf["converged"].to_numpy(dtype=bool) & np.isfinite(floats(scf["e_tot_error_mEh"]))
    unseen: Flags = solved & _any_of_training(scf, fitted) & ~fitted
    return unseen


def _takes_builds(table: pd.DataFrame, source: Source) -> Flags:
    """Whether a row should have the energy after `source.builds` builds; (n_rows,).

    Not if its SCF took fewer. Nor if no row of the same functional and seed has it: tables of
    earlier releases have none.
    """
    present = np.isfinite(floats(table[source.column]))
    fewer = floats(table["hybrid_fock_builds"]) < source.builds
    return _any_of_training(table, present) & ~fewer


def _any_of_training(table: pd.DataFrame, flags: Flags) -> Flags:
    """Whether a flag is set in any row of the same functional and seed; (n_rows,)."""
    groups = pd.Series(flags, index=table.index).groupby([table["model"], table["loss"], table["seed"]])
    anywhere: Flags = groups.transform("any").to_numpy(dtype=bool)
    return anywhere


def _minao(source: Source, table: pd.DataFrame, rows: pd.DataFrame) -> Floats:
    """The converged minao value of the molecule of each row, NaN without one; (n_rows,)."""
    minao = table[(table["guess"] == "minao") & table["converged"].astype(bool)]
    values = pd.Series(floats(minao[source.column]), index=_molecules(minao)).groupby(level=0).mean()
    return floats(values.where(values > 0).reindex(_molecules(rows)))


def _molecules(rows: pd.DataFrame) -> pd.Index:
    """(split, molecule) of each row, as one flat index."""
    pairs = list(zip(rows["split"], rows["molecule"], strict=True))
    return pd.Index(pairs, tupleize_cols=False, dtype=object)

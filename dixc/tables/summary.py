"""summary.csv: every metric of every functional, as a mean over molecules and then over seeds.

A row more, `unseen_element_molecules`, counts molecules with an element that no training molecule
has, where there are any (value: their number, n: that of all molecules).
"""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from dixc.tables.frames import sort_rows
from dixc.tables.metrics import METRICS, UNSEEN
from dixc.tables.samples import has_unseen_element, samples
from dixc.tables.schema import TABLES

_COLUMNS = TABLES["summary"].columns
_GROUPS = ["model", "loss", "split"]


def summarise(tables: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """All rows of summary.csv, sorted by functional, split and metric."""
    parts = [_of_metric(metric.name, samples(metric, tables)) for metric in METRICS]
    filled = [part for part in (*parts, _count_unseen(tables["scf"])) if len(part)]
    if not filled:
        return pd.DataFrame(columns=_COLUMNS)
    return sort_rows(pd.concat(filled, ignore_index=True))


def _of_metric(metric: str, rows: pd.DataFrame) -> pd.DataFrame:
    """Summary rows of one metric, one for each (model, loss, split) that has any sample."""
    summary = []
    for key, group in rows.groupby(_GROUPS, sort=False):
        used = group[group["used"]]
        means = used.groupby("seed")["value"].mean()
        fewest = int(group.groupby("seed")["used"].sum().min())
        failed = group.loc[~group["used"], ["seed", "molecule"]].drop_duplicates()
        summary.append((*key, metric, means.mean(), means.std(ddof=1), fewest, len(failed)))
    return pd.DataFrame(summary, columns=_COLUMNS)


def _count_unseen(scf: pd.DataFrame) -> pd.DataFrame:
    """Summary rows `UNSEEN`, one for each (model, loss, split) that has such molecules."""
    summary = []
    for key, group in scf.assign(unseen=has_unseen_element(scf)).groupby(_GROUPS, sort=False):
        seeds = group.groupby("seed")["unseen"]
        counts = seeds.sum()
        if counts.any():
            summary.append((*key, UNSEEN, counts.mean(), counts.std(ddof=1), int(seeds.size().min()), 0))
    return pd.DataFrame(summary, columns=_COLUMNS)

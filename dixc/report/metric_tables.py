"""Tables of the report: metrics by functional, the glossary, and the run's tables."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from dixc.report.losses import hessian_sentences
from dixc.tables.metrics import BY_NAME, METRICS, Metric, tagged
from dixc.tables.results import Results
from dixc.tables.samples import rows_of
from dixc.tables.schema import LOSS_WORDS, FunctionalKey
from dixc.text import DASH, number

SHOWN_TABLES = ("scf", "warmstart", "tddft")
MOST_ROWS = 2000


def headline(results: Results) -> dict[str, Any]:
    """The table of test metrics: a column a metric, a row a functional, best values marked."""
    columns, rows = _metric_table(results, tagged("headline"), results.functionals)
    for functional, row in zip(results.functionals, rows, strict=True):
        row["converged"] = _converged(results, functional)
    return {"columns": columns, "rows": rows, "minao": _minao_words(results)}


def builds(results: Results) -> dict[str, Any]:
    """Errors of the reference's energy after one and two Fock builds, as a table like `headline`.

    It has the functionals with such an energy, and no columns without any. Sentences say whether
    Hessian supervision pays.
    """
    test = _test_rows(results)
    foretold = test[test["metric"].isin([metric.name for metric in METRICS if metric.source.builds])]
    measured = set(map(FunctionalKey, foretold["model"], foretold["loss"]))
    functionals = [functional for functional in results.functionals if functional in measured]
    columns, rows = _metric_table(results, tagged("builds") if functionals else [], functionals)
    return {"columns": columns, "rows": rows, "sentences": hessian_sentences(results)}


def _test_rows(results: Results) -> pd.DataFrame:
    return results.summary[results.summary["split"] == "test"]


def _metric_table(
    results: Results, metrics: Sequence[Metric], functionals: Sequence[FunctionalKey]
) -> tuple[list[Metric], list[dict[str, Any]]]:
    """Metrics that have values, and a row of cells a functional, the best of each column marked."""
    test = _test_rows(results)
    shown = [metric for metric in metrics if (test["metric"] == metric.name).any()]
    best = {metric: results.best(metric.name, functionals) for metric in shown}
    values = {(row.model, row.loss, row.metric): row for row in test.itertuples()}
    rows = []
    for key in functionals:
        cells = [_cell(values.get((*key, metric.name)), key in best[metric]) for metric in shown]
        rows.append({"name": key.label, "key": key.style, "cells": cells})
    return shown, rows


def _cell(row: Any, best: bool) -> dict[str, Any]:
    if row is None:
        return {"text": DASH, "best": False, "spread": "", "failed": 0}
    spread = number(row.spread, 2) if pd.notna(row.spread) else ""
    return {"text": number(row.value), "best": best, "spread": spread, "failed": int(row.n_failed)}


def _converged(results: Results, functional: FunctionalKey) -> str:
    rows = rows_of(results.tables["scf"], functional, split="test")
    return f"{int(rows['converged'].sum())} / {len(rows)}" if len(rows) else DASH


def _minao_words(results: Results) -> str:
    """The reference functional from the default guess, in words; empty if it was not run."""
    test = _test_rows(results)
    rows = test[test["metric"].isin(["warmstart_fock_builds_minao", "warmstart_cycles_minao"])]
    if rows.empty:
        return ""
    words = [f"{number(row.value)} {BY_NAME[row.metric].unit}" for row in rows.itertuples()]
    return f"{rows['model'].iloc[0]} from the default guess (minao) needs {' and '.join(words)} on average."


def glossary(results: Results) -> dict[str, list[tuple[str, str]]]:
    """One sentence for each metric of the tables and each loss."""
    shown = [metric for metric in METRICS if {"headline", "builds"} & set(metric.tags)]
    return {
        "metrics": [(f"{metric.label}, {metric.unit}", metric.meaning) for metric in shown],
        "losses": [(loss, LOSS_WORDS[loss].meaning) for loss in results.config.training.losses],
    }


def full_tables(results: Results) -> list[dict[str, Any]]:
    """Every row of every table (up to MOST_ROWS each, test molecules first), as words."""
    shown = []
    for name in ("summary", *SHOWN_TABLES):
        table = results.summary if name == "summary" else results.tables[name]
        first = table.sort_values("split", key=lambda split: split != "test", kind="stable").head(MOST_ROWS)
        rows = [[_word(value) for value in row] for row in first.itertuples(index=False)]
        note = f"The first {len(first)} of {len(table)} rows; all are in tables/{name}.csv."
        words = {"name": name, "columns": list(table), "rows": rows, "count": len(table)}
        shown.append({**words, "note": note if len(first) < len(table) else ""})
    return shown


def _word(value: Any) -> str:
    if value is pd.NA or (isinstance(value, float) and pd.isna(value)):
        return DASH
    return number(value, 4) if isinstance(value, float) else str(value)

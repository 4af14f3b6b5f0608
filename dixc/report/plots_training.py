"""Figure of the trainings: every logged quantity by step or by wall-clock."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from dixc.report.theme import colour, few_ticks, figure, plain
from dixc.report.training_logs import CLOCKS, Logs, parse_name
from dixc.tables.samples import floats
from dixc.tables.schema import FunctionalKey

TERMS = ("energy", "density", "gradient", "hessian", "excitation")
OVERALL = ("loss", "grad_norm", "learning_rate", "undone", "temperature")
AXES = dict(zip(CLOCKS, ("step", "wall-clock / s"), strict=True))
MOST_POINTS = 400
PANELS = 5  # in a line: as many as there are terms
UNITS = {"per_bohr3": "bohr$^{-3}$", "hartree2": "hartree$^2$"}
LINES = ("-", "--", ":", "-.")


def quantities(logs: Logs) -> dict[str, list[str]]:
    """Columns that have numbers in any log, by kind: raw, weighted, validation and overall."""
    columns = list(
        dict.fromkeys(column for log in logs.values() for column in log if log[column].notna().any())
    )
    raw = [column for term in TERMS for column in columns if re.fullmatch(rf"{term}_raw(_.+)?", column)]
    return {
        "raw": raw,
        "weighted": [f"{term}_weighted" for term in TERMS if f"{term}_weighted" in columns],
        "validation": [column for column in columns if column.startswith("validation_")],
        "overall": [column for column in OVERALL if column in columns],
    }


def training_figure(logs: Logs, along: str) -> Figure | None:
    """All logged quantities against `along` (step or wall_s): five panels a line, logarithmic."""
    shown = {kind: columns for kind, columns in quantities(logs).items() if columns}
    if not shown:
        return None
    lines = [columns[i : i + PANELS] for columns in shown.values() for i in range(0, len(columns), PANELS)]
    result, axes = figure(len(lines), PANELS, 14.0, 0.5 + 2.25 * len(lines), sharex=True)
    models = list(dict.fromkeys(parse_name(name)[0] for name in logs))
    for panel in axes.flat:
        panel.set_visible(False)
    for line, columns in enumerate(lines):
        for panel, column in zip(axes[line], columns, strict=False):
            panel.set_visible(True)
            _curves(panel, logs, column, along, models)
            panel.set_xlabel(AXES[along])
            panel.xaxis.set_tick_params(labelbottom=True)
    first = {
        plain(curve.get_label()): curve
        for panel in axes.flat
        for curve in panel.get_lines()
        if not curve.get_label().startswith("_")
    }
    result.legend(first.values(), first.keys(), loc="outside lower center", ncols=6)
    return result


def _curves(panel: Axes, logs: Logs, column: str, along: str, models: list[str]) -> None:
    """One column of every log: faint as logged, strong as a running mean."""
    for name, log in logs.items():
        model, loss, _ = parse_name(name)
        if column not in log:
            continue
        kept = log[[along, column]].replace([np.inf, -np.inf], np.nan).dropna()
        x, y = floats(kept[along]), pd.Series(floats(kept[column]))
        ink: dict[str, Any] = {"color": colour(FunctionalKey(model, loss))}
        ink["linestyle"] = LINES[models.index(model) % len(LINES)]
        thin = slice(None, None, max(1, len(y) // MOST_POINTS))
        noisy = len(y) >= 30 and column != "learning_rate"
        if noisy:
            panel.plot(x[thin], y[thin], linewidth=0.5, alpha=0.25, **ink)
            y = y.rolling(len(y) // 15, center=True, min_periods=1).mean()
        ink["marker"] = "" if len(y) > 25 else "."
        panel.plot(x[thin], y[thin], linewidth=1.5, label=f"{model} {loss}", **ink)
        if len(y) and (y > 0).all():
            panel.set_yscale("log")
    few_ticks(panel, "y")
    panel.set_title(title(column))


def title(column: str) -> str:
    """`energy_raw_mEh` -> `energy / mEh`, `validation_loss` -> `validation: loss`."""
    column = column.removesuffix("_raw_1")
    found = re.fullmatch(r"(\w+?)_raw_(.+)", column)
    if found:
        column = f"{found[1]} / {UNITS.get(found[2], found[2])}"
    return re.sub("^validation_", "validation: ", column.replace("_weighted", " (weighted)")).replace(
        "_", " "
    )

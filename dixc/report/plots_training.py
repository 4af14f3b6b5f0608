"""Training logs: reading, curves, and cost."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from dixc.errors import InputError
from dixc.inputs import require_regular
from dixc.report.theme import colour, few_ticks, figure, plain
from dixc.tables.metrics import floats

TERMS = ("energy", "density", "gradient", "hessian", "excitation")
OVERALL = ("loss", "grad_norm", "learning_rate", "undone", "temperature")
AXES = {"step": "step", "wall_s": "wall-clock / s"}
MOST_POINTS = 400
PANELS = 5  # in a line: as many as there are terms
UNITS = {"per_bohr3": "bohr$^{-3}$", "hartree2": "hartree$^2$"}
LINES = ("-", "--", ":", "-.")


def read_logs(paths: Sequence[Path]) -> dict[str, pd.DataFrame]:
    """Training logs by name ({model}-{loss}-{seed}, from the file name).

    Raises:
        InputError: a file is missing, no CSV table, or lacks `step` or `wall_s`.
    """
    logs = {}
    for path in map(Path, paths):
        require_regular(path)
        try:
            log = pd.read_csv(path)
        except (OSError, ValueError) as error:
            raise InputError(f"{path}: training log cannot be read ({str(error).splitlines()[0]})") from None
        absent = [column for column in AXES if column not in log]
        if absent:
            raise InputError(f"{path}: no column {', '.join(absent)}")
        logs[path.stem] = log
    return logs


def parts(name: str) -> tuple[str, str, str]:
    """model, loss and seed of a log's name; a model's name may itself have a hyphen."""
    pieces = name.rsplit("-", 2)
    return (pieces[0], pieces[1], pieces[2]) if len(pieces) == 3 else (name, "", "")


def quantities(logs: dict[str, pd.DataFrame]) -> dict[str, list[str]]:
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


def training_figure(logs: dict[str, pd.DataFrame], along: str) -> Figure | None:
    """All logged quantities against `along` (step or wall_s): five panels a line, logarithmic."""
    shown = {kind: columns for kind, columns in quantities(logs).items() if columns}
    if not shown:
        return None
    lines = [columns[i : i + PANELS] for columns in shown.values() for i in range(0, len(columns), PANELS)]
    result, axes = figure(len(lines), PANELS, 14.0, 0.5 + 2.25 * len(lines), sharex=True)
    models = list(dict.fromkeys(parts(name)[0] for name in logs))
    for panel in axes.flat:
        panel.set_visible(False)
    for line, columns in enumerate(lines):
        for panel, column in zip(axes[line], columns, strict=False):
            panel.set_visible(True)
            _curves(panel, logs, column, along, models)
            panel.set_xlabel(AXES[along])
            panel.xaxis.set_tick_params(labelbottom=True)
    first = {plain(curve.get_label()): curve for panel in axes.flat for curve in panel.get_lines()
             if not curve.get_label().startswith("_")}  # fmt: skip
    result.legend(first.values(), first.keys(), loc="outside lower center", ncols=6)
    return result


def _curves(panel: Axes, logs: dict[str, pd.DataFrame], column: str, along: str, models: list[str]) -> None:
    """One column of every log: faint as logged, strong as a running mean."""
    for name, log in logs.items():
        model, loss, _ = parts(name)
        if column not in log:
            continue
        kept = log[[along, column]].replace([np.inf, -np.inf], np.nan).dropna()
        x, y = floats(kept[along]), pd.Series(floats(kept[column]))
        ink = {"color": colour((model, loss)), "linestyle": LINES[models.index(model) % len(LINES)]}
        thin = slice(None, None, max(1, len(y) // MOST_POINTS))
        noisy = len(y) >= 30 and column != "learning_rate"
        if noisy:
            panel.plot(x[thin], y[thin], linewidth=0.5, alpha=0.25, **ink)
            y = y.rolling(len(y) // 15, center=True, min_periods=1).mean()
        panel.plot(
            x[thin], y[thin], linewidth=1.5, label=f"{model} {loss}", marker="" if len(y) > 25 else ".", **ink
        )
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


def cost(logs: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """One row a log: model, loss, seed, steps, wall_s, ms_per_step, and rows whose loss is not finite."""
    rows = []
    for name, log in logs.items():
        model, loss, seed = parts(name)
        steps, wall = (floats(log[column]).max() if len(log) else np.nan for column in AXES)
        bad = int((~np.isfinite(floats(log["loss"]))).sum()) if "loss" in log else 0
        rows.append({"model": model, "loss": loss, "seed": seed, "steps": steps, "wall_s": wall,
                     "ms_per_step": 1000 * wall / steps if steps else np.nan, "not_finite": bad})  # fmt: skip
    columns = ["model", "loss", "seed", "steps", "wall_s", "ms_per_step", "not_finite"]
    return pd.DataFrame(rows, columns=columns)

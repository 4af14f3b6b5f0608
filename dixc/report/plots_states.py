"""Figure of excitation energies: parity with the reference, and the error state by state."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from dixc.report.plots import by_model, legend, unique
from dixc.report.theme import REFERENCE, dots, figure, jitter, plain
from dixc.tables.results import Results
from dixc.tables.samples import floats, rows_of
from dixc.tables.schema import FunctionalKey


def excitation_figure(results: Results) -> Figure | None:
    """Left: excitation energies against the reference's. Right: errors of states, means as bars."""
    table = results.tables["tddft"]
    rows = table[(table["split"] == "test") & table["converged"] & (table["method"] == "tddft")]
    rows = rows[rows["excitation_eV"].notna() & rows["reference_eV"].notna() & rows["state"].notna()]
    if rows.empty:
        return None
    groups = by_model(results)
    result, axes = figure(len(groups), 2, 10.5, 0.6 + 4.2 * len(groups), width_ratios=[1, 1.3])
    for line, (model, functionals) in enumerate(groups):
        _parity(axes[line, 0], rows, functionals)
        _errors(axes[line, 1], rows, functionals)
        axes[line, 0].set_title(f"{plain(model)}: full TDDFT, lowest singlets")
    legend(result, unique(groups))
    return result


def _parity(panel: Axes, rows: pd.DataFrame, functionals: list[FunctionalKey]) -> None:
    ends = np.array([rows[["excitation_eV", "reference_eV"]].min().min(), rows["reference_eV"].max()])
    ends = ends + np.array([-0.2, 0.2])
    panel.plot(ends, ends, color=REFERENCE, linewidth=1)
    for functional in functionals:
        mine = rows_of(rows, functional)
        dots(panel, floats(mine["reference_eV"]), floats(mine["excitation_eV"]), functional, s=20)
    panel.set_xlabel("reference / eV")
    panel.set_ylabel("functional / eV")
    panel.set_aspect("equal", adjustable="datalim")


def _errors(panel: Axes, rows: pd.DataFrame, functionals: list[FunctionalKey]) -> None:
    states = sorted(rows["state"].astype(int).unique())
    panel.axhline(0, color=REFERENCE, linewidth=1)
    for place, functional in enumerate(functionals):
        mine = rows_of(rows, functional)
        shift = 0.8 * ((place + 0.5) / len(functionals) - 0.5)
        width = 0.28 / len(functionals)
        x = floats(mine["state"]) + shift
        dots(panel, x + jitter(len(mine), width), floats(mine["error_eV"]), functional)
        means = mine.groupby("state")["error_eV"].mean()
        centre = floats(means.index.to_series()) + shift
        panel.hlines(
            means.to_numpy(),
            centre - 1.2 * width,
            centre + 1.2 * width,
            color=REFERENCE,
            linewidth=2,
            zorder=4,
        )
    panel.set_xticks(states)
    panel.set_title("Error of each state; bar = mean")
    panel.set_xlabel("state")
    panel.set_ylabel("error / eV")

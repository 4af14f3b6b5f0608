"""Figures of results: metrics, the paper's figures, density error by size, warm start."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from dixc.report.theme import (
    PAPER,
    REFERENCE,
    colour,
    dots,
    few_ticks,
    figure,
    jitter,
    log_if_wide,
    marker,
    plain,
)
from dixc.tables.claims import CLAIMS, Claim, Finding, findings, is_comparable
from dixc.tables.metrics import Metric, tagged
from dixc.tables.results import Results
from dixc.tables.samples import floats, rows_of
from dixc.tables.schema import LOSS_WORDS, FunctionalKey

MOST_MOLECULES = 40
Groups = list[tuple[str, list[FunctionalKey]]]


def legend(target: Figure, functionals: list[FunctionalKey], extra: list[Line2D] | None = None) -> None:
    """One legend under the figure."""
    handles = [
        Line2D([], [], color=colour(key), marker=marker(key), linestyle="", label=plain(key.label))
        for key in functionals
    ]
    handles = (extra or []) + handles
    target.legend(handles=handles, loc="outside lower center", ncols=min(8, len(handles)), columnspacing=1.2)


def by_model(results: Results) -> Groups:
    """Groups for figures with a panel a model: its losses together with the baselines."""
    groups = [(model, results.baselines + results.of_model(model)) for model in results.models]
    return groups or [("baselines", results.baselines)]


def unique(groups: Groups) -> list[FunctionalKey]:
    """Each colour once, without the model's name if there are several models."""
    several = len(groups) > 1
    functionals = [functional for _, group in groups for functional in group]
    return list(
        dict.fromkeys(key._replace(model="") if several and key.is_trained else key for key in functionals)
    )


def metrics_figure(results: Results) -> Figure | None:
    """A panel a metric, a line a functional: dots for molecules (states), a bar for the mean."""
    metrics = [metric for metric in tagged("plotted") if len(results.used(metric.name))]
    functionals = results.functionals
    if not metrics:
        return None
    lines = -(-len(metrics) // 3)
    result, axes = figure(lines, 3, 11.0, lines * (0.95 + 0.3 * len(functionals)), sharey=True)
    for panel in axes.flat[len(metrics) :]:
        panel.set_visible(False)
    for panel, metric in zip(axes.flat, metrics, strict=False):
        _metric_panel(panel, results.used(metric.name), metric, functionals)
    axes[0, 0].set_yticks(range(len(functionals)), [plain(key.label) for key in functionals])
    axes[0, 0].set_ylim(len(functionals) - 0.4, -0.6)
    return result


def _metric_panel(panel: Axes, rows: pd.DataFrame, metric: Metric, functionals: list[FunctionalKey]) -> None:
    shown = rows.assign(value=log_if_wide(panel, "x", rows["value"].to_numpy()))
    for line, functional in enumerate(functionals):
        values = rows_of(shown, functional)["value"]
        if values.empty:
            continue
        dots(panel, values, line + jitter(len(values), 0.22), functional)
        means = rows_of(rows, functional).groupby("seed")["value"].mean()
        panel.plot([means.mean()] * 2, [line - 0.36, line + 0.36], color=REFERENCE, linewidth=2.2, zorder=4)
        if len(means) > 1:
            panel.errorbar(means.mean(), line, xerr=means.std(ddof=1), color=REFERENCE, capsize=3, zorder=4)
    panel.set_title(metric.label)
    panel.set_xlabel(metric.unit)
    panel.grid(axis="y", visible=False)
    few_ticks(panel, "x")


def paper_figure(results: Results) -> Figure | None:
    """Percent changes of the paper in grey, ours as marks; none for another reference."""
    ours = findings(results) if is_comparable(results.config) else []
    if not ours:
        return None
    lines: dict[tuple[Claim, str], list[Finding]] = {}
    for finding in sorted(ours, key=lambda finding: CLAIMS.index(finding.claim)):
        lines.setdefault((finding.claim, finding.model), []).append(finding)
    result, axes = figure(1, 1, 9.0, 1.3 + 0.55 * len(lines))
    panel = axes[0, 0]
    panel.axvline(0, color=REFERENCE, linewidth=1)
    for line, ((claim, _), marks) in enumerate(lines.items()):
        _claim_line(panel, line, claim, marks)
    titles = [f"{claim.metric.label.replace(' saved', '')}\n{plain(model)}" for claim, model in lines]
    panel.set_yticks(range(len(lines)), titles)
    panel.set_ylim(len(lines) - 0.5, -0.5)
    panel.use_sticky_edges = False
    panel.margins(x=0.06)
    panel.set_xlabel("change in percent; to the left of 0 is better")
    paper = Line2D([], [], color=PAPER, linewidth=8, label="paper")
    losses = [loss for loss in LOSS_WORDS if any(finding.loss == loss for finding in ours)]
    legend(result, [FunctionalKey("", loss) for loss in losses], [paper])
    return result


def _claim_line(panel: Axes, line: int, claim: Claim, ours: list[Finding]) -> None:
    if np.isfinite(claim.low):
        width = max(claim.high - claim.low, 1.2)
        panel.barh(line, width, left=(claim.low + claim.high - width) / 2, height=0.62, color=PAPER)
    for place, finding in enumerate(ours):
        y = line + 0.16 * (place - (len(ours) - 1) / 2)
        dots(panel, [finding.percent], [y], FunctionalKey("", finding.loss), s=62, alpha=0.95)


def size_figure(results: Results) -> Figure | None:
    """E_rho of molecules by heavy atoms; test filled, other splits faint; lines: test means."""
    rows = results.samples("e_rho_mEh")
    rows = rows[rows["used"] & rows["n_heavy"].notna()]
    if rows.empty:
        return None
    groups = by_model(results)
    result, axes = figure(len(groups), 1, 9.0, 0.6 + 3.4 * len(groups), sharex=True, sharey=True)
    for panel, (model, functionals) in zip(axes.flat, groups, strict=True):
        shown = rows.assign(value=log_if_wide(panel, "y", rows["value"].to_numpy()))
        for place, functional in enumerate(functionals):
            shift = 0.1 * (place - (len(functionals) - 1) / 2)
            _size_cloud(panel, rows_of(shown, functional), functional, shift)
        few_ticks(panel, "y")
        panel.set_title(f"{plain(model)}: filled = test, faint = training and validation, lines = test means")
        panel.set_ylabel("E_rho / mEh")
        panel.set_xticks(sorted(rows["n_heavy"].astype(int).unique()))
    axes[-1, 0].set_xlabel("heavy atoms")
    legend(result, unique(groups))
    return result


def _size_cloud(panel: Axes, rows: pd.DataFrame, functional: FunctionalKey, shift: float) -> None:
    size = floats(rows["n_heavy"]) + shift
    test = (rows["split"] == "test").to_numpy()
    dots(panel, size[~test], rows["value"][~test], functional, s=14, alpha=0.25)
    dots(panel, size[test], rows["value"][test], functional, s=30, alpha=0.9)
    means = rows[test].groupby("n_heavy")["value"].mean()
    x = floats(means.index.to_series()) + shift
    panel.plot(x, means.to_numpy(), color=colour(functional), linewidth=1.2, alpha=0.8)


def warmstart_figure(results: Results) -> Figure | None:
    """Hybrid Fock builds of test molecules: minao as a bar, density filled, accelerate hollow."""
    table = results.tables["warmstart"]
    rows = table[(table["split"] == "test") & table["converged"]]
    if rows.empty:
        return None
    order = rows.drop_duplicates("molecule").sort_values(["n_heavy", "molecule"])["molecule"]
    names = list(order[:MOST_MOLECULES])
    place = {name: line for line, name in enumerate(names)}
    groups = by_model(results)
    result, axes = figure(1, len(groups), max(8.0, 3.2 * len(groups)), 1.6 + 0.36 * len(names), sharey=True)
    shown = rows[rows["molecule"].isin(names)]
    minao = shown[shown["guess"] == "minao"].drop_duplicates("molecule")
    lines, builds = minao["molecule"].map(place), floats(minao["hybrid_fock_builds"])
    for panel, (model, functionals) in zip(axes.flat, groups, strict=True):
        panel.barh(lines, builds, height=0.86, color="#EDEDED")
        for number, functional in enumerate(functionals):
            shift = 0.8 * ((number + 0.5) / len(functionals) - 0.5)
            _build_marks(panel, rows_of(shown, functional), functional, place, shift)
        panel.set_title(plain(model))
        panel.set_xlabel("Fock builds with exact exchange")
        panel.set_xlim(left=0)
    axes[0, 0].set_yticks(range(len(names)), [plain(name) for name in names])
    axes[0, 0].set_ylim(len(names) - 0.5, -0.5)
    extra = [Line2D([], [], color="#DDDDDD", linewidth=8, label="minao")]
    if (rows["guess"] == "accelerate").any():
        hollow = Line2D([], [], color="#555555", marker="o", linestyle="", label="accelerate")
        hollow.set_markerfacecolor("none")
        extra.append(hollow)
    legend(result, unique(groups), extra)
    return result


def _build_marks(
    panel: Axes, rows: pd.DataFrame, functional: FunctionalKey, place: dict[str, int], shift: float
) -> None:
    density, accelerate = (
        rows[rows["guess"] == guess].groupby("molecule")["hybrid_fock_builds"].mean()
        for guess in ("density", "accelerate")
    )
    dots(panel, floats(density), [place[name] + shift for name in density.index], functional, s=26, alpha=0.9)
    lines = [place[name] + shift for name in accelerate.index]
    hollow: dict[str, Any] = {"facecolors": "none", "edgecolors": colour(functional), "linewidths": 1.2}
    panel.scatter(floats(accelerate), lines, s=26, marker=marker(functional), **hollow)

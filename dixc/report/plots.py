"""Figures of results: metrics by functional, the paper's figures, density error by size, warm start."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from dixc.report.theme import (
    COLOURS,
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
from dixc.tables.claims import CLAIMS, is_comparable, ours
from dixc.tables.compare import Functional, functionals, label
from dixc.tables.metrics import BY_NAME, floats, samples

Tables = dict[str, pd.DataFrame]
PANELS = (
    "e_tot_mae_mEh", "e_tot_mae_fit_mEh", "e_rho_mEh", "dipole_error_debye", "l2_density", "scf_cycles",
    "warmstart_fock_builds_density", "tddft_mae_eV", "tda_mae_eV",
)  # fmt: skip
MOST_MOLECULES = 40


def converged_test_rows(tables: Tables, metric: str) -> pd.DataFrame:
    """Used test samples of a metric."""
    rows = samples(BY_NAME[metric], tables)
    return rows[(rows["split"] == "test") & rows["used"]]


def pick(rows: pd.DataFrame, functional: Functional) -> pd.DataFrame:
    """The rows of one functional."""
    return rows[(rows["model"] == functional[0]) & (rows["loss"] == functional[1])]


def legend(target: Figure, chosen: list[Functional], extra: list[Line2D] | None = None) -> None:
    """One legend under the figure."""
    handles = [
        Line2D([], [], color=colour(one), marker=marker(one), linestyle="", label=plain(label(one)))
        for one in chosen
    ]
    handles = (extra or []) + handles
    target.legend(handles=handles, loc="outside lower center", ncols=min(8, len(handles)), columnspacing=1.2)


def metrics_figure(config, tables: Tables) -> Figure | None:
    """A panel a metric, a line a functional: molecules (states) as dots, the mean of seeds as a bar."""
    shown = [name for name in PANELS if len(converged_test_rows(tables, name))]
    chosen = functionals(config, tables)
    if not shown:
        return None
    lines = -(-len(shown) // 3)
    result, axes = figure(lines, 3, 11.0, lines * (0.95 + 0.3 * len(chosen)), sharey=True)
    for panel in axes.flat[len(shown) :]:
        panel.set_visible(False)
    for panel, name in zip(axes.flat, shown, strict=False):
        _metric_panel(panel, converged_test_rows(tables, name), name, chosen)
    axes[0, 0].set_yticks(range(len(chosen)), [plain(label(one)) for one in chosen])
    axes[0, 0].set_ylim(len(chosen) - 0.4, -0.6)
    return result


def _metric_panel(panel: Axes, rows: pd.DataFrame, name: str, chosen: list[Functional]) -> None:
    shown = rows.assign(value=log_if_wide(panel, "x", rows["value"].to_numpy()))
    for line, one in enumerate(chosen):
        mine = pick(shown, one)
        if mine.empty:
            continue
        dots(panel, mine["value"], line + jitter(len(mine), 0.22), one)
        means = pick(rows, one).groupby("seed")["value"].mean()
        panel.plot([means.mean()] * 2, [line - 0.36, line + 0.36], color=REFERENCE, linewidth=2.2, zorder=4)
        if len(means) > 1:
            panel.errorbar(means.mean(), line, xerr=means.std(ddof=1), color=REFERENCE, capsize=3, zorder=4)
    metric = BY_NAME[name]
    panel.set_title(metric.label)
    panel.set_xlabel(metric.unit)
    panel.grid(axis="y", visible=False)
    few_ticks(panel, "x")


def paper_figure(config, tables: Tables) -> Figure | None:
    """Percent changes of the paper as grey ranges, ours as marks; none where the reference is not the paper's."""
    if not is_comparable(config):
        return None
    found = ours(config, tables)
    claims = [claim for claim in CLAIMS if any(one.claim is claim for one in found)]
    if not claims:
        return None
    names = [(claim, model) for claim in claims
             for model in dict.fromkeys(one.model for one in found if one.claim is claim)]  # fmt: skip
    result, axes = figure(1, 1, 9.0, 1.3 + 0.55 * len(names))
    panel = axes[0, 0]
    panel.axvline(0, color=REFERENCE, linewidth=1)
    for line, (claim, model) in enumerate(names):
        if np.isfinite(claim.low):
            width = max(claim.high - claim.low, 1.2)
            panel.barh(line, width, left=(claim.low + claim.high - width) / 2, height=0.62, color=PAPER)
        here = [one for one in found if one.claim is claim and one.model == model]
        for place, one in enumerate(here):
            dots(
                panel,
                [one.percent],
                [line + 0.16 * (place - (len(here) - 1) / 2)],
                ("", one.loss),
                s=62,
                alpha=0.95,
            )
    titles = [
        f"{BY_NAME[claim.metric].label.replace(' saved', '')}\n{plain(model)}" for claim, model in names
    ]
    panel.set_yticks(range(len(names)), titles)
    panel.set_ylim(len(names) - 0.5, -0.5)
    panel.use_sticky_edges = False
    panel.margins(x=0.06)
    panel.set_xlabel("change in percent; to the left of 0 is better")
    paper = Line2D([], [], color=PAPER, linewidth=8, label="paper")
    legend(result, [("", loss) for loss in COLOURS if any(one.loss == loss for one in found)], [paper])
    return result


def by_model(config, tables: Tables) -> list[tuple[str, list[Functional]]]:
    """Groups for figures with a panel a model: its losses together with the baselines."""
    everything = functionals(config, tables)
    baselines = [one for one in everything if one[1] == "none"]
    models = list(dict.fromkeys(model for model, loss in everything if loss != "none"))
    groups = [(model, baselines + [one for one in everything if one[0] == model]) for model in models]
    return groups or [("baselines", baselines)]


def size_figure(config, tables: Tables) -> Figure | None:
    """E_rho of each molecule against its heavy atoms; test filled, other splits faint; lines: test means."""
    rows = samples(BY_NAME["e_rho_mEh"], tables)
    rows = rows[rows["used"] & rows["n_heavy"].notna()]
    if rows.empty:
        return None
    groups = by_model(config, tables)
    result, axes = figure(len(groups), 1, 9.0, 0.6 + 3.4 * len(groups), sharex=True, sharey=True)
    for panel, (model, chosen) in zip(axes.flat, groups, strict=True):
        shown = rows.assign(value=log_if_wide(panel, "y", rows["value"].to_numpy()))
        for place, one in enumerate(chosen):
            _size_cloud(panel, pick(shown, one), one, 0.1 * (place - (len(chosen) - 1) / 2))
        few_ticks(panel, "y")
        panel.set_title(f"{plain(model)}: filled = test, faint = training and validation, lines = test means")
        panel.set_ylabel("E_rho / mEh")
        panel.set_xticks(sorted(rows["n_heavy"].astype(int).unique()))
    axes[-1, 0].set_xlabel("heavy atoms")
    legend(result, unique(groups))
    return result


def _size_cloud(panel: Axes, mine: pd.DataFrame, one: Functional, shift: float) -> None:
    size = floats(mine["n_heavy"]) + shift
    test = (mine["split"] == "test").to_numpy()
    dots(panel, size[~test], mine["value"][~test], one, s=14, alpha=0.25)
    dots(panel, size[test], mine["value"][test], one, s=30, alpha=0.9)
    means = mine[test].groupby("n_heavy")["value"].mean()
    panel.plot(
        floats(means.index.to_series()) + shift, means.to_numpy(), color=colour(one), linewidth=1.2, alpha=0.8
    )


def unique(groups: list[tuple[str, list[Functional]]]) -> list[Functional]:
    """Each colour once, without the model's name if there are several models."""
    several = len(groups) > 1
    return list(dict.fromkeys(("", loss) if several and loss != "none" else (model, loss)
                              for _, chosen in groups for model, loss in chosen))  # fmt: skip


def warmstart_figure(config, tables: Tables) -> Figure | None:
    """Hybrid Fock builds of each test molecule: minao as a bar, density filled, accelerate hollow."""
    table = tables["warmstart"]
    rows = table[(table["split"] == "test") & table["converged"]]
    if rows.empty:
        return None
    order = rows.drop_duplicates("molecule").sort_values(["n_heavy", "molecule"])["molecule"]
    names = list(order[:MOST_MOLECULES])
    place = {name: line for line, name in enumerate(names)}
    groups = by_model(config, tables)
    result, axes = figure(1, len(groups), max(8.0, 3.2 * len(groups)), 1.6 + 0.36 * len(names), sharey=True)
    for panel, (model, chosen) in zip(axes.flat, groups, strict=True):
        minao = rows[(rows["guess"] == "minao") & rows["molecule"].isin(names)].drop_duplicates("molecule")
        panel.barh(
            minao["molecule"].map(place), floats(minao["hybrid_fock_builds"]), height=0.86, color="#EDEDED"
        )
        for number, one in enumerate(chosen):
            shift = 0.8 * ((number + 0.5) / len(chosen) - 0.5)
            _build_marks(panel, pick(rows[rows["molecule"].isin(names)], one), one, place, shift)
        panel.set_title(plain(model))
        panel.set_xlabel("Fock builds with exact exchange")
        panel.set_xlim(left=0)
    axes[0, 0].set_yticks(range(len(names)), [plain(name) for name in names])
    axes[0, 0].set_ylim(len(names) - 0.5, -0.5)
    bar = Line2D([], [], color="#DDDDDD", linewidth=8, label="minao")
    hollow = Line2D(
        [], [], color="#555555", marker="o", markerfacecolor="none", linestyle="", label="accelerate"
    )
    legend(result, unique(groups), [bar, hollow] if (rows["guess"] == "accelerate").any() else [bar])
    return result


def _build_marks(
    panel: Axes, mine: pd.DataFrame, one: Functional, place: dict[str, int], shift: float
) -> None:
    for guess, options in (
        ("density", {"alpha": 0.9}),
        ("accelerate", {"facecolors": "none", "linewidths": 1.2}),
    ):
        chosen = mine[mine["guess"] == guess].groupby("molecule")["hybrid_fock_builds"].mean()
        lines = [place[name] + shift for name in chosen.index]
        if "facecolors" in options:
            panel.scatter(floats(chosen), lines, s=26, marker=marker(one), edgecolors=colour(one), **options)
        else:
            dots(panel, floats(chosen), lines, one, s=26, **options)

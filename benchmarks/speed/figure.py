"""The figure of the performance page: ratios to PySCF, with targets."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from dixc.report.theme import figure, style, to_svg

PANELS = (
    ("xc", "potential", "XC potential"),
    ("xc", "product of 1", "kernel product"),
    ("xc", "product of 8", "8 kernel products"),
    ("tddft", "5 states", "5 singlets"),
    ("training", "step", "training, per PySCF potential"),
)
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9")
MARKERS = "osD^v"


def draw(tables: dict[str, pd.DataFrame]) -> str | None:
    """SVG with a panel for each comparison that was measured; None without any."""
    parts = []
    for section, quantity, title in PANELS:
        if section in tables:
            table = tables[section]
            # the side that others are compared with is the line at 1
            chosen = table[(table["quantity"] == quantity) & table["ratio"].notna() & (table["ratio"] != 1)]
            if len(chosen):
                parts.append((title, chosen))
    if not parts:
        return None
    with style():
        heights = [1 + chosen.groupby(_names(chosen)).ngroups for _, chosen in parts]
        result, axes = figure(len(parts), 1, 8.0, 0.24 * sum(heights) + 0.7 * len(parts),
                              height_ratios=heights)  # fmt: skip
        for (title, chosen), panel in zip(parts, axes[:, 0], strict=True):
            _panel(panel, title, chosen)
        return to_svg(result)


def _names(table: pd.DataFrame) -> pd.Series:
    variant = table["variant"].fillna("").map(lambda text: f", {text}" if text else "")
    return table["program"] + " " + table["functional"] + variant


def _panel(axes: Axes, title: str, table: pd.DataFrame) -> None:
    names = _names(table)
    order = list(dict.fromkeys(names))[::-1]
    for index, (molecule, part) in enumerate(table.groupby("molecule", sort=False)):
        places = [order.index(name) for name in names[part.index]]
        look = {"marker": MARKERS[index % 5], "color": COLOURS[index % 5], "linestyle": "", "markersize": 4}
        axes.plot(part["ratio"], places, label=molecule, **look)
    targets = table[table["target"].notna()] if "target" in table else table[:0]
    for name, target in {(names[i], row["target"]) for i, row in targets.iterrows()}:
        place = order.index(name)
        axes.plot([target, target], [place - 0.4, place + 0.4], color="black", linewidth=1.5)
    axes.axvline(1, color="#8C8C8C", linewidth=0.8)
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_yticks(range(len(order)), order, fontsize=7)
    axes.set_ylim(-0.6, len(order) - 0.4)
    axes.set_title(title)
    axes.set_xlabel("time / PySCF's time (black: target)", fontsize=8)
    axes.legend(fontsize=7, ncols=2, loc="best")

"""Colours, markers and saving of the report's figures. No pyplot: no display, nothing global."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Literal

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter
from numpy.typing import ArrayLike, NDArray

from dixc.tables.samples import Floats
from dixc.tables.schema import LOSS_WORDS, FunctionalKey

# each name keeps its colour in every figure; those of the losses are in the schema
COLOURS = {"pbe": "#8C8C8C", "r2scan": "#CC79A7"} | {loss: words.colour for loss, words in LOSS_WORDS.items()}
MARKERS = {"pbe": "v", "r2scan": "^"} | {loss: words.marker for loss, words in LOSS_WORDS.items()}
OTHER_COLOURS = ("#56B4E9", "#D55E00", "#F0E442")
OTHER_MARKERS = ("P", "X", "*")
REFERENCE = "#000000"
PAPER = "#BBBBBB"
STYLE: dict[Any, Any] = {
    "svg.hashsalt": "dixc",
    "font.family": "DejaVu Sans",
    "font.size": 9.5,
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#E3E3E3",
    "grid.linewidth": 0.7,
    "legend.frameon": False,
    "figure.dpi": 100,
    "savefig.dpi": 150,
}
# letters as text: laid out in DejaVu Sans, and Verdana is as wide where a reader does not have that
AS_TEXT: dict[Any, Any] = {"svg.fonttype": "none"}
FONTS = ("'DejaVu Sans'", "'DejaVu Sans', Verdana, sans-serif")
# attributes of an SVG file that are coordinates in points; a scale must keep its digits
PLACES = re.compile(r'(?<= )(?:d|x|y|x1|x2|y1|y2)="[^"]*"')
LONG_NUMBER = re.compile(r"-?(\d+)\.\d{2,}")
# above this number a cloud of dots is stored as an image, or the file would grow without bound
MANY_DOTS = 1500


def colour(functional: FunctionalKey) -> str:
    """The colour of a functional's loss, or of its name if it was not trained."""
    name = functional.style
    return COLOURS.get(name) or OTHER_COLOURS[sum(map(ord, name)) % len(OTHER_COLOURS)]


def marker(functional: FunctionalKey) -> str:
    """The marker, as `colour`."""
    name = functional.style
    return MARKERS.get(name) or OTHER_MARKERS[sum(map(ord, name)) % len(OTHER_MARKERS)]


def plain(text: str) -> str:
    """Text without matplotlib's own mathematics: a dollar in a molecule's name is a dollar."""
    return str(text).replace("$", r"\$")


@contextmanager
def style() -> Iterator[None]:
    """The report's settings of matplotlib, for the time of the block."""
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(STYLE)
        yield


def figure(
    rows: int,
    columns: int,
    width: float,
    height: float,
    layout: Literal["constrained"] | None = "constrained",
    **options: Any,
) -> tuple[Figure, NDArray[Any]]:
    """A figure with a grid of axes, (rows, columns); sizes in inches.

    Without a layout the caller places the axes, which takes half the time: for many figures.
    """
    result = Figure(figsize=(width, height), layout=layout)
    return result, result.subplots(rows, columns, squeeze=False, **options)


def empty(words: str) -> Figure:
    """A figure that says why there is nothing to see."""
    result = Figure(figsize=(8, 1.2), layout="constrained")
    result.text(0.5, 0.5, words, ha="center", va="center", color="#555555")
    return result


def empty_axes(axes: Axes, words: str) -> None:
    """Axes that say why they are empty."""
    axes.set_axis_off()
    axes.text(0.5, 0.5, words, ha="center", va="center", color="#555555", transform=axes.transAxes)


def to_svg(result: Figure) -> str:
    """SVG text of a figure, the same for the same data (no date, no random ids)."""
    stream = io.StringIO()
    result.savefig(stream, format="svg", metadata={"Date": None, "Creator": None})
    return PLACES.sub(_rounded, stream.getvalue())


def _rounded(attribute: re.Match[str]) -> str:
    """Coordinates to a tenth of a point, small ones (a marker's) to a hundredth: not to be seen."""
    return LONG_NUMBER.sub(
        lambda number: f"{float(number[0]):.{1 if len(number[1]) > 1 else 2}f}", attribute[0]
    )


def drawn(make: Callable[..., Figure | None], *data: object, nothing: str) -> str:
    """SVG of `make(*data)`, or of a note that says what is missing if it returns None."""
    with style():
        return to_svg(make(*data) or empty(nothing))


def drawn_small(make: Callable[..., Figure | None], *data: object) -> str:
    """SVG of `make(*data)` with letters as text in the reader's font: smaller. Empty for None."""
    with style(), mpl.rc_context(AS_TEXT):
        result = make(*data)
        return "" if result is None else to_svg(result).replace(*FONTS)


def dots(axes: Axes, x: ArrayLike, y: ArrayLike, functional: FunctionalKey, **options: Any) -> None:
    """A cloud of single values in a functional's colour and marker."""
    settings: dict[str, Any] = {"s": 16, "alpha": 0.55, "linewidths": 0.0}
    settings["rasterized"] = np.size(x) > MANY_DOTS
    axes.scatter(x, y, color=colour(functional), marker=marker(functional), **settings | options)


def jitter(count: int, width: float) -> Floats:
    """Fixed offsets in [-width, width] that keep dots apart; the same at every run."""
    golden = 0.6180339887498949
    return width * (2 * ((np.arange(count, dtype=np.float64) * golden) % 1.0) - 1)


def log_if_wide(axes: Axes, which: str, values: Floats) -> Floats:
    """Use a log axis if positive values span more than a factor of 8.

    Values below a thousandth of the largest would squeeze all others: they go to the edge.
    """
    positive = values[values > 0]
    if not len(positive) or positive.max() / positive.min() < 8:
        return values
    getattr(axes, f"set_{which}scale")("log")
    edge = float(max(positive.min() / 2, positive.max() / 1000))
    return np.maximum(values, np.float64(edge))


def few_ticks(axes: Axes, which: str) -> None:
    """Few, plainly written ticks, also on a log axis: 0.2, 1, 5 and not 2x10^-1."""
    axis = getattr(axes, f"{which}axis")
    if axis.get_scale() == "log":
        low, high = getattr(axes, f"get_{which}lim")()
        subs = (1.0, 2.0, 5.0) if high / low < 30 else (1.0,)
        axis.set_major_locator(LogLocator(subs=subs))
        axis.set_minor_formatter(NullFormatter())
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    else:
        axis.set_major_locator(MaxNLocator(5))

"""The figures of the report by name, each with its title and caption."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from matplotlib.figure import Figure

from dixc.report import plots, plots_states, theme
from dixc.report.plots_training import training_figure
from dixc.report.training_logs import Logs
from dixc.tables.claims import is_comparable
from dixc.tables.results import Results


@dataclass(frozen=True)
class ReportFigure:
    """A figure: file name without ending, words, and SVG text."""

    name: str
    title: str
    caption: str
    svg: str


@dataclass(frozen=True)
class FigureKind:
    """How a figure is made, and its words.

    Attributes:
        draw: from the results and the training logs; None if there is nothing to draw.
        nothing: what stands in its place then.
    """

    title: str
    caption: str
    draw: Callable[[Results, Logs], Figure | None]
    nothing: str


def _of_results(draw: Callable[[Results], Figure | None]) -> Callable[[Results, Logs], Figure | None]:
    return lambda results, _: draw(results)


def _of_logs(along: str) -> Callable[[Results, Logs], Figure | None]:
    return lambda _, logs: training_figure(logs, along)


KINDS = {
    "metrics": FigureKind(
        "Test metrics by functional",
        "Every dot is a test molecule (excitations: a state), black lines are means over molecules and "
        "seeds; to the left is better. Axes are logarithmic where values span a wide range; the smallest "
        "values then sit at the left edge.",
        _of_results(plots.metrics_figure),
        "No converged test rows in the tables of this run.",
    ),
    "paper": FigureKind(
        "The paper's changes and ours",
        "Percent change against energy-and-density supervision (base); for iterations saved, against the "
        "default guess. Grey: the paper's figure or range. One mark a loss.",
        _of_results(plots.paper_figure),
        "No comparable rows in the tables of this run.",
    ),
    "density_error": FigureKind(
        "Density error by size",
        "E_rho of every converged molecule against its number of heavy atoms: does the density hold on "
        "molecules larger than those of training?",
        _of_results(plots.size_figure),
        "No converged SCF rows in the tables of this run.",
    ),
    "warmstart": FigureKind(
        "Warm start by molecule",
        "Fock builds with exact exchange until the reference functional's SCF converges, from the "
        "default guess (bars) and from each functional (marks); means over seeds.",
        _of_results(plots.warmstart_figure),
        "No converged warm-start rows in the tables of this run.",
    ),
    "excitations": FigureKind(
        "Excitation energies",
        "Lowest singlet excitations by full TDDFT against the reference's, in order of energy.",
        _of_results(plots_states.excitation_figure),
        "No converged TDDFT rows in the tables of this run.",
    ),
    "training_step": FigureKind(
        "Training by step",
        "Loss terms as measured (with unit) and as weighted in the loss, validation, and rates, by "
        "optimizer step. Strong lines are running means.",
        _of_logs("step"),
        "No training logs.",
    ),
    "training_wall": FigureKind(
        "Training by wall-clock",
        "The same against wall-clock: equal steps are not equal time.",
        _of_logs("wall_s"),
        "No training logs.",
    ),
}


def draw_all(results: Results, logs: Logs) -> list[ReportFigure]:
    """All figures; one without data is a note that says so."""
    nothing = {name: kind.nothing for name, kind in KINDS.items()}
    if not is_comparable(results.config):
        reference = results.config.reference
        nothing["paper"] = (
            f"The reference is {reference.functional}/{reference.basis}, not the paper's B3LYP/def2-SVP."
        )
    return [
        ReportFigure(
            name, kind.title, kind.caption, theme.drawn(kind.draw, results, logs, nothing=nothing[name])
        )
        for name, kind in KINDS.items()
    ]

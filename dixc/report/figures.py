"""The figures of the report by name, each with its title and caption."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from dixc.report import FIGURES, plots, plots_states, plots_training, theme
from dixc.tables import claims as paper


@dataclass(frozen=True)
class ReportFigure:
    """A figure: file name without ending, words, and SVG text."""

    name: str
    title: str
    caption: str
    svg: str


WORDS = {
    "metrics": (
        "Test metrics by functional",
        "Every dot is a test molecule (excitations: a state), black lines are means over molecules and "
        "seeds; to the left is better. Axes are logarithmic where values span a wide range; the smallest "
        "values then sit at the left edge.",
    ),
    "paper": (
        "The paper's changes and ours",
        "Percent change against energy-and-density supervision (base); for iterations saved, against the "
        "default guess. Grey: the paper's figure or range. One mark a loss.",
    ),
    "density_error": (
        "Density error by size",
        "E_rho of every converged molecule against its number of heavy atoms: does the density hold on "
        "molecules larger than those of training?",
    ),
    "warmstart": (
        "Warm start by molecule",
        "Fock builds with exact exchange until the reference functional's SCF converges, from the default "
        "guess (bars) and from each functional (marks); means over seeds.",
    ),
    "excitations": (
        "Excitation energies",
        "Lowest singlet excitations by full TDDFT against the reference's, in order of energy.",
    ),
    "training_step": (
        "Training by step",
        "Loss terms as measured (with unit) and as weighted in the loss, validation, and rates, by optimizer "
        "step. Strong lines are running means.",
    ),
    "training_wall": (
        "Training by wall-clock",
        "The same against wall-clock: equal steps are not equal time.",
    ),
}


def draw_all(config, tables: dict[str, pd.DataFrame], logs: dict[str, pd.DataFrame]) -> list[ReportFigure]:
    """All figures; one without data is a note that says so."""
    no_rows = "No {} rows in the tables of this run."
    calls = {
        "metrics": (plots.metrics_figure, (config, tables), no_rows.format("converged test")),
        "paper": (plots.paper_figure, (config, tables), _no_paper(config, no_rows.format("comparable"))),
        "density_error": (plots.size_figure, (config, tables), no_rows.format("converged SCF")),
        "warmstart": (plots.warmstart_figure, (config, tables), no_rows.format("converged warm-start")),
        "excitations": (plots_states.excitation_figure, (config, tables), no_rows.format("converged TDDFT")),
        "training_step": (plots_training.training_figure, (logs, "step"), "No training logs."),
        "training_wall": (plots_training.training_figure, (logs, "wall_s"), "No training logs."),
    }
    return [
        ReportFigure(name, *WORDS[name], theme.drawn(calls[name][0], *calls[name][1], nothing=calls[name][2]))
        for name in FIGURES
    ]


def _no_paper(config, no_rows: str) -> str:
    """What stands in place of the figure that compares with the paper."""
    if paper.is_comparable(config):
        return no_rows
    reference = f"{config.reference.functional}/{config.reference.basis}"
    return f"The reference is {reference}, not the paper's B3LYP/def2-SVP."

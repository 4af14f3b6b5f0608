"""Figure of one molecule: its spectrum with every functional, and how the SCFs converged."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator, NullLocator

from dixc.report.theme import REFERENCE, colour, empty_axes, figure, plain
from dixc.tables.results import Results
from dixc.tables.samples import Flags, Floats, floats, rows_of
from dixc.tables.schema import FunctionalKey

WIDTH = 12.5  # inches
WIDTH_EV = 0.3  # full width at half maximum of the bands
DARK = 0.005  # oscillator strength of a band of full height, if none is stronger
HEIGHT = 0.78  # of the strongest band, in lines
TICK = 0.2
FAILED = "#B00020"
LINES = ("-", "--", "-.")
ACCELERATED: Literal[":"] = ":"


def molecule_figure(results: Results, name: str) -> Figure | None:
    """Spectrum, own SCFs and the reference's SCFs of a test molecule; None without any data.

    Of several seeds the first is shown.
    """
    spectra, cycles = (first_seed(results.tables[table], name) for table in ("spectra", "convergence"))
    spectra = spectra[spectra["method"] == "tddft"]
    if spectra.empty and cycles.empty:
        return None
    functionals, reference = results.functionals, results.config.reference.functional
    height = 1.35 + 0.3 * (1 + len(functionals))
    result, axes = figure(1, 3, WIDTH, height, layout=None, width_ratios=[1.5, 1, 1])
    # around the panels: the longest name to the left, titles above, axis labels below
    left = 0.25 + 0.085 * max(map(len, (reference, *(key.label for key in functionals))))
    result.subplots_adjust(left / WIDTH, 0.5 / height, 1 - 0.1 / WIDTH, 1 - 0.3 / height, wspace=0.28)
    panels = axes[0]
    _spectrum(panels[0], spectra, functionals, reference)
    titles = {
        "functional": "Each functional's own SCF",
        "reference": f"SCF of {plain(reference)} from its density",
    }
    for panel, (scf_of, title) in zip(panels[1:], titles.items(), strict=True):
        _convergence(panel, cycles[cycles["scf_of"] == scf_of], results.models, title)
    panels[1].set_ylabel("orbital gradient / hartree")
    return result


def first_seed(table: pd.DataFrame, name: str) -> pd.DataFrame:
    """Test rows of a molecule, of the first seed of each functional."""
    rows = table[(table["molecule"] == name) & (table["split"] == "test")]
    if rows.empty:
        return rows
    return rows[rows["seed"] == rows.groupby(["model", "loss"])["seed"].transform("min")]


def _spectrum(panel: Axes, rows: pd.DataFrame, functionals: list[FunctionalKey], reference: str) -> None:
    """A line a functional: ticks at the states, bands with areas of the oscillator strengths."""
    panel.set_title("Lowest singlets: ticks are states, bands their intensity")
    if rows.empty:
        empty_axes(panel, "no excitations")
        return
    states = rows.drop_duplicates("state")
    lines = [(reference, floats(states["reference_eV"]), floats(states["reference_strength"]), REFERENCE)]
    for functional in functionals:
        mine = rows_of(rows, functional, converged=True)
        energies, strengths = floats(mine["excitation_eV"]), floats(mine["oscillator_strength"])
        lines.append((functional.label, energies, strengths, colour(functional)))
    everything = np.concatenate([energies for _, energies, _, _ in lines])
    grid = np.linspace(np.nanmin(everything) - 0.6, np.nanmax(everything) + 0.6, 160)
    bands = [_bands(grid, energies, strengths) for _, energies, strengths, _ in lines]
    # where every state is dark, noise is not blown up to a band
    strongest = max([*(band.max() for band in bands), _bands(np.zeros(1), np.zeros(1), np.array([DARK]))[0]])
    for place, ((_, energies, _, ink), band) in enumerate(zip(lines, bands, strict=True)):
        seen = band > 0.004 * strongest
        for start, stop in _runs(seen):
            top = place - HEIGHT * band[start:stop] / strongest
            x = [grid[start], *grid[start:stop], grid[stop - 1]]
            panel.fill(x, [place, *top, place], color=ink, alpha=0.3, linewidth=0)
        panel.vlines(energies, place - TICK, place + TICK, color=ink, linewidth=1.8)
    for energy in lines[0][1]:
        panel.axvline(energy, color=REFERENCE, linewidth=0.6, linestyle=":", zorder=0)
    panel.set_yticks(range(len(lines)), [plain(line[0]) for line in lines])
    for text, line in zip(panel.get_yticklabels(), lines, strict=True):
        text.set_color(line[3])
    panel.set_ylim(len(lines) - 0.5, -HEIGHT - 0.1)
    panel.set_xlim(grid[0], grid[-1])
    panel.set_xlabel("excitation energy / eV")
    panel.grid(axis="y", visible=False)


def _runs(flags: Flags) -> list[tuple[int, int]]:
    """(start, stop) of every run of true flags."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], flags.astype(int), [0]])))
    return list(zip(edges[::2], edges[1::2], strict=True))


def _bands(grid: Floats, energies: Floats, strengths: Floats) -> Floats:
    """Sum of unit Gaussians times oscillator strength, eV^-1; zero where that is unknown."""
    width = WIDTH_EV / np.sqrt(8 * np.log(2))
    known = np.isfinite(energies) & np.isfinite(strengths)
    shapes = np.exp(-((grid - energies[known, None]) ** 2) / (2 * width**2)) / (width * np.sqrt(2 * np.pi))
    total: Floats = (strengths[known, None] * shapes).sum(axis=0)
    return total


def _convergence(panel: Axes, rows: pd.DataFrame, models: list[str], title: str) -> None:
    """Gradient norm by cycle, a curve a functional (and the default guess in black)."""
    panel.set_title(title)
    if rows.empty:
        empty_axes(panel, "not recorded")
        return
    for (model, loss, guess), curve in rows.groupby(["model", "loss", "guess"], sort=False):
        curve = curve.sort_values("cycle")
        own = not (guess == "minao" and (rows["scf_of"] == "reference").all())
        ink = colour(FunctionalKey(model, loss)) if own else REFERENCE
        style = LINES[models.index(model) % len(LINES)] if own and model in models else "-"
        if guess == "accelerate":
            style = ACCELERATED
        x, y = floats(curve["cycle"]), floats(curve["gradient_Eh"])
        panel.plot(x, y, color=ink, linestyle=style, linewidth=1.4, alpha=0.85)
        if not curve["converged"].all():
            last = curve.iloc[-1]
            panel.plot([last["cycle"]], [last["gradient_Eh"]], "x", color=FAILED, markersize=9)
    panel.set_yscale("log")
    panel.yaxis.set_minor_locator(NullLocator())
    panel.set_xlabel("iteration")
    panel.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    handles = {}
    if (rows["scf_of"] == "reference").all() and (rows["guess"] == "minao").any():
        handles["from the default guess"] = Line2D([], [], color=REFERENCE)
    if (rows["guess"] == "accelerate").any():
        handles["accelerated as well"] = Line2D([], [], color="#555555", linestyle=ACCELERATED)
    if handles:
        panel.legend(handles.values(), handles.keys(), loc="upper right", fontsize=8)

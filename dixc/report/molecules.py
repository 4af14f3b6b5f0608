"""The report's cards of single molecules: numbers, links to logs, spectrum and convergence."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from dixc.report import theme
from dixc.report.plots_molecules import first_seed, molecule_figure
from dixc.report.sources import Sources
from dixc.tables.outliers import Outlier
from dixc.tables.results import Results
from dixc.tables.samples import rows_of
from dixc.tables.schema import FunctionalKey
from dixc.text import DASH, number, true_minus

MOST = 16  # some 100 kB each
SHOWN = {"scf": "SCF", "warmstart": "warm start", "tddft": "TDDFT"}
# numbers of a card's row, columns of scf
ERRORS = ("e_tot_error_mEh", "e_tot_error_fit_mEh", "e_rho_mEh", "dipole_error_debye")


def cards(results: Results, sources: Sources, outliers: Sequence[Outlier]) -> dict[str, Any]:
    """A card a test molecule, those with failures or outliers first, then by size; at most MOST.

    Returns:
        cards: name, words (formula, SMILES), n_heavy, flags, rows, svg; left_out: other molecules.
    """
    scf = results.tables["scf"]
    test = scf[scf["split"] == "test"].sort_values(["n_heavy", "molecule"]).drop_duplicates("molecule")
    sizes = dict(zip(test["molecule"], test["n_heavy"], strict=True))
    flags = {name: _flags(results, name, outliers) for name in sizes}
    order = sorted(sizes, key=lambda name: not flags[name])
    made = []
    for name in order[:MOST]:
        rows = [_row(results, name, functional, sources) for functional in results.functionals]
        made.append(
            {
                "name": name,
                "words": sources.words(name),
                "n_heavy": str(sizes[name]),
                "flags": flags[name],
                "rows": [row for row in rows if row],
                "svg": theme.drawn_small(molecule_figure, results, name),
            }
        )
    return {"cards": made, "left_out": max(0, len(order) - MOST)}


def _flags(results: Results, name: str, outliers: Sequence[Outlier]) -> list[str]:
    flags = [
        f"{outlier.functional.label}: {outlier.words}" for outlier in outliers if outlier.molecule == name
    ]
    for table, words in SHOWN.items():
        rows = results.tables[table]
        bad = rows[(rows["molecule"] == name) & (rows["split"] == "test") & ~rows["converged"]]
        failed = dict.fromkeys(map(FunctionalKey, bad["model"], bad["loss"]))
        flags += [f"{functional.label}: {words} failed" for functional in failed]
    return flags


def _row(results: Results, name: str, functional: FunctionalKey, sources: Sources) -> dict[str, Any] | None:
    """Numbers of one functional on a molecule, of its first seed; None without an SCF row."""
    rows = {table: rows_of(first_seed(results.tables[table], name), functional) for table in SHOWN}
    if rows["scf"].empty:
        return None
    scf = rows["scf"].iloc[0]
    builds = rows["warmstart"].loc[rows["warmstart"]["guess"] == "density", "hybrid_fock_builds"]
    states = rows["tddft"][(rows["tddft"]["method"] == "tddft") & rows["tddft"]["converged"]]
    errors = ", ".join(true_minus(f"{round(error, 2) + 0:+.2f}") for error in states["error_eV"])
    links = [
        (words, link)
        for table, words in SHOWN.items()
        if len(rows[table]) and (link := sources.log(table, *functional, int(scf["seed"]), name))
    ]
    return {
        "name": functional.label,
        "key": functional.style,
        "converged": "yes" if scf["converged"] else "NO",
        "cells": [
            _count(scf["cycles"]),
            *(true_minus(number(scf[column])) for column in ERRORS),
            _count(builds.iloc[0]) if len(builds) else DASH,
            errors or DASH,
        ],
        "links": links,
    }


def _count(value: Any) -> str:
    return DASH if pd.isna(value) else str(int(value))

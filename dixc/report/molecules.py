"""The report's cards of single molecules: numbers, links to logs, spectrum and convergence."""

from __future__ import annotations

from typing import Any

import pandas as pd

from dixc.report import theme
from dixc.report.plots_molecules import molecule_figure
from dixc.report.sources import Sources
from dixc.tables.compare import Functional, functionals, label, number
from dixc.tables.outliers import Outlier

MOST = 16  # some 100 kB each
SHOWN = {"scf": "SCF", "warmstart": "warm start", "tddft": "TDDFT"}
Tables = dict[str, pd.DataFrame]


def cards(config, tables: Tables, sources: Sources, found: list[Outlier]) -> dict[str, Any]:
    """A card a test molecule, those with failures or outliers first, then by size; at most MOST.

    Returns:
        cards: name, words (formula and SMILES), n_heavy, flags, rows and svg of each; left_out: number of others.
    """
    scf = tables["scf"]
    test = scf[scf["split"] == "test"].sort_values(["n_heavy", "molecule"]).drop_duplicates("molecule")
    flags = {name: _flags(name, tables, found) for name in test["molecule"]}
    order = sorted(test["molecule"], key=lambda name: not flags[name])
    chosen = functionals(config, tables)
    sizes = test.set_index("molecule")["n_heavy"]
    made = [
        {
            "name": name,
            "words": sources.words(name),
            "n_heavy": str(sizes[name]),
            "flags": flags[name],
            "rows": [row for one in chosen if (row := _row(tables, name, one, sources))],
            "svg": theme.drawn_small(molecule_figure, tables, name, chosen, config.reference.functional),
        }
        for name in order[:MOST]
    ]
    return {"cards": made, "left_out": max(0, len(order) - MOST)}


def _flags(name: str, tables: Tables, found: list[Outlier]) -> list[str]:
    flags = [f"{one.who}: {one.words}" for one in found if one.molecule == name]
    for table, words in SHOWN.items():
        rows = tables[table]
        bad = rows[(rows["molecule"] == name) & (rows["split"] == "test") & ~rows["converged"]]
        who = dict.fromkeys(label((row.model, row.loss)) for row in bad.itertuples())
        flags += [f"{one}: {words} failed" for one in who]
    return flags


def _row(tables: Tables, name: str, one: Functional, sources: Sources) -> dict[str, Any] | None:
    """Numbers of one functional on a molecule, of its first seed; None without an SCF row."""
    mine = {table: _rows(tables[table], name, one) for table in SHOWN}
    if mine["scf"].empty:
        return None
    scf = mine["scf"].iloc[0]
    warm = mine["warmstart"][mine["warmstart"]["guess"] == "density"]
    states = mine["tddft"][(mine["tddft"]["method"] == "tddft") & mine["tddft"]["converged"]]
    links = [
        (words, link)
        for table, words in SHOWN.items()
        if len(mine[table]) and (link := sources.log(table, *one, int(scf["seed"]), name))
    ]
    return {
        "name": label(one),
        "key": theme.key(one),
        "converged": "yes" if scf["converged"] else "NO",
        "cells": [
            _text(scf["cycles"], 0),
            _text(scf["e_tot_error_mEh"]),
            _text(scf["e_tot_error_fit_mEh"]),
            _text(scf["e_rho_mEh"]),
            _text(scf["dipole_error_debye"]),
            _text(warm["hybrid_fock_builds"].iloc[0], 0) if len(warm) else "–",
            ", ".join(f"{round(error, 2) + 0:+.2f}".replace("-", "−") for error in states["error_eV"]) or "–",
        ],
        "links": links,
    }


def _rows(table: pd.DataFrame, name: str, one: Functional) -> pd.DataFrame:
    rows = table[(table["molecule"] == name) & (table["split"] == "test")]
    rows = rows[(rows["model"] == one[0]) & (rows["loss"] == one[1])]
    return rows[rows["seed"] == rows["seed"].min()]


def _text(value: Any, digits: int = 3) -> str:
    if pd.isna(value):
        return "–"
    return str(int(value)) if digits == 0 else number(float(value), digits).replace("-", "−")

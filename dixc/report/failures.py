"""What went wrong: failed calculations, missing parts, unseen elements, outliers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pandas as pd

from dixc.report.sources import NO_SOURCES, Sources
from dixc.report.training_logs import Logs
from dixc.tables.outliers import Outlier
from dixc.tables.results import Results
from dixc.tables.samples import has_unseen_element, rows_of
from dixc.tables.schema import KEYS, FunctionalKey
from dixc.text import shortened

# tables, and what a row of each is
CALCULATIONS = {"scf": "SCF", "warmstart": "warm-start", "tddft": "excitation"}
# columns of a training log that count steps, and what is wrong with those
BAD_STEPS = {
    "skipped": "steps without a converged SCF or a finite gradient",
    "undone": "steps undone because the loss after them was far too high (training.metropolis)",
}
MOST_NAMES = 50
MOST_LINKS = 10
MOST_OUTLIERS = 30


def failed(results: Results) -> str:
    """How many calculations failed, in a sentence."""
    parts, total = [], 0
    for name, words in CALCULATIONS.items():
        table = results.tables[name]
        runs = (~table["converged"]).groupby([table[key] for key in KEYS], sort=False).any()
        total += len(runs)
        if runs.any():
            parts.append(f"{int(runs.sum())} of {len(runs)} {words} calculations")
    if not total:
        return "There are no results at all."
    if not parts:
        return f"Nothing: all {total} calculations converged."
    where = "They are left out of all means, and listed below with their logs."
    return f"{'; '.join(parts)} did not converge. {where}"


def failures(results: Results, logs: Logs, sources: Sources = NO_SOURCES) -> list[dict[str, Any]]:
    """Unconverged molecules by table, functional and split, with logs; bad training steps."""
    rows = [row for name in CALCULATIONS for row in _of_table(results.tables[name], name, sources)]
    for name, log in logs.items():
        for column, words in BAD_STEPS.items():
            count = int(log[column].sum()) if column in log else 0
            if count:
                link = sources.training_log(name)
                where = {"where": "training", "who": name, "split": "train"}
                which = {"count": f"{count} of {len(log)}", "names": words}
                rows.append({**where, **which, "links": [("log", link)] if link else []})
    return rows


def _of_table(table: pd.DataFrame, name: str, sources: Sources) -> Iterator[dict[str, Any]]:
    bad = table[~table["converged"]]
    for (model, loss, split), group in bad.groupby(["model", "loss", "split"], sort=False):
        functional = FunctionalKey(model, loss)
        everything = rows_of(table, functional, split=split)
        total = len(everything.drop_duplicates(["seed", "molecule"]))
        named = group.drop_duplicates(["seed", "molecule"])
        several = everything["seed"].nunique() > 1
        words = [
            f"{row.molecule} (seed {row.seed})" if several else row.molecule for row in named.itertuples()
        ]
        yield {
            "where": name,
            "who": functional.label,
            "split": split,
            "count": f"{len(named)} of {total}",
            "names": shortened(words, MOST_NAMES),
            "links": _log_links(name, named, sources),
        }


def _log_links(table: str, bad: pd.DataFrame, sources: Sources) -> list[tuple[str, str]]:
    """(words, link) of the logs behind rows, each once; words are the chunk's name."""
    links = [
        sources.log(table, row.model, row.loss, row.seed, row.molecule, getattr(row, "guess", ""))
        for row in bad.itertuples()
    ]
    different = dict.fromkeys(link for link in links if link)
    return [(link.rsplit("/", 1)[-1], link) for link in list(different)[:MOST_LINKS]]


def missing(results: Results, logs: Logs) -> list[str]:
    """What the config leads one to expect and the tables or logs do not have, in words."""
    config = results.config
    expected = {
        "scf": ("e_rho_mEh", True),
        "warmstart": ("warmstart_fock_builds_density", "test" in config.evaluation.warmstart.splits),
        "tddft": ("tddft_mae_eV", "test" in config.evaluation.tddft.splits),
    }
    words = []
    for name, (metric, is_expected) in expected.items():
        if not is_expected:
            words.append(f"{name}: not asked for by the config on test molecules.")
        elif results.tables[name].empty:
            words.append(f"{name}: the table has no rows.")
        else:
            words += _missing_rows(results, name, metric)
    return words + [f"{name}: no training log." for name in config.trained() if name not in logs]


def _missing_rows(results: Results, name: str, metric: str) -> list[str]:
    """Functionals without (usable) test rows in a table, and how many molecules have no row."""
    rows = results.samples(metric)
    rows = rows[rows["split"] == "test"]
    size = results.config.molecules.test.size
    absent = size - rows["molecule"].nunique()
    words = []
    if absent > 0:
        why = _why_absent(results, name)
        words.append(f"{name}: {absent} of {size} test molecules of the config have no row ({why}).")
    for functional in results.functionals:
        if rows_of(rows, functional).empty:
            words.append(f"{name}: no test rows of {functional.label}.")
        elif not rows_of(rows, functional)["used"].any():
            words.append(f"{name}: none of the test rows of {functional.label} converged.")
    return words


def _why_absent(results: Results, table: str) -> str:
    limit = results.config.derivatives.states_max_heavy
    if table == "tddft" and limit is not None:
        return f"larger than derivatives.states_max_heavy, {limit}, or an earlier stage failed or was not run"
    return "an earlier stage failed on them or was not run"


def unseen(results: Results, sources: Sources = NO_SOURCES) -> str:
    """Which test molecules have an element that no training molecule has; empty if none."""
    in_training = sources.elements_of_training()
    scf = results.tables["scf"]
    test = scf["split"] == "test"
    marked = set(scf.loc[has_unseen_element(scf) & test.to_numpy(), "molecule"])
    molecules = list(dict.fromkeys(scf.loc[test, "molecule"]))
    words = []
    for name in molecules:
        elements = sorted(sources.elements(name) - in_training) if in_training else []
        if elements or name in marked:
            words.append(f"{name} ({', '.join(elements)})" if elements else name)
    if not words:
        return ""
    have = "has" if len(words) == 1 else "have"
    return (
        f"{len(words)} of {len(molecules)} test molecules {have} an element that no training molecule has: "
        f"{shortened(words, MOST_LINKS)}. Trained functionals extrapolate there. Means of fitted "
        "energies leave these molecules out, which is no failure: there is no energy of that element to "
        "take off."
    )


def outlier_rows(outliers: list[Outlier], sources: Sources) -> dict[str, Any]:
    """Outliers for the template (at most MOST_OUTLIERS), and how many there are more."""
    rows = []
    for outlier in outliers[:MOST_OUTLIERS]:
        table, molecule = outlier.metric.source.table, outlier.molecule
        link = sources.log(table, *outlier.functional, outlier.seed, molecule)
        words = {"who": outlier.functional.label, "words": outlier.words, "link": link}
        rows.append({"molecule": molecule, "about": sources.words(molecule), **words})
    return {"rows": rows, "left_out": max(0, len(outliers) - MOST_OUTLIERS)}

"""Sections of the report as plain data: rows of words and numbers for the template, no HTML."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from dixc.reference.method import is_hartree_fock
from dixc.report import narrative, recommendation
from dixc.report.narrative import best
from dixc.report.plots_training import cost
from dixc.report.sources import NO_SOURCES, Sources
from dixc.tables import claims as paper
from dixc.tables.compare import Functional, functionals, label, number, signed_percent
from dixc.tables.metrics import BY_NAME, METRICS, Metric, has_unseen_element

HEADLINE = (
    "e_tot_mae_mEh", "e_tot_mae_fit_mEh", "e_rho_mEh", "dipole_error_debye", "l2_density", "scf_cycles",
    "warmstart_fock_builds_density", "warmstart_builds_saved_percent", "warmstart_fock_builds_accelerate",
    "tddft_mae_eV", "tddft_overlap_mae_eV", "tda_mae_eV",
)  # fmt: skip
BUILDS = ("one_build_mae_uEh", "two_build_mae_uEh", "warmstart_fock_builds_accelerate")
SHOWN_TABLES = ("scf", "warmstart", "tddft")
# columns of a training log that count steps, and what is wrong with those
BAD_STEPS = {
    "skipped": "steps without a converged SCF or a finite gradient",
    "undone": "steps undone because the loss after them was far too high (training.metropolis)",
}
MOST_ROWS = 2000
MOST_LINKS = 10

Tables = dict[str, pd.DataFrame]


def facts(config, tables: Tables) -> list[tuple[str, str]]:
    """What was done: a name and a few words each."""
    reference, training = config.reference, config.training
    scf = tables["scf"]
    splits = []
    for split, words in (
        ("train", "for training"),
        ("validation", "for validation"),
        ("test", "for testing"),
    ):
        rows = scf[scf["split"] == split].drop_duplicates("molecule")
        sizes = rows["n_heavy"].dropna().astype(int)
        span = f" ({sizes.min()} to {sizes.max()} heavy atoms)" if len(sizes) else ""
        splits.append(f"{len(rows) or 'none'} {words}{span}")
    seeds = f"seed{'s' if len(training.seeds) > 1 else ''} {', '.join(map(str, training.seeds))}"
    return [
        ("Molecules", "; ".join(splits)),
        ("Reference", f"{reference.functional.upper()}/{reference.basis}, grid level {reference.grid_level}"),
        ("Learned", f"{', '.join(model.key for model in config.models) or 'none'}; losses "
                    f"{', '.join(training.losses)}; {seeds}; "
                    f"{training.steps} optimizer steps each, all losses from the same pre-fitted start"),
        ("Baselines", ", ".join(config.evaluation.baselines) or "none"),
        ("Measured", "self-consistent solutions of every functional on molecules it was not trained on, "
                     "against the reference"),
    ]  # fmt: skip


def headline(config, summary: pd.DataFrame, tables: Tables) -> dict[str, Any]:
    """The table of test metrics: columns with label and unit, a row a functional, best values marked."""
    test, chosen = summary[summary["split"] == "test"], functionals(config, tables)
    columns, rows = _metric_table(HEADLINE, test, chosen, tables)
    for one, row in zip(chosen, rows, strict=True):
        row["converged"] = _converged(tables["scf"], one)
    return {"columns": columns, "rows": rows, "minao": _minao_words(test)}


def builds(config, summary: pd.DataFrame, tables: Tables) -> dict[str, Any]:
    """Errors of the reference's energy after one and two Fock builds: columns and rows as of `headline`, of functionals
    with such an energy, and what they say of Hessian supervision; no columns without any.
    """
    test = summary[summary["split"] == "test"]
    measured = test[test["metric"].isin(BUILDS[:2])]
    known = set(zip(measured["model"], measured["loss"], strict=True))
    chosen = [one for one in functionals(config, tables) if one in known]
    columns, rows = _metric_table(BUILDS if chosen else (), test, chosen, tables)
    return {"columns": columns, "rows": rows, "sentences": narrative.hessian_sentences(config, tables)}


def _metric_table(
    names: Sequence[str], test: pd.DataFrame, chosen: list[Functional], tables: Tables
) -> tuple[list[Metric], list[dict[str, Any]]]:
    """Metrics that have values, and a row of cells a functional, the best of each column marked.

    Args:
        names: metrics wanted.
        test: rows of the summary.
    """
    shown = [name for name in names if (test["metric"] == name).any()]
    winners = {name: best(tables, name, chosen) for name in shown}
    values = {(row.model, row.loss, row.metric): row for row in test.itertuples()}
    rows = []
    for one in chosen:
        cells = [_cell(values.get((*one, name)), one in winners[name]) for name in shown]
        rows.append({"name": label(one), "key": one[0] if one[1] == "none" else one[1], "cells": cells})
    return [BY_NAME[name] for name in shown], rows


def _cell(row: Any, winner: bool) -> dict[str, Any]:
    if row is None:
        return {"text": "–", "best": False, "spread": "", "failed": 0}
    spread = number(row.spread, 2) if pd.notna(row.spread) else ""
    return {"text": number(row.value), "best": winner, "spread": spread, "failed": int(row.n_failed)}


def _converged(scf: pd.DataFrame, one: Functional) -> str:
    rows = scf[(scf["model"] == one[0]) & (scf["loss"] == one[1]) & (scf["split"] == "test")]
    return f"{int(rows['converged'].sum())} / {len(rows)}" if len(rows) else "–"


def _minao_words(test: pd.DataFrame) -> str:
    """The reference functional from the default guess, in words; empty if it was not run."""
    rows = test[test["metric"].isin(["warmstart_fock_builds_minao", "warmstart_cycles_minao"])].set_index(
        "metric"
    )
    if rows.empty:
        return ""
    words = [f"{number(row.value)} {BY_NAME[name].unit}" for name, row in rows.iterrows()]
    return f"{rows['model'].iloc[0]} from the default guess (minao) needs {' and '.join(words)} on average."


def terms(config, tables: Tables) -> dict[str, Any]:
    """What each loss term did: a row a metric, a column a step, per model; and the sentences about them."""
    found = narrative.steps(config, tables)
    blocks = []
    for model in dict.fromkeys(step.model for step in found):
        steps = [step for step in found if step.model == model]
        rows = []
        for metric in narrative.JUDGED:
            cells = [next((one for one in step.changes if one.metric == metric), None) for step in steps]
            if any(cells):
                rows.append({"label": BY_NAME[metric].label, "cells": [_change_cell(cell) for cell in cells]})
        details = [
            narrative.change_sentence(change, step.new, step.old)
            for step in steps if step.old == "base" for change in step.changes
        ]  # fmt: skip
        blocks.append(
            {"model": model, "columns": [step.title for step in steps], "rows": rows, "details": details}
        )
    return {"blocks": blocks, "sentences": [narrative.step_sentence(step) for step in found]}


def _change_cell(change) -> dict[str, str]:
    if change is None:
        return {"percent": "–", "verdict": "", "count": "", "kind": ""}
    spread = f" ± {number(change.spread, 2)}" if pd.notna(change.spread) else ""
    return {
        "percent": signed_percent(change.percent) + spread,
        "verdict": change.verdict,
        "count": f"better on {change.n_better} of {change.n}",
        "kind": change.verdict.replace(" ", "-"),
    }


def paper_rows(config, tables: Tables) -> list[dict[str, Any]]:
    """The paper's figures, each with ours; none where the reference is not the paper's."""
    if not paper.is_comparable(config):
        return []
    found = paper.ours(config, tables)
    return [
        {"title": claim.title, "figure": claim.figure,
         "ours": [{"who": one.who, "words": one.words, "verdict": one.verdict,
                   "kind": one.verdict.replace(" ", "-")} for one in found if one.claim is claim]}
        for claim in paper.CLAIMS
    ]  # fmt: skip


def tiles(config, tables: Tables) -> list[dict[str, Any]]:
    """The paper's figures and ours in a few numbers: the mean over models, or the one claimed for.

    The paper's are empty where the reference is not the paper's.
    """
    found = paper.ours(config, tables)
    models = {one.model for one in found}
    result = []
    for claim in paper.CLAIMS:
        of_one = claim.model in models
        mine = [one for one in found if one.claim is claim
                and (one.model == claim.model if of_one else one.is_mean or len(models) == 1)]  # fmt: skip
        if mine and pd.notna(claim.low):
            title = BY_NAME[claim.metric].label.replace("Iterations saved", "Iterations")
            title = f"{title}, {claim.model}" if of_one and len(models) > 1 else title
            result.append({"title": title, "paper": claim.figure if paper.is_comparable(config) else "", "ours": [
                {"loss": one.loss, "percent": signed_percent(one.percent), "verdict": one.verdict,
                 "kind": one.verdict.replace(" ", "-")} for one in mine]})  # fmt: skip
    return result


def failures(
    tables: Tables, logs: dict[str, pd.DataFrame], sources: Sources = NO_SOURCES
) -> list[dict[str, Any]]:
    """Unconverged molecules by table, functional and split, counted and named, with logs; bad training steps."""
    rows = []
    for name in SHOWN_TABLES:
        table = tables[name]
        bad = table[~table["converged"]]
        for (model, loss, split), group in bad.groupby(["model", "loss", "split"], sort=False):
            everything = table[
                (table["model"] == model) & (table["loss"] == loss) & (table["split"] == split)
            ]
            total = len(everything.drop_duplicates(["seed", "molecule"]))
            names = group.drop_duplicates(["seed", "molecule"])
            several = everything["seed"].nunique() > 1
            words = [
                f"{row.molecule} (seed {row.seed})" if several else row.molecule for row in names.itertuples()
            ]
            rows.append({"where": name, "who": label((model, loss)), "split": split,
                         "count": f"{len(names)} of {total}", "names": ", ".join(words[:50])
                         + (f" and {len(words) - 50} more" if len(words) > 50 else ""),
                         "links": _log_links(name, names, sources)})  # fmt: skip
    for name, log in logs.items():
        for column, words in BAD_STEPS.items():
            count = int(log[column].sum()) if column in log else 0
            if count:
                rows.append({"where": "training", "who": name, "split": "train",
                             "count": f"{count} of {len(log)}", "names": words,
                             "links": [("log", link)] if (link := sources.training_log(name)) else []})  # fmt: skip
    return rows


def _log_links(table: str, bad: pd.DataFrame, sources: Sources) -> list[tuple[str, str]]:
    """(words, link) of the logs behind rows, each once; words are the chunk's name."""
    found = {}
    for row in bad.itertuples():
        link = sources.log(table, row.model, row.loss, row.seed, row.molecule, getattr(row, "guess", ""))
        if link:
            found[link] = link.rsplit("/", 1)[-1]
    return [(words, link) for link, words in list(found.items())[:MOST_LINKS]]


def training_cost(logs: dict[str, pd.DataFrame]) -> dict[str, Any]:
    """Steps and wall-clock of every training, and in words whether steps are equal."""
    table = cost(logs)
    steps = sorted({int(value) for value in table["steps"].dropna()})
    if not steps:
        words = ""
    elif len(steps) == 1:
        words = f"All trainings took the same number of steps, {steps[0]}."
    else:
        words = f"The trainings took different numbers of steps: {', '.join(map(str, steps))}."
    base = table[table["loss"] == "base"].groupby("model")["wall_s"].mean()
    rows = [
        {"name": f"{row.model} {row.loss}", "seed": row.seed,
         "steps": f"{row.steps:.0f}" if pd.notna(row.steps) else "–",
         "wall": number(row.wall_s), "each": number(row.ms_per_step),
         "ratio": number(row.wall_s / base[row.model], 2) if row.model in base else "–"}
        for row in table.itertuples()
    ]  # fmt: skip
    return {"words": words, "rows": rows}


def full_tables(tables: Tables, summary: pd.DataFrame) -> list[dict[str, Any]]:
    """Every row of every table (up to MOST_ROWS each, test molecules first), as words."""
    result = []
    for name, table in {"summary": summary, **{name: tables[name] for name in SHOWN_TABLES}}.items():
        first = table.sort_values("split", key=lambda split: split != "test", kind="stable").head(MOST_ROWS)
        rows = [[_word(value) for value in row] for row in first.itertuples(index=False)]
        note = f"The first {len(first)} of {len(table)} rows; all are in tables/{name}.csv."
        result.append({"name": name, "columns": list(table), "rows": rows, "count": len(table),
                       "note": note if len(first) < len(table) else ""})  # fmt: skip
    return result


def _word(value: Any) -> str:
    if value is pd.NA or (isinstance(value, float) and pd.isna(value)):
        return "–"
    return number(value, 4) if isinstance(value, float) else str(value)


def trained(config, tables: Tables) -> dict[str, Any]:
    """The trained functionals of the tables: which loss to take, their files, and Python that uses one.

    Files are named from the folder in which the run was started.
    """
    scf = tables["scf"]
    learned = scf[scf["loss"] != "none"].drop_duplicates(["model", "loss", "seed"])
    own = set(config.trained())
    names = [f"{row.model}-{row.loss}-{row.seed}" for row in learned.itertuples()]
    names = [name for name in names if name in own]
    if not names:
        return {"words": [], "rule": recommendation.RULE, "files": [], "code": ""}
    winners = {model.key: recommendation.recommended(config, tables, model.key) for model in config.models}
    ahead = [name for name in names if winners.get((one := config.parse(name)).model) == one.loss]
    return {
        "words": recommendation.recommendations(config, tables),
        "rule": recommendation.RULE,
        "files": [{"name": name, "path": _model_path(config, name)} for name in names],
        "code": _code(config, (ahead or names)[0]),
    }


def _model_path(config, name: str) -> str:
    return f"results/{config.run}/models/{name}.pt"


def _code(config, name: str) -> str:
    """Lines of Python that run a molecule with a trained functional, and the reference with its help."""
    path, reference = _model_path(config, name), config.reference
    entry = config.model(config.parse(name).model)
    # an own class must be named by who loads it: a file cannot choose what is imported
    load = f'"{path}"' if ":" not in entry.name else f'dixc.load("{path}", ["{entry.name}"])'
    hybrid = (
        "scf.RHF(mol)"
        if is_hartree_fock(reference.functional)
        else f'dft.RKS(mol, xc="{reference.functional}")'
    )
    return "\n".join(
        [
            "import dixc",
            "import dixc.pyscf",
            "from pyscf import dft, gto, scf",
            "",
            f'mol = gto.M(atom="molecule.xyz", basis="{reference.basis}")   # elements as in training',
            f"xc = {load}",
            "",
            "mf = dixc.pyscf.RKS(mol, xc=xc)   # a PySCF object: TDDFT(), nuc_grad_method(), ...",
            "mf.kernel()",
            "",
            f"mf = dixc.pyscf.accelerate({hybrid}, xc=xc)   # the reference itself, in fewer Fock builds",
            "mf.kernel()",
        ]
    )


def unseen(tables: Tables, sources: Sources = NO_SOURCES) -> str:
    """Which test molecules have an element that no training molecule has, in a sentence; empty if none has."""
    known = sources.elements_of_training()
    scf = tables["scf"]
    test = scf[scf["split"] == "test"]
    marked = set(scf.loc[has_unseen_element(scf) & (scf["split"] == "test").to_numpy(), "molecule"])
    words = []
    for name in dict.fromkeys(test["molecule"]):
        elements = sorted(sources.elements(name) - known) if known else []
        if elements or name in marked:
            words.append(f"{name} ({', '.join(elements)})" if elements else name)
    if not words:
        return ""
    total = test["molecule"].nunique()
    more = f" and {len(words) - MOST_LINKS} more" if len(words) > MOST_LINKS else ""
    return (
        f"{len(words)} of {total} test molecules {'has' if len(words) == 1 else 'have'} an element that no training "
        f"molecule has: {', '.join(words[:MOST_LINKS])}{more}. Trained functionals extrapolate there. Means of fitted "
        "energies leave these molecules out, which is no failure: there is no energy of that element to take off."
    )


def glossary(config) -> dict[str, list[tuple[str, str]]]:
    """One sentence for each metric and loss."""
    metrics = [
        (f"{one.label}, {one.unit}", one.meaning) for one in METRICS if one.name in (*HEADLINE, *BUILDS)
    ]
    words = narrative.LOSS_WORDS
    return {
        "metrics": metrics,
        "losses": [(loss, words[loss]) for loss in config.training.losses if loss in words],
    }

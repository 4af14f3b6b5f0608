"""Plain words made from the numbers of a run: what was done, what each loss term did, what is missing."""

from __future__ import annotations

import math
from dataclasses import dataclass

import pandas as pd

from dixc.report.compare import Change, Functional, compare, functionals, label, number, signed_percent
from dixc.report.metrics import BY_NAME, samples

# metrics on which the terms are judged, in the order of the report
JUDGED = (
    "e_tot_mae_mEh", "e_tot_mae_fit_mEh", "e_rho_mEh", "dipole_error_debye", "l2_density",
    "warmstart_fock_builds_density", "warmstart_fock_builds_accelerate", "tddft_mae_eV", "tddft_overlap_mae_eV",
    "tda_mae_eV",
)  # fmt: skip
# (new loss, old loss): what the step between them is called
STEPS = {
    ("grad", "base"): "gradient term (grad against base)",
    ("hess", "grad"): "Hessian term (hess against grad)",
    ("hess", "base"): "both terms (hess against base)",
}
LOSS_WORDS = {
    "base": "Supervises the total energy and the self-consistent density; sees no derivative of the reference energy.",
    "grad": "base, plus the energy's gradient with respect to orbital rotations, which vanishes at the "
            "reference density.",
    "hess": "grad, plus products of the energy's Hessian with random orbital rotations: the curvature around "
            "the reference density.",
}  # fmt: skip


@dataclass(frozen=True)
class Step:
    """What one step between two losses did to one model: a change for each judged metric that has data."""

    model: str
    title: str
    new: str
    old: str
    changes: tuple[Change, ...]


def steps(config, tables: dict[str, pd.DataFrame]) -> list[Step]:
    """All steps between losses that the run has, model by model."""
    found = []
    for model in dict.fromkeys(name for name, loss in functionals(config, tables) if loss != "none"):
        for (new, old), title in STEPS.items():
            changes = [compare(tables, metric, (model, new), (model, old)) for metric in JUDGED]
            present = tuple(change for change in changes if change is not None)
            if present:
                found.append(Step(model, title, new, old, present))
    return found


def step_sentence(step: Step) -> str:
    """One sentence: on which metrics a step is better, worse, or not clearly either."""
    groups = {
        verdict: [f"{BY_NAME[change.metric].label} ({signed_percent(change.percent)})" for change in step.changes
                  if change.verdict == verdict]
        for verdict in ("better", "worse", "no clear change")
    }  # fmt: skip
    words = "; ".join(f"{verdict} on {_listed(names)}" for verdict, names in groups.items() if names)
    return f"{step.model}, {step.title}: {words}."


def change_sentence(change: Change, new: str, old: str) -> str:
    """`grad lowers test E_rho by 12 % against base (0.500 -> 0.440 mEh; better on 6 of 8 molecules): better.`"""
    metric = BY_NAME[change.metric]
    verb = "lowers" if change.percent < 0 else "raises"
    if change.verdict == "no clear change":
        verb = f"makes no clear change; it {verb}"
    seeds = (
        "1 seed, spread between seeds unknown"
        if change.n_seeds == 1
        else f"{change.n_seeds} seeds, spread of the change {number(change.spread, 2)} percentage points"
    )
    left_out = f"; {change.n_left_out} left out" if change.n_left_out else ""
    return (
        f"{new} {verb} test {metric.label} by {number(abs(change.percent), 2)} % against {old} "
        f"({number(change.against)} → {number(change.value)} {metric.unit}; "
        f"better on {change.n_better} of {change.n} molecules{left_out}; {seeds})."
    )


def _listed(names: list[str]) -> str:
    return ", ".join(names[:-1]) + " and " + names[-1] if len(names) > 1 else names[0]


def best(
    summary: pd.DataFrame, metric: str, among: list[Functional], split: str = "test"
) -> list[Functional]:
    """The functional(s) with the best value among those with the fewest failures; empty without data."""
    rows = summary[(summary["metric"] == metric) & (summary["split"] == split) & summary["value"].notna()]
    rows = rows[[one in among for one in zip(rows["model"], rows["loss"], strict=True)]]
    if rows.empty:
        return []
    rows = rows[rows["n_failed"] == rows["n_failed"].min()]
    target = rows["value"].max() if BY_NAME[metric].higher_is_better else rows["value"].min()
    close = rows[[math.isclose(value, target, rel_tol=1e-9) for value in rows["value"]]]
    return list(zip(close["model"], close["loss"], strict=True))


def winner_sentences(config, summary: pd.DataFrame, tables: dict[str, pd.DataFrame]) -> list[str]:
    """For every model: which loss has the lowest value of each judged metric, `base` included."""
    sentences = []
    for model in dict.fromkeys(name for name, loss in functionals(config, tables) if loss != "none"):
        wins: dict[str, list[str]] = {}
        for metric in JUDGED:
            among = [one for one in functionals(config, tables) if one[0] == model]
            first = best(summary, metric, among)
            if first and len({(row.model, row.loss) for row in _rows(summary, metric, among)}) > 1:
                wins.setdefault(_listed([loss for _, loss in first]), []).append(BY_NAME[metric].label)
        if wins:
            words = "; ".join(f"{loss} on {_listed(metrics)}" for loss, metrics in wins.items())
            sentences.append(f"{model}, best loss by the mean alone, however small the gap: {words}.")
    return sentences


def _rows(summary: pd.DataFrame, metric: str, among: list[Functional]) -> list:
    rows = summary[(summary["metric"] == metric) & (summary["split"] == "test") & summary["value"].notna()]
    return [row for row in rows.itertuples() if (row.model, row.loss) in among]


def baseline_sentences(config, tables: dict[str, pd.DataFrame]) -> list[str]:
    """E_rho and excitation error of each learned functional, as a share of each classical functional's."""
    sentences = []
    everything = functionals(config, tables)
    baselines = [one for one in everything if one[1] == "none"]
    for learned in (one for one in everything if one[1] != "none"):
        parts = []
        for metric in ("e_rho_mEh", "e_tot_mae_fit_mEh", "tddft_mae_eV"):
            changes = [(compare(tables, metric, learned, baseline), baseline) for baseline in baselines]
            shares = [f"{number(100 + change.percent, 2)} % of {baseline[0]}'s" for change, baseline in changes
                      if change is not None]  # fmt: skip
            if shares:
                parts.append(f"{BY_NAME[metric].label} is {_listed(shares)}")
        if parts:
            sentences.append(f"{label(learned)}: {'; '.join(parts)}.")
    return sentences


def missing(config, tables: dict[str, pd.DataFrame], logs: dict[str, pd.DataFrame]) -> list[str]:
    """What the config leads one to expect and the tables or logs do not have, in words."""
    words = [f"The table {name} has no rows." for name, table in tables.items() if table.empty]
    wanted = {"scf": "e_rho_mEh", "warmstart": "warmstart_fock_builds_density", "tddft": "tddft_mae_eV"}
    for name, metric in wanted.items():
        rows = samples(BY_NAME[metric], tables)
        rows = rows[rows["split"] == "test"]
        seen, usable = (
            set(zip(part["model"], part["loss"], strict=True)) for part in (rows, rows[rows["used"]])
        )
        for one in functionals(config, tables) if len(tables[name]) else []:
            if one not in seen:
                words.append(f"{label(one)}: no test rows in the table {name}.")
            elif one not in usable:
                words.append(f"{label(one)}: none of its test rows in the table {name} converged.")
    for model in config.models:
        for loss in config.training.losses:
            names = [f"{model.name}-{loss}-{seed}" for seed in config.training.seeds]
            words += [f"{name}: no training log." for name in names if name not in logs]
    return words

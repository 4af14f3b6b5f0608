"""Plain words made from the numbers of a run: what was done, what each loss term did, what is missing."""

from __future__ import annotations

import math
from dataclasses import dataclass

import pandas as pd

from dixc.tables.compare import (
    Change,
    Functional,
    compare,
    functionals,
    label,
    listed,
    molecule_means,
    number,
    signed_percent,
)
from dixc.tables.metrics import BY_NAME, samples

# metrics on which the terms are judged, in the order of the report
JUDGED = (
    "e_tot_mae_mEh", "e_tot_mae_fit_mEh", "e_rho_mEh", "dipole_error_debye", "l2_density",
    "warmstart_fock_builds_density", "warmstart_fock_builds_accelerate", "one_build_mae_uEh", "tddft_mae_eV",
    "tddft_overlap_mae_eV", "tda_mae_eV",
)  # fmt: skip
# (new loss, old loss): what the step between them is called
STEPS = {
    ("grad", "base"): "gradient term (grad against base)",
    ("hess", "grad"): "Hessian term (hess against grad)",
    ("hess", "base"): "both terms (hess against base)",
}
# verdict on hess: what it says of Hessian supervision
PAYS = {
    "better": "Hessian supervision pays here",
    "worse": "Hessian supervision does not pay here",
    "no clear change": "whether Hessian supervision pays cannot be told here",
}
LOSS_WORDS = {
    "base": "Supervises the total energy and the self-consistent density; "
            "sees no derivative of the reference energy.",
    "grad": "base, plus the energy's gradient with respect to orbital rotations, which vanishes at the "
            "reference density.",
    "hess": "grad, plus products of the energy's Hessian with random orbital rotations, and with those of the "
            "lowest excitations: the curvature around the reference density.",
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
    groups: dict[str, list[str]] = {"better": [], "worse": [], "no clear change": []}
    for change in step.changes:
        percent = "" if change.verdict == "no clear change" else f" {signed_percent(change.percent)}"
        groups[change.verdict].append(BY_NAME[change.metric].label + percent)
    words = "; ".join(f"{verdict} on {listed(names)}" for verdict, names in groups.items() if names)
    return f"{step.model}, {step.title}: {words}."


def change_sentence(change: Change, new: str, old: str) -> str:
    """`grad lowers test E_rho by 12 % against base (0.500 → 0.440 mEh; better on 6 of 8 molecules; ...).`"""
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


def hessian_sentences(config, tables: dict[str, pd.DataFrame]) -> list[str]:
    """For every model: whether Hessian supervision pays for energies from one build, against grad or else base."""
    sentences = []
    everything = functionals(config, tables)
    for model in dict.fromkeys(name for name, loss in everything if loss == "hess"):
        for old in ("grad", "base"):
            change = compare(tables, "one_build_mae_uEh", (model, "hess"), (model, old))
            if change:
                sentences.append(f"{model}: {PAYS[change.verdict]}; {change_sentence(change, 'hess', old)}")
                break
    return sentences


def best(tables: dict[str, pd.DataFrame], metric: str, among: list[Functional]) -> list[Functional]:
    """The functional(s) with the best test mean over molecules that all of `among` with any value can use.

    Without failures these are the means of the summary; with failures nobody wins by failing on hard
    molecules. Empty if there is nothing to compare.
    """
    rows = samples(BY_NAME[metric], tables)
    columns = {one: molecule_means(rows, one, "test").groupby("molecule").mean() for one in among}
    common = pd.DataFrame({label(one): column for one, column in columns.items() if len(column)}).dropna()
    if common.shape[1] < 2 or common.empty:
        return []
    means = common.mean()
    target = means.max() if BY_NAME[metric].higher_is_better else means.min()
    return [one for one in among if math.isclose(means.get(label(one), math.nan), target, rel_tol=1e-9)]


def winner_sentences(config, tables: dict[str, pd.DataFrame]) -> list[str]:
    """For every model: which loss has the best mean of each judged metric, `base` included."""
    sentences = []
    everything = functionals(config, tables)
    for model in dict.fromkeys(name for name, loss in everything if loss != "none"):
        wins: dict[str, list[str]] = {}
        for metric in JUDGED:
            first = best(tables, metric, [one for one in everything if one[0] == model])
            if first:
                wins.setdefault(listed([loss for _, loss in first]), []).append(BY_NAME[metric].label)
        if wins:
            words = "; ".join(f"{loss} on {listed(metrics)}" for loss, metrics in wins.items())
            sentences.append(f"{model}, best loss by the mean alone, however small the gap: {words}.")
    return sentences


def baseline_sentences(config, tables: dict[str, pd.DataFrame]) -> list[str]:
    """E_rho and excitation error of each learned functional, as a share of each classical functional's."""
    sentences = []
    everything = functionals(config, tables)
    baselines = [one for one in everything if one[1] == "none"]
    for learned in (one for one in everything if one[1] != "none"):
        parts = []
        for metric in ("e_rho_mEh", "e_tot_mae_fit_mEh", "tddft_mae_eV"):
            changes = [(compare(tables, metric, learned, baseline), baseline) for baseline in baselines]
            shares = [
                f"{number(100 + change.percent, 2)} % of {baseline[0]}'s"
                for change, baseline in changes
                if change
            ]
            if shares:
                parts.append(f"{BY_NAME[metric].label} is {listed(shares)}")
        if parts:
            sentences.append(f"{label(learned)}: {'; '.join(parts)}.")
    return sentences


def missing(config, tables: dict[str, pd.DataFrame], logs: dict[str, pd.DataFrame]) -> list[str]:
    """What the config leads one to expect and the tables or logs do not have, in words."""
    asked = {
        "scf": ("e_rho_mEh", True),
        "warmstart": ("warmstart_fock_builds_density", "test" in config.evaluation.warmstart.splits),
        "tddft": ("tddft_mae_eV", "test" in config.evaluation.tddft.splits),
    }
    words = []
    for name, (metric, wanted) in asked.items():
        if not wanted:
            words.append(f"{name}: not asked for by the config on test molecules.")
        elif tables[name].empty:
            words.append(f"{name}: the table has no rows.")
        else:
            words += _missing_rows(config, tables, name, metric)
    for model in config.models:
        for loss in config.training.losses:
            names = [f"{model.key}-{loss}-{seed}" for seed in config.training.seeds]
            words += [f"{name}: no training log." for name in names if name not in logs]
    return words


def _missing_rows(config, tables: dict[str, pd.DataFrame], name: str, metric: str) -> list[str]:
    """Functionals without (usable) test rows in a table, and how many test molecules have no row at all."""
    rows = samples(BY_NAME[metric], tables)
    rows = rows[rows["split"] == "test"]
    words = []
    absent = config.molecules.test.size - rows["molecule"].nunique()
    if absent > 0:
        words.append(
            f"{name}: {absent} of {config.molecules.test.size} test molecules of the config have no row "
            f"({_why_absent(config, name)})."
        )
    seen, usable = (set(zip(part["model"], part["loss"], strict=True)) for part in (rows, rows[rows["used"]]))
    for one in functionals(config, tables):
        if one not in seen:
            words.append(f"{name}: no test rows of {label(one)}.")
        elif one not in usable:
            words.append(f"{name}: none of the test rows of {label(one)} converged.")
    return words


def _why_absent(config, table: str) -> str:
    limit = config.derivatives.states_max_heavy
    if table == "tddft" and limit is not None:
        return f"larger than derivatives.states_max_heavy, {limit}, or an earlier stage failed or was not run"
    return "an earlier stage failed on them or was not run"

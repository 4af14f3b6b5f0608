"""The run in plain words, for a reader who does not know the paper: what was done, what it means, what failed."""

from __future__ import annotations

import pandas as pd

from dixc.reference.method import exchange_of, is_hartree_fock
from dixc.report.narrative import best
from dixc.tables.compare import Functional, functionals, label, number
from dixc.tables.metrics import BY_NAME, samples

LOSSES = {
    "base": "energies and electron densities",
    "grad": "the same and the gradient of the energy with respect to the orbitals",
    "hess": "the same and the Hessian, the gradient's own derivative",
}
# metric -> what it says, with the values of the best trained and the best untrained functional
MEANINGS = {
    "e_rho_mEh": "Electron density: {learned} comes within {value} {unit} of {reference}'s energy when {reference} "
    "evaluates its density; the best untrained functional, {baseline}, within {against} {unit}.",
    "e_tot_mae_mEh": "Total energies: {learned} is {value} {unit} off on average, {baseline} {against} {unit}. "
    "Chemical accuracy, 1 kcal/mol, is 1.6 mEh.",
    "one_build_mae_uEh": "{reference}'s own energy from a single Fock build: {learned} foretells it to {value} {unit} "
    "on average, {baseline} to {against} {unit}.",
    "tddft_mae_eV": "Excitation energies, which decide what light a molecule absorbs: {learned} is {value} {unit} off "
    "on average, {baseline} {against} {unit}.",
}
Tables = dict[str, pd.DataFrame]


def done(config, tables: Tables) -> list[str]:
    """What was done, a paragraph each."""
    reference, basis = config.reference.functional.upper(), config.reference.basis
    count = {
        split: tables["scf"].query("split == @split")["molecule"].nunique() for split in ("train", "test")
    }
    paragraphs = [
        "Density functional theory computes the energy of a molecule from the density of its electrons. What it must "
        f"approximate is the exchange-correlation functional. {_why(config.reference.functional)}",
        f"This run takes {reference}/{basis} as the truth and asks how well cheaper functionals imitate it.",
    ]
    learned = ", ".join(model.key for model in config.models)
    if learned:
        losses = "; ".join(f"{name}: {LOSSES[name]}" for name in config.training.losses if name in LOSSES)
        paragraphs[1] += (
            f" Small neural networks ({learned}) learned from {count['train']} molecules, once for each kind of "
            f"teaching ({losses})."
        )
    untrained = ", ".join(config.evaluation.baselines)
    paragraphs[1] += (
        f" Then each functional solved {count['test']} test molecules that it had not seen, on its own"
        + (f", beside established functionals ({untrained})." if untrained else ".")
    )
    return paragraphs


def kind(functional: str) -> str:
    """What the functional to be imitated is, for the head of the report."""
    if is_hartree_fock(functional):
        return "Hartree-Fock"
    return "an expensive hybrid" if exchange_of(functional) else f"another one, {functional.upper()}"


def _why(functional: str) -> str:
    """What kind of functional the reference is, and what cheaper ones lack."""
    name = functional.upper()
    if is_hartree_fock(functional):
        return (
            f"The reference here, Hartree-Fock ({name}), has exact exchange instead, which makes every step of a "
            "calculation (a Fock build) expensive; functionals without it are cheap."
        )
    if exchange_of(functional):
        return (
            f"Hybrid functionals such as {name} are good approximations, but their exact exchange makes every step of "
            "a calculation (a Fock build) expensive; functionals without it are cheap and less accurate."
        )
    return f"The reference here, {name}, has no exact exchange, which would make every step (a Fock build) expensive."


def meaning(config, tables: Tables) -> list[str]:
    """What came out, a sentence each; empty without trained or without untrained functionals to compare."""
    everything = functionals(config, tables)
    trained = [one for one in everything if one[1] != "none"]
    untrained = [one for one in everything if one[1] == "none"]
    sentences = []
    for metric, words in MEANINGS.items():
        first, second = _leader(tables, metric, trained), _leader(tables, metric, untrained)
        if first and second:
            sentences.append(
                words.format(
                    learned=label(first[0]), value=number(first[1], 2), baseline=label(second[0]),
                    against=number(second[1], 2), unit=BY_NAME[metric].unit,
                    reference=config.reference.functional.upper(),
                )
            )  # fmt: skip
    builds = _leader(tables, "warmstart_fock_builds_density", trained)
    minao = _mean(tables, "warmstart_fock_builds_minao", None)
    accelerated = _leader(tables, "warmstart_fock_builds_accelerate", trained)
    if builds and minao is not None:
        steps = (
            f"{number(accelerated[1])} when it is accelerated by the density and Hessian of {label(accelerated[0])}, "
            if accelerated
            else ""
        )
        sentences.append(
            f"Saved work: {config.reference.functional.upper()} itself needs {number(builds[1])} Fock builds when it "
            f"starts from the density of {label(builds[0])}, {steps}and {number(minao)} from the usual guess."
        )
    return sentences


def failed(tables: Tables) -> str:
    """How many calculations failed, in a sentence."""
    words = {"scf": "SCF", "warmstart": "warm-start", "tddft": "excitation"}
    parts, total = [], 0
    for name, what in words.items():
        keys = tables[name][["model", "loss", "seed", "split", "molecule"]]
        runs = keys.assign(bad=~tables[name]["converged"]).groupby(list(keys), sort=False)["bad"].any()
        total += len(runs)
        if runs.any():
            parts.append(f"{int(runs.sum())} of {len(runs)} {what} calculations")
    if not total:
        return "There are no results at all."
    if not parts:
        return f"Nothing: all {total} calculations converged."
    return f"{'; '.join(parts)} did not converge. They are left out of all means, and listed below with their logs."


def _leader(tables: Tables, metric: str, among: list[Functional]) -> tuple[Functional, float] | None:
    """The functional with the best mean, and that mean."""
    present = [one for one in among if _mean(tables, metric, one) is not None]
    first = best(tables, metric, present) or present[:1]
    return (first[0], _mean(tables, metric, first[0])) if first else None


def _mean(tables: Tables, metric: str, one: Functional | None) -> float | None:
    """Mean over used test samples of a seed, then over seeds; None without any."""
    rows = samples(BY_NAME[metric], tables)
    rows = rows[(rows["split"] == "test") & rows["used"]]
    if one is not None:
        rows = rows[(rows["model"] == one[0]) & (rows["loss"] == one[1])]
    return rows.groupby("seed")["value"].mean().mean() if len(rows) else None

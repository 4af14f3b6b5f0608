"""The head of the report and its section in plain words: what was done, and what it means."""

from __future__ import annotations

import math

from dixc.reference.method import exchange_of, is_hartree_fock
from dixc.tables.metrics import METRICS, lead_first
from dixc.tables.results import Results
from dixc.tables.schema import LOSS_WORDS
from dixc.text import number


def facts(results: Results) -> list[tuple[str, str]]:
    """What was done: a name and a few words each."""
    config, scf = results.config, results.tables["scf"]
    reference, training = config.reference, config.training
    splits = []
    for split, purpose in (("train", "training"), ("validation", "validation"), ("test", "testing")):
        rows = scf[scf["split"] == split].drop_duplicates("molecule")
        sizes = rows["n_heavy"].dropna().astype(int)
        span = f" ({sizes.min()} to {sizes.max()} heavy atoms)" if len(sizes) else ""
        splits.append(f"{len(rows) or 'none'} for {purpose}{span}")
    models = ", ".join(model.key for model in config.models) or "none"
    seeds = f"seed{'s' if len(training.seeds) > 1 else ''} {', '.join(map(str, training.seeds))}"
    steps = f"{training.steps} optimizer steps each, all losses from the same pre-fitted start"
    return [
        ("Molecules", "; ".join(splits)),
        ("Reference", f"{reference.functional.upper()}/{reference.basis}, grid level {reference.grid_level}"),
        ("Learned", f"{models}; losses {', '.join(training.losses)}; {seeds}; {steps}"),
        ("Baselines", ", ".join(config.evaluation.baselines) or "none"),
        (
            "Measured",
            "self-consistent solutions of every functional on molecules it was not trained on, against "
            "the reference",
        ),
    ]


def kind_of_reference(functional: str) -> str:
    """What the functional to be imitated is."""
    if is_hartree_fock(functional):
        return "Hartree-Fock"
    return "an expensive hybrid" if exchange_of(functional) else f"another one, {functional.upper()}"


def _why_imitate(functional: str) -> str:
    """What kind of functional the reference is, and what cheaper ones lack."""
    name = functional.upper()
    if is_hartree_fock(functional):
        return (
            f"The reference here, Hartree-Fock ({name}), has exact exchange instead, which makes every "
            "step of a calculation (a Fock build) expensive; functionals without it are cheap."
        )
    if exchange_of(functional):
        return (
            f"Hybrid functionals such as {name} are good approximations, but their exact exchange makes "
            "every step of a calculation (a Fock build) expensive; functionals without it are cheap and "
            "less accurate."
        )
    return (
        f"The reference here, {name}, has no exact exchange, which would make every step (a Fock build) "
        "expensive."
    )


def done(results: Results) -> list[str]:
    """What was done, a paragraph each."""
    config, scf = results.config, results.tables["scf"]
    reference = config.reference.functional
    train, test = (scf.loc[scf["split"] == split, "molecule"].nunique() for split in ("train", "test"))
    theory = (
        "Density functional theory computes the energy of a molecule from the density of its electrons. "
        f"What it must approximate is the exchange-correlation functional. {_why_imitate(reference)}"
    )
    run = [
        f"This run takes {reference.upper()}/{config.reference.basis} as the truth and asks how well cheaper "
        "functionals imitate it."
    ]
    if config.models:
        models = ", ".join(model.key for model in config.models)
        losses = "; ".join(f"{loss}: {LOSS_WORDS[loss].plain}" for loss in config.training.losses)
        run.append(
            f"Small neural networks ({models}) learned from {train} molecules, once for each kind of "
            f"teaching ({losses})."
        )
    untrained = ", ".join(config.evaluation.baselines)
    beside = f", beside established functionals ({untrained})" if untrained else ""
    run.append(f"Then each functional solved {test} test molecules that it had not seen, on its own{beside}.")
    return [theory, " ".join(run)]


def meaning(results: Results) -> list[str]:
    """What came out, a sentence each; empty without anything to compare."""
    reference = results.config.reference.functional.upper()
    sentences = []
    for metric in (metric for metric in lead_first(METRICS) if metric.plain):
        learned, baseline = (
            results.leader(metric.name, among) for among in (results.trained, results.baselines)
        )
        if learned and baseline:
            words = {"learned": learned[0].label, "baseline": baseline[0].label, "reference": reference}
            numbers = {"value": number(learned[1], 2), "against": number(baseline[1], 2)}
            sentences.append(metric.plain.format(**words, **numbers, unit=metric.unit))
    return sentences + _saved_work(results, reference)


def _saved_work(results: Results, reference: str) -> list[str]:
    density = results.leader("warmstart_fock_builds_density", results.trained)
    minao = results.mean("warmstart_fock_builds_minao")
    if not density or not math.isfinite(minao):
        return []
    accelerated = results.leader("warmstart_fock_builds_accelerate", results.trained)
    steps = ""
    if accelerated:
        functional, builds = accelerated
        steps = f"{number(builds)} when it is accelerated by the density and Hessian of {functional.label}, "
    return [
        f"Saved work: {reference} itself needs {number(density[1])} Fock builds when it starts from the "
        f"density of {density[0].label}, {steps}and {number(minao)} from the usual guess."
    ]

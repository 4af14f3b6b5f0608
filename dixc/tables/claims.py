"""The claims of the paper (arXiv:2606.04279), and what a run has beside them."""

from __future__ import annotations

from dataclasses import dataclass
from math import nan

import pandas as pd

from dixc.config import Config
from dixc.tables.judge import Verdict, judge_claim, percent_change
from dixc.tables.metrics import BY_NAME, Metric
from dixc.tables.results import Results
from dixc.tables.schema import BASE, FunctionalKey
from dixc.text import number, signed_percent


@dataclass(frozen=True, eq=False)
class Claim:
    """One of the paper's figures.

    Attributes:
        metric: ours, compared with `base` (percent) or, for savings, read as it is.
        title: what the figure is about.
        figure: in the paper's terms.
        low, high: the same as a range of percent changes (negative: fewer, smaller).
        loss: the loss it was claimed for, or None for both.
        model: the architecture it was claimed for, or None for the mean over architectures.
    """

    metric: Metric
    title: str
    figure: str
    low: float
    high: float
    loss: str | None = None
    model: str | None = None

    @property
    def is_saving(self) -> bool:
        """Whether it is about work saved against the default guess, and not against `base`."""
        return self.metric.source.against_minao

    def is_about(self, loss: str) -> bool:
        """Whether it is about a loss; never `base`, with which the others are compared."""
        return loss != BASE and self.loss in (None, loss)


CLAIMS = (
    Claim(
        BY_NAME["e_tot_mae_mEh"],
        "Total-energy MAE, DI-Loss against energy and density supervision",
        "−66 % (mean over 4 architectures)",
        -66.0,
        -66.0,
    ),
    Claim(
        BY_NAME["e_tot_mae_fit_mEh"],
        "The same after a fit of per-element energies",
        "not reported",
        nan,
        nan,
    ),
    Claim(
        BY_NAME["e_rho_mEh"],
        "E_rho, DI-Loss against energy and density supervision",
        "1.2 → 0.8 mEh, that is −33 % (mean over architectures)",
        -100 / 3,
        -100 / 3,
    ),
    Claim(
        BY_NAME["warmstart_cycles_saved_percent"],
        "Iterations of the hybrid's SCF from the distilled density, against the default guess",
        "up to −50 %",
        -50.0,
        0.0,
    ),
    Claim(
        BY_NAME["tddft_mae_eV"],
        "TDDFT: MAE of excitation energies of XCdiff with Hessian supervision",
        "−19 to −35 %",
        -35.0,
        -19.0,
        "hess",
        "xcdiff",
    ),
)
REFERENCE = ("b3lyp", "def2svp")


def is_comparable(config: Config) -> bool:
    """Whether a run distils what the paper does; else its figures mean nothing here."""
    reference = config.reference
    basis = reference.basis.lower().replace("-", "").replace("_", "").replace(" ", "")
    return (reference.functional.strip().lower(), basis) == REFERENCE


@dataclass(frozen=True)
class Finding:
    """What the run has for a claim, of one model and loss, or of the mean over its models.

    Attributes:
        percent: change (negative: fewer, smaller).
        words: the change in words, with the numbers behind it.
        verdict: on the change; None for savings, which are not judged ("up to" claims no mean).
        judgement: on the claim, in words; empty for savings.
        by_seed: the compared numbers, columns new and old, index seed; None for savings.
    """

    claim: Claim
    model: str
    loss: str
    percent: float
    words: str
    verdict: Verdict | None = None
    judgement: str = ""
    by_seed: pd.DataFrame | None = None
    is_mean: bool = False

    @property
    def who(self) -> str:
        """`xcdiff hess`, or `hess, mean of 2 models`."""
        return f"{self.loss}, {self.model}" if self.is_mean else f"{self.model} {self.loss}"


def findings(results: Results) -> list[Finding]:
    """Every claim beside the models and losses that have data for it, then beside their means."""
    singles = []
    for claim in CLAIMS:
        for functional in results.trained:
            of_functional = _saving if claim.is_saving else _change
            finding = of_functional(results, claim, functional)
            if finding is not None:
                singles.append(finding)
    means = []
    for claim in CLAIMS:
        for loss in dict.fromkeys(single.loss for single in singles if single.claim is claim):
            same = [single for single in singles if single.claim is claim and single.loss == loss]
            means.append(_mean(claim, loss, same) if len(same) > 1 else None)
    return singles + [mean for mean in means if mean is not None]


def _change(results: Results, claim: Claim, functional: FunctionalKey) -> Finding | None:
    """Our change against `base`."""
    if not claim.is_about(functional.loss):
        return None
    change = results.change(claim.metric.name, functional, FunctionalKey(functional.model, BASE))
    if change is None:
        return None
    more = f", better on {change.n_better} of {change.n} molecules"
    return _judged(claim, *functional, change.by_seed, more)


def _judged(
    claim: Claim, model: str, loss: str, by_seed: pd.DataFrame, more: str = "", is_mean: bool = False
) -> Finding:
    """A finding of numbers by seed, new and old."""
    change = percent_change(by_seed["new"], by_seed["old"])
    old, new = (number(by_seed[side].mean()) for side in ("old", "new"))
    words = f"{signed_percent(change.mean)} ({old} → {new} {claim.metric.unit}{more})"
    # a claim about one architecture is none about another
    claimed = claim.high if claim.model in (None, model) else nan
    return Finding(claim, model, loss, change.mean, words, *judge_claim(change, claimed), by_seed, is_mean)


def _mean(claim: Claim, loss: str, of_models: list[Finding]) -> Finding | None:
    """The mean over models. A change is that of the means, of the seeds that all models have."""
    model = f"mean of {len(of_models)} models"
    if claim.is_saving:
        percent = sum(finding.percent for finding in of_models) / len(of_models)
        return Finding(claim, model, loss, percent, f"{signed_percent(percent)} on average", is_mean=True)
    frames = [finding.by_seed for finding in of_models if finding.by_seed is not None]
    by_seed = (sum(frames[1:], frames[0]) / len(frames)).dropna()
    return None if by_seed.empty else _judged(claim, model, loss, by_seed, is_mean=True)


def _saving(results: Results, claim: Claim, functional: FunctionalKey) -> Finding | None:
    """Iterations saved against minao: mean and best molecule; the words have Fock builds too."""
    rows = results.used(claim.metric.name, functional)
    if rows.empty:
        return None
    saved = results.mean(claim.metric.name, functional)
    built = results.mean("warmstart_builds_saved_percent", functional)
    words = (
        f"{signed_percent(-saved)} on average, {signed_percent(-rows['value'].max())} at best "
        f"({rows['molecule'].nunique()} molecules); all Fock builds {signed_percent(-built)} on average"
    )
    return Finding(claim, *functional, -saved, words)

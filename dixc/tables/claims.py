"""The figures of the paper (arXiv:2606.04279) beside those of a run."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from dixc.tables.compare import Change, compare, functionals, number, signed_percent
from dixc.tables.metrics import BY_NAME, samples


@dataclass(frozen=True)
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

    metric: str
    title: str
    figure: str
    low: float
    high: float
    loss: str | None = None
    model: str | None = None


NONE = float("nan")
CLAIMS = (
    Claim("e_tot_mae_mEh", "Total-energy MAE, DI-Loss against energy and density supervision",
          "−66 % (mean over 4 architectures)", -66.0, -66.0),
    Claim("e_tot_mae_fit_mEh", "The same after a fit of per-element energies", "not reported", NONE, NONE),
    Claim("e_rho_mEh", "E_rho, DI-Loss against energy and density supervision",
          "1.2 → 0.8 mEh, that is −33 % (mean over architectures)", -100 / 3, -100 / 3),
    Claim("warmstart_cycles_saved_percent", "Iterations of the hybrid's SCF from the distilled density, "
          "against the default guess", "up to −50 %", -50.0, 0.0),
    Claim("tddft_mae_eV", "TDDFT: MAE of excitation energies of XCdiff with Hessian supervision",
          "−19 to −35 %", -35.0, -19.0, "hess", "xcdiff"),
)  # fmt: skip
REFERENCE = ("b3lyp", "def2svp")
DERIVATIVE_LOSSES = ("grad", "hess")


def is_comparable(config) -> bool:
    """Whether a run distils what the paper does, B3LYP/def2-SVP; else its figures mean nothing here."""
    reference = config.reference
    basis = reference.basis.lower().replace("-", "").replace("_", "").replace(" ", "")
    return (reference.functional.strip().lower(), basis) == REFERENCE


@dataclass(frozen=True)
class Ours:
    """Our figure for a claim and functional: percent (negative: fewer, smaller), and in words.

    `means` are those of `base` and of this loss, in the metric's unit, where the figure compares the two.
    """

    claim: Claim
    model: str
    loss: str
    percent: float
    words: str
    verdict: str
    means: tuple[float, float] | None = None
    is_mean: bool = False

    @property
    def who(self) -> str:
        """`xcdiff hess`, or `hess, mean of 2 models`."""
        return f"{self.loss}, {self.model}" if self.is_mean else f"{self.model} {self.loss}"


def ours(config, tables: dict[str, pd.DataFrame]) -> list[Ours]:
    """Every claim beside every model and loss of the run that has data for it."""
    found = []
    learned = [one for one in functionals(config, tables) if one[1] != "none"]
    for claim in CLAIMS:
        for model, loss in learned:
            if BY_NAME[claim.metric].against_minao:
                found.append(_saving(claim, tables, model, loss))
            elif loss in DERIVATIVE_LOSSES and claim.loss in (None, loss):
                change = compare(tables, claim.metric, (model, loss), (model, "base"))
                found.append(change and _changed(claim, model, loss, change))
    present = [one for one in found if one]
    return present + _model_means(present)


def _model_means(found: list[Ours]) -> list[Ours]:
    """Every claim and loss that has more than one model, averaged over models: changes are those of the mean."""
    averages = []
    for claim in CLAIMS:
        for loss in dict.fromkeys(one.loss for one in found if one.claim is claim):
            same = [one for one in found if one.claim is claim and one.loss == loss]
            if len(same) > 1:
                averages.append(_average(claim, loss, same))
    return averages


def _average(claim: Claim, loss: str, of_models: list[Ours]) -> Ours:
    model = f"mean of {len(of_models)} models"
    pairs = [one.means for one in of_models if one.means]
    if not pairs:
        percent = sum(one.percent for one in of_models) / len(of_models)
        return Ours(claim, model, loss, percent, f"{signed_percent(percent)} on average", "", is_mean=True)
    against, value = (sum(side) / len(pairs) for side in zip(*pairs, strict=True))
    percent = 100 * (value / against - 1)
    words = f"{signed_percent(percent)} ({number(against)} → {number(value)} {BY_NAME[claim.metric].unit})"
    return Ours(claim, model, loss, percent, words, "", (against, value), is_mean=True)


def _changed(claim: Claim, model: str, loss: str, change: Change) -> Ours:
    unit = BY_NAME[claim.metric].unit
    words = (
        f"{signed_percent(change.percent)} ({number(change.against)} → {number(change.value)} {unit}, "
        f"better on {change.n_better} of {change.n} molecules)"
    )
    means = change.against, change.value
    return Ours(claim, model, loss, change.percent, words, change.verdict, means)


def _saving(claim: Claim, tables: dict[str, pd.DataFrame], model: str, loss: str) -> Ours | None:
    """Iterations saved against minao: mean and best molecule; in the words, all Fock builds as well."""
    used = _used(tables, claim.metric, model, loss)
    if used.empty:
        return None
    saved = used.groupby("seed").mean().mean()
    built = _used(tables, "warmstart_builds_saved_percent", model, loss).groupby("seed").mean().mean()
    count = used.index.unique("molecule").size
    words = (
        f"{signed_percent(-saved)} on average, {signed_percent(-used.max())} at best ({count} molecules); "
        f"all Fock builds {signed_percent(-built)} on average"
    )
    return Ours(claim, model, loss, -saved, words, "")


def _used(tables: dict[str, pd.DataFrame], metric: str, model: str, loss: str) -> pd.Series:
    """Used test values of a metric, index (seed, molecule)."""
    rows = samples(BY_NAME[metric], tables)
    mine = (rows["model"] == model) & (rows["loss"] == loss) & (rows["split"] == "test") & rows["used"]
    return rows[mine].set_index(["seed", "molecule"])["value"]

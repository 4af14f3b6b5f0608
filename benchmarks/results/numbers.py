"""Means over seeds and architectures, changes against `base`, and what they say of a claim.

Everything is done seed by seed and averaged last, so that a spread is one between seeds: an average over architectures
counts the seeds that all of them have, a change compares a loss with `base` of the same seed (both start from the same
pre-fitted weights).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Estimate:
    """Mean, sample standard deviation (NaN for one) and number of seeds."""

    mean: float
    spread: float
    n: int

    @property
    def bound(self) -> float:
        """Half the width of the confidence interval of the mean (Student's t); infinite for one seed."""
        if self.n < 2:
            return np.inf
        return float(stats.t.ppf(0.5 + CONFIDENCE / 2, self.n - 1) * self.spread / np.sqrt(self.n))


def estimate(values: pd.Series) -> Estimate:
    """Of one number a seed; those that are NaN are left out."""
    values = values.dropna()
    return Estimate(float(values.mean()), float(values.std(ddof=1)), len(values))


class Seeds:
    """The numbers of seeds.csv on one split.

    Args:
        table: seeds.csv.
        split: "test" or "validation".
    """

    def __init__(self, table: pd.DataFrame, split: str = "test"):
        self.table = table[table["split"] == split]
        learned = self.table[self.table["loss"] != "none"]
        self.models = list(dict.fromkeys(learned["model"]))
        self.losses = [loss for loss in ("base", "grad", "hess") if (learned["loss"] == loss).any()]

    def values(self, metric: str, model: str, loss: str) -> pd.Series:
        """One number a seed, index seed."""
        table = self.table
        mine = (table["metric"] == metric) & (table["model"] == model) & (table["loss"] == loss)
        return table[mine].set_index("seed")["value"].astype(float).dropna()

    def average(self, metric: str, loss: str) -> pd.Series:
        """The mean over all architectures of the run, for the seeds that all of them have."""
        every = [self.values(metric, model, loss) for model in self.models]
        return pd.concat(every, axis=1, join="inner").mean(axis=1) if every else pd.Series(dtype=float)

    def of(self, metric: str, loss: str, model: str | None = None) -> pd.Series:
        """One number a seed, of an architecture or (None) of the mean over all."""
        return self.average(metric, loss) if model is None else self.values(metric, model, loss)

    def change(self, metric: str, loss: str, model: str | None = None) -> Estimate:
        """Percent change of `loss` against `base`; of the mean over architectures if no model is named."""
        return estimate(100 * (self.of(metric, loss, model) / self.of(metric, "base", model) - 1))


def verdict(change: Estimate, claimed: float) -> str:
    """What a change says of a claim, in words.

    Args:
        change: percent, negative where the loss is better.
        claimed: percent, negative; the paper's figure, or the least of a range.
    """
    if not np.isfinite(change.mean):
        return "no numbers"
    if change.n == 1:
        there = change.mean <= claimed
        size = (
            "as large as the paper's"
            if there
            else "smaller than the paper's"
            if change.mean < 0
            else "opposite"
        )
        return f"one seed, which proves nothing; {size}"
    if abs(change.mean) <= change.bound:
        return f"no change that {change.n} seeds could tell from chance"
    if change.mean > 0:
        return "does not hold: worse than `base`"
    return "holds" if change.mean <= claimed else "same direction, smaller than in the paper"

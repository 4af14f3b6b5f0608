"""The numbers of seeds.csv, of single architectures and of their mean.

Everything is done seed by seed and averaged last, so that a spread is one between seeds: an average
over architectures counts the seeds that all of them have, a change compares a loss with `base` of
the same seed (both start from the same pre-fitted weights).
"""

from __future__ import annotations

import pandas as pd

from dixc.config.root import NO_LOSS
from dixc.tables.judge import Estimate, percent_change
from dixc.tables.schema import BASE, LOSS_WORDS


class Seeds:
    """The numbers of seeds.csv on one split.

    Args:
        table: seeds.csv.
        split: "test" or "validation".
    """

    def __init__(self, table: pd.DataFrame, split: str = "test"):
        self.table = table[table["split"] == split]
        learned = self.table[self.table["loss"] != NO_LOSS]
        self.models = list(dict.fromkeys(learned["model"]))
        self.losses = [loss for loss in LOSS_WORDS if (learned["loss"] == loss).any()]

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
        """Percent change of `loss` against `base`, of an architecture or (None) of the mean."""
        return percent_change(self.of(metric, loss, model), self.of(metric, BASE, model))

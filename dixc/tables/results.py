"""The results of a run: its tables, and what is asked of them again and again."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import pandas as pd

from dixc.config import Config
from dixc.config.root import NO_LOSS
from dixc.tables.judge import Estimate, Verdict, judge, percent_change
from dixc.tables.metrics import BY_NAME, Metric
from dixc.tables.samples import rows_of, samples
from dixc.tables.schema import FunctionalKey
from dixc.tables.summary import summarise


@dataclass(frozen=True)
class Change:
    """A metric of one functional against that of another, on the molecules that both have.

    Attributes:
        by_seed: means over common molecules, columns new and old, index seed.
        n: common molecules.
        n_better: molecules on which the first functional is better (means over seeds).
        n_left_out: molecules that only one side has.
    """

    metric: Metric
    by_seed: pd.DataFrame = field(repr=False, compare=False)
    n: int
    n_better: int
    n_left_out: int

    @property
    def value(self) -> float:
        """Mean over seeds of the first functional, in the metric's unit."""
        return float(self.by_seed["new"].mean())

    @property
    def against(self) -> float:
        """The same of the second."""
        return float(self.by_seed["old"].mean())

    @cached_property
    def percent(self) -> Estimate:
        """Percent change, seed by seed."""
        return percent_change(self.by_seed["new"], self.by_seed["old"])

    @property
    def verdict(self) -> Verdict:
        """Whether the first functional is better."""
        return judge(self.percent, self.metric.higher_is_better)


class Results:
    """The tables of a run and its config, made once for everything that speaks of the run.

    Args:
        config: of the run.
        tables: scf, warmstart, tddft, and (for figures of molecules) convergence and spectra.
        summary: the run's summary; made from the tables if it is not given.
    """

    def __init__(
        self, config: Config, tables: Mapping[str, pd.DataFrame], summary: pd.DataFrame | None = None
    ) -> None:
        self.config = config
        self.tables = dict(tables)
        self.summary = summarise(self.tables) if summary is None else summary
        self._samples: dict[str, pd.DataFrame] = {}
        self._changes: dict[tuple[str, FunctionalKey, FunctionalKey, str], Change | None] = {}

    @cached_property
    def functionals(self) -> list[FunctionalKey]:
        """Baselines, models and losses in the config's order, then what else has rows.

        The reference functional, which has minao rows only, is none of them.
        """
        config = self.config
        keys = [FunctionalKey(name, NO_LOSS) for name in config.evaluation.baselines]
        keys += [FunctionalKey(model.key, loss) for model in config.models for loss in config.training.losses]
        for table in self.tables.values():
            rows = table[table["guess"] != "minao"] if "guess" in table else table
            keys += map(FunctionalKey, rows["model"], rows["loss"])
        return list(dict.fromkeys(keys))

    @property
    def trained(self) -> list[FunctionalKey]:
        """The functionals that the run trained."""
        return [functional for functional in self.functionals if functional.is_trained]

    @property
    def baselines(self) -> list[FunctionalKey]:
        """The functionals that it did not."""
        return [functional for functional in self.functionals if not functional.is_trained]

    @property
    def models(self) -> list[str]:
        """The models of the trained functionals."""
        return list(dict.fromkeys(functional.model for functional in self.trained))

    def of_model(self, model: str) -> list[FunctionalKey]:
        """The trained functionals of a model, one a loss."""
        return [functional for functional in self.trained if functional.model == model]

    def samples(self, metric: str) -> pd.DataFrame:
        """As `dixc.tables.samples.samples`."""
        if metric not in self._samples:
            self._samples[metric] = samples(BY_NAME[metric], self.tables)
        return self._samples[metric]

    def used(self, metric: str, functional: FunctionalKey | None = None, split: str = "test") -> pd.DataFrame:
        """The samples of a split that can be used, of one functional or of all."""
        rows = self.samples(metric)
        rows = rows[(rows["split"] == split) & rows["used"]]
        return rows if functional is None else rows_of(rows, functional)

    def mean(self, metric: str, functional: FunctionalKey | None = None) -> float:
        """Mean over used test samples of a seed, then over seeds; NaN without any."""
        return float(self.used(metric, functional).groupby("seed")["value"].mean().mean())

    def molecule_means(self, metric: str, functional: FunctionalKey, split: str = "test") -> pd.Series:
        """Mean of each (seed, molecule) of which every sample can be used."""
        rows = rows_of(self.samples(metric), functional, split=split)
        groups = rows.groupby([rows["seed"].astype(int), "molecule"])
        return groups["value"].mean()[groups["used"].all()]

    def change(
        self, metric: str, new: FunctionalKey, old: FunctionalKey, split: str = "test"
    ) -> Change | None:
        """The change of a metric from `old` to `new`; None without a common molecule.

        Learned functionals are paired by seed and molecule; a baseline is paired with each seed.
        """
        key = (metric, new, old, split)
        if key not in self._changes:
            self._changes[key] = self._compared(*key)
        return self._changes[key]

    def _compared(self, metric: str, new: FunctionalKey, old: FunctionalKey, split: str) -> Change | None:
        values, against = (self.molecule_means(metric, functional, split) for functional in (new, old))
        if not old.is_trained:
            against = _for_every_seed(against, values)
        pairs = pd.concat([values, against], axis=1, keys=["new", "old"], join="inner")
        by_seed = pairs.groupby("seed").mean()
        if pairs.empty or not by_seed["old"].all():
            return None
        by_molecule = pairs.groupby("molecule").mean()
        gains = by_molecule["old"] - by_molecule["new"]
        if BY_NAME[metric].higher_is_better:
            gains = -gains
        left_out = {molecule for _, molecule in values.index.symmetric_difference(against.index)}
        return Change(BY_NAME[metric], by_seed, len(gains), int((gains > 0).sum()), len(left_out))

    def best(self, metric: str, among: Sequence[FunctionalKey], split: str = "test") -> list[FunctionalKey]:
        """The functional(s) with the best mean over the molecules that all of them can use.

        Without failures these are the means of the summary; with failures nobody wins by failing
        on hard molecules. Functionals without any value do not count. Empty if there is nothing to
        compare.
        """
        columns = {key: self.molecule_means(metric, key, split).groupby("molecule").mean() for key in among}
        common = pd.DataFrame({key.label: column for key, column in columns.items() if len(column)}).dropna()
        if common.shape[1] < 2 or common.empty:
            return []
        means = common.mean()
        target = means.max() if BY_NAME[metric].higher_is_better else means.min()
        return [key for key in among if math.isclose(means.get(key.label, math.nan), target, rel_tol=1e-9)]

    def leader(self, metric: str, among: Sequence[FunctionalKey]) -> tuple[FunctionalKey, float] | None:
        """The functional with the best test mean, and that mean; None without any."""
        present = [key for key in among if math.isfinite(self.mean(metric, key))]
        first = self.best(metric, present) or present[:1]
        return (first[0], self.mean(metric, first[0])) if first else None


def _for_every_seed(baseline: pd.Series, learned: pd.Series) -> pd.Series:
    """A baseline's values, index (seed, molecule), for every seed of the learned functional."""
    values = baseline.groupby("molecule").mean()
    seeds = sorted(set(learned.index.get_level_values("seed"))) or [0]
    return pd.concat(dict.fromkeys(seeds, values), names=["seed"]) if len(values) else baseline

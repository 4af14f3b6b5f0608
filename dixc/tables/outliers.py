"""Single errors that deserve a look: far worse than what is usual for the same functional."""

from __future__ import annotations

from dataclasses import dataclass

from dixc.tables.metrics import METRICS, Metric
from dixc.tables.results import Results
from dixc.tables.samples import rows_of
from dixc.tables.schema import FunctionalKey
from dixc.text import number

FACTOR = 4.0
FEWEST = 6
RULE = (
    f"A test molecule is listed as an outlier if an error of it is more than {FACTOR:g} times the median "
    f"of the same functional's errors (with at least {FEWEST} of them)."
)


@dataclass(frozen=True)
class Outlier:
    """One error of one molecule, and the median of the same functional and seed."""

    metric: Metric
    functional: FunctionalKey
    seed: int
    molecule: str
    value: float
    median: float

    @property
    def words(self) -> str:
        """`E_rho 3.20 mEh, 4.5 times the median of 0.710`."""
        size = f"{self.metric.outlier} {number(self.value)} {self.metric.unit}"
        return f"{size}, {number(self.value / self.median, 2)} times the median of {number(self.median)}"


def outliers(results: Results) -> list[Outlier]:
    """The largest error of each metric, functional, seed and molecule by `RULE`, worst first."""
    listed = []
    for metric in (metric for metric in METRICS if metric.outlier):
        rows = results.used(metric.name)
        for functional in results.functionals:
            for seed, group in rows_of(rows, functional).groupby("seed"):
                median = group["value"].median()
                if len(group) < FEWEST or not median > 0:
                    continue
                worst = group.groupby("molecule")["value"].max()
                for molecule, value in worst[worst > FACTOR * median].items():
                    listed.append(Outlier(metric, functional, int(seed), molecule, value, median))
    return sorted(listed, key=lambda outlier: -outlier.value / outlier.median)

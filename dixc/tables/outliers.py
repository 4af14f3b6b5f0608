"""Rows that deserve a look: far worse than what is usual for the same functional."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pandas as pd

from dixc.report.sources import Sources
from dixc.tables.compare import Functional, functionals, label, number
from dixc.tables.metrics import BY_NAME, samples

FACTOR = 4.0
FEWEST = 6
MOST_OUTLIERS = 30
# metric -> what one value of it is
METRICS = {
    "e_tot_mae_fit_mEh": "total energy (fitted) off by",
    "e_rho_mEh": "E_rho",
    "dipole_error_debye": "dipole moment off by",
    "tddft_mae_eV": "an excitation energy off by",
}
RULE = (
    f"A test molecule is listed as an outlier if an error of it is more than {FACTOR:g} times the median of the same "
    f"functional's errors (with at least {FEWEST} of them)."
)


@dataclass(frozen=True)
class Outlier:
    """One error of one molecule."""

    table: str
    functional: Functional
    seed: int
    molecule: str
    label: str
    unit: str
    value: float
    median: float

    @property
    def who(self) -> str:
        return label(self.functional)

    @property
    def words(self) -> str:
        """`E_rho 3.20 mEh, 4.5 times the median of 0.710`."""
        ratio = number(self.value / self.median, 2)
        return f"{self.label} {number(self.value)} {self.unit}, {ratio} times the median of {number(self.median)}"


def outliers(config, tables: dict[str, pd.DataFrame]) -> list[Outlier]:
    """The largest error of each metric, functional, seed and test molecule that breaks `RULE`, worst first."""
    found = []
    for name, words in METRICS.items():
        metric = BY_NAME[name]
        rows = samples(metric, tables)
        rows = rows[(rows["split"] == "test") & rows["used"]]
        for model, loss in functionals(config, tables):
            mine = rows[(rows["model"] == model) & (rows["loss"] == loss)]
            for seed, group in mine.groupby("seed"):
                median = group["value"].median()
                if len(group) < FEWEST or not median > 0:
                    continue
                worst = group.groupby("molecule")["value"].max()
                found += [
                    Outlier(
                        metric.table,
                        (model, loss),
                        int(seed),
                        molecule,
                        words,
                        metric.unit,
                        value,
                        median,
                    )
                    for molecule, value in worst[worst > FACTOR * median].items()
                ]
    return sorted(found, key=lambda one: -one.value / one.median)


def rows(found: list[Outlier], sources: Sources) -> dict[str, Any]:
    """Outliers for the template (at most MOST_OUTLIERS), and how many there are more."""
    shown = [
        {"molecule": one.molecule, "about": sources.words(one.molecule), "who": one.who, "words": one.words,
         "link": sources.log(one.table, *one.functional, one.seed, one.molecule)}
        for one in found[:MOST_OUTLIERS]
    ]  # fmt: skip
    return {"rows": shown, "left_out": max(0, len(found) - MOST_OUTLIERS)}

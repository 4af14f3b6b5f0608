"""Comparisons of two functionals on the molecules that both have, and the verdict on them.

A verdict follows one stated rule (`RULE`), so that a small gap is never told as a gain: the mean has to
change by more than CLEAR_PERCENT, more than half of the molecules have to go the same way, and with several
seeds the change has to exceed the spread of the changes of single seeds.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from dixc.tables.metrics import BY_NAME, samples

CLEAR_PERCENT = 10.0
RULE = (
    f"A change counts as clear if the mean changes by more than {CLEAR_PERCENT:g} %, if more than half of "
    "the molecules go the same way and, with several seeds, if it exceeds the spread between seeds; all else "
    "is 'no clear change'. Only molecules that converged for both sides are compared."
)

Functional = tuple[str, str]  # model and loss


@dataclass(frozen=True)
class Change:
    """A metric of one functional against that of another.

    Attributes:
        value, against: means over common molecules (then seeds), in the metric's unit.
        percent: 100 (value / against - 1).
        spread: sample standard deviation of `percent` over seeds, NaN for one seed.
        n, n_seeds: common molecules and common seeds.
        n_better: molecules on which the first functional is better (means over seeds).
        n_left_out: molecules that only one side has.
        verdict: "better", "worse" or "no clear change".
    """

    metric: str
    value: float
    against: float
    percent: float
    spread: float
    n: int
    n_seeds: int
    n_better: int
    n_left_out: int
    verdict: str


def molecule_means(rows: pd.DataFrame, functional: Functional, split: str) -> pd.Series:
    """Mean of each (seed, molecule) of which every sample can be used, from the rows of `samples`."""
    model, loss = functional
    chosen = rows[(rows["model"] == model) & (rows["loss"] == loss) & (rows["split"] == split)]
    groups = chosen.groupby([chosen["seed"].astype(int), "molecule"])
    means = groups["value"].mean()
    return means[groups["used"].all()]


def compare(
    tables: dict[str, pd.DataFrame],
    metric: str,
    functional: Functional,
    against: Functional,
    split: str = "test",
) -> Change | None:
    """The change of `metric` from `against` to `functional`; None without a common molecule.

    Learned functionals are paired by seed and molecule; a baseline has no seeds and is paired with each.
    """
    rows = samples(BY_NAME[metric], tables)
    new, old = (molecule_means(rows, one, split) for one in (functional, against))
    if against[1] == "none":
        old = _spread_out(old, new)
    pairs = pd.concat([new, old], axis=1, keys=["new", "old"], join="inner")
    if pairs.empty or not pairs["old"].mean():
        return None
    left_out = len({name for _, name in new.index.symmetric_difference(old.index)})
    return _judge(metric, pairs, left_out)


def _spread_out(baseline: pd.Series, learned: pd.Series) -> pd.Series:
    """A baseline's values, repeated for every seed of the learned functional."""
    values = baseline.groupby("molecule").mean()
    seeds = sorted(set(learned.index.get_level_values("seed"))) or [0]
    return pd.concat(dict.fromkeys(seeds, values), names=["seed"]) if len(values) else baseline


def _judge(metric: str, pairs: pd.DataFrame, left_out: int) -> Change:
    """Make the Change of paired values, index (seed, molecule), columns new and old."""
    per_seed = pairs.groupby("seed").mean()
    per_molecule = pairs.groupby("molecule").mean()
    value, against = per_seed["new"].mean(), per_seed["old"].mean()
    percent = 100 * (value / against - 1)
    spread = (100 * (per_seed["new"] / per_seed["old"] - 1)).std(ddof=1)
    sign = 1 if BY_NAME[metric].higher_is_better else -1
    gains = sign * (per_molecule["new"] - per_molecule["old"])
    n_better, n_worse, n = int((gains > 0).sum()), int((gains < 0).sum()), len(gains)
    verdict = "no clear change"
    if abs(percent) > CLEAR_PERCENT and not abs(percent) <= spread:  # a NaN spread (one seed) sets no bound
        if sign * percent > 0 and n_better > n / 2:
            verdict = "better"
        elif sign * percent < 0 and n_worse > n / 2:
            verdict = "worse"
    return Change(metric, value, against, percent, spread, n, len(per_seed), n_better, left_out, verdict)


def functionals(config, tables: dict[str, pd.DataFrame]) -> list[Functional]:
    """(model, loss) of the run: baselines, models and losses in the config's order, then what else has rows.

    The reference functional, which has minao rows only, is no part of it.
    """
    expected: list[Functional] = [(name, "none") for name in config.evaluation.baselines]
    expected += [(model.key, loss) for model in config.models for loss in config.training.losses]
    for table in tables.values():
        rows = table[table["guess"] != "minao"] if "guess" in table else table
        found = list(dict.fromkeys(zip(rows["model"], rows["loss"], strict=True)))
        expected += [one for one in found if one not in expected]
    return expected


def label(functional: Functional) -> str:
    """`pbe`, or `xcdiff hess`."""
    model, loss = functional
    return model if loss == "none" else f"{model} {loss}"


def listed(names: list[str]) -> str:
    """`a, b and c`."""
    return ", ".join(names[:-1]) + " and " + names[-1] if len(names) > 1 else names[0]


def number(value: float, digits: int = 3) -> str:
    """A number with `digits` significant digits, no exponent where it can be avoided; a dash for NaN."""
    if value is None or not np.isfinite(value):
        return "–"
    if value == 0:
        return "0"
    if not 1e-4 <= abs(value) < 1e6:
        return f"{value:.{digits - 1}e}"
    decimals = max(0, digits - 1 - int(np.floor(np.log10(abs(value)))))
    return f"{value:.{decimals}f}"


def signed_percent(value: float) -> str:
    """`−12 %`, `+3 %`, with a true minus; a dash for NaN."""
    if not np.isfinite(value):
        return "–"
    text = f"{value:+.{0 if abs(value) >= 9.95 else 1}f}"
    return f"{'0' if float(text) == 0 else text.replace('-', '−')} %"

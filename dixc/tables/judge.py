"""The one judge of changes and of the paper's claims, for report and docs/results.md alike.

A change is a percentage a seed: one functional against another with the same seed, both of which
start from the same pre-fitted weights. It is judged by the confidence interval of its mean over
seeds. How far it is from zero, and on how many molecules it goes the same way, is said beside the
verdict and decides nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

import numpy as np
import pandas as pd
from scipy.special import stdtrit

CONFIDENCE = 0.95
RULE = (
    "A change is the mean over seeds of the percent change against a functional with the same seed. It "
    f"is called better or worse if its {100 * CONFIDENCE:g} % confidence interval over seeds (Student's "
    "t) leaves out zero, and 'no clear change' if not. One seed has no interval: its changes say nothing "
    "beyond these molecules and this training, and are not judged."
)
CLAIM_RULE = (
    "A claim of the paper holds if the change is better by this rule and at least as large as the paper's."
)


class Verdict(Enum):
    """What seeds say of a change; the value is its words."""

    BETTER = "better"
    WORSE = "worse"
    UNCLEAR = "no clear change"
    ONE_SEED = "one seed, not judged"
    NO_DATA = "no numbers"

    @property
    def opposite(self) -> Verdict:
        """The verdict on the second of two functionals."""
        return {Verdict.BETTER: Verdict.WORSE, Verdict.WORSE: Verdict.BETTER}.get(self, self)


@dataclass(frozen=True)
class Estimate:
    """Mean, sample standard deviation (NaN for one) and number of seeds."""

    mean: float
    spread: float
    n: int

    @property
    def half_width(self) -> float:
        """Half the confidence interval of the mean (Student's t); infinite for one seed."""
        if self.n < 2:
            return np.inf
        return float(stdtrit(self.n - 1, 0.5 + CONFIDENCE / 2) * self.spread / np.sqrt(self.n))


def estimate(values: pd.Series) -> Estimate:
    """Of one number a seed; those that are NaN are left out."""
    values = values.dropna()
    return Estimate(float(values.mean()), float(values.std(ddof=1)), len(values))


def percent_change(new: pd.Series, old: pd.Series) -> Estimate:
    """Percent change of numbers by seed, for the seeds that both have."""
    return estimate(100 * (new / old - 1))


def judge(change: Estimate, higher_is_better: bool = False) -> Verdict:
    """What the seeds say of a percent change."""
    if not np.isfinite(change.mean):
        return Verdict.NO_DATA
    if change.n == 1:
        return Verdict.ONE_SEED
    if abs(change.mean) <= change.half_width:
        return Verdict.UNCLEAR
    return Verdict.BETTER if (change.mean > 0) == higher_is_better else Verdict.WORSE


def judge_claim(change: Estimate, claimed: float) -> tuple[Verdict, str]:
    """What the seeds say of a claim: the verdict on the change, and that on the claim in words.

    Args:
        change: percent, negative where ours is better.
        claimed: percent, negative; the paper's figure, or the least of a range; NaN for none.
    """
    verdict = judge(change)
    words = verdict.value
    if np.isfinite(claimed):
        if verdict is Verdict.WORSE:
            words = "does not hold: worse"
        elif verdict is Verdict.BETTER:
            words = "holds" if change.mean <= claimed else "same direction, smaller than in the paper"
    return verdict, words

"""The judge of changes and claims: intervals by hand, and verdicts that follow from numbers."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from dixc.tables.judge import Estimate, Verdict, estimate, judge, judge_claim, percent_change


@pytest.mark.parametrize(("n", "quantile"), [(2, 12.706), (3, 4.303), (5, 2.776)])
def test_intervals_are_students(n, quantile):
    assert Estimate(0.0, 1.0, n).half_width == pytest.approx(quantile / np.sqrt(n), rel=1e-3)
    assert Estimate(0.0, np.nan, 1).half_width == np.inf


def test_changes_are_paired_by_seed():
    new, old = pd.Series({0: 0.9, 1: 1.8, 2: 7.0}), pd.Series({0: 1.0, 1: 2.0, 3: 5.0})
    change = percent_change(new, old)
    assert (change.mean, change.n) == (pytest.approx(-10), 2)
    assert change.spread == pytest.approx(0, abs=1e-9)
    assert estimate(pd.Series([1.0, np.nan, 3.0])) == Estimate(2.0, np.sqrt(2), 2)


@pytest.mark.parametrize(
    ("change", "higher_is_better", "verdict"),
    [
        (Estimate(-5.1, 2, 3), False, Verdict.BETTER),  # half the interval is 4.97
        (Estimate(-4.9, 2, 3), False, Verdict.UNCLEAR),
        (Estimate(5.1, 2, 3), False, Verdict.WORSE),
        (Estimate(5.1, 2, 3), True, Verdict.BETTER),
        (Estimate(-5.1, 2, 3), True, Verdict.WORSE),
        (Estimate(0, 0, 3), False, Verdict.UNCLEAR),
        (Estimate(-99, np.nan, 1), False, Verdict.ONE_SEED),
    ],
)
def test_a_change_is_judged_by_its_interval(change, higher_is_better, verdict):
    assert judge(change, higher_is_better) is verdict


def test_opposites():
    assert Verdict.BETTER.opposite is Verdict.WORSE
    assert Verdict.UNCLEAR.opposite is Verdict.UNCLEAR


@pytest.mark.parametrize(
    ("change", "claimed", "verdict", "words"),
    [
        (Estimate(-70, 1, 3), -66, Verdict.BETTER, "holds"),
        (Estimate(-20, 1, 3), -66, Verdict.BETTER, "same direction, smaller than in the paper"),
        (Estimate(-20, 20, 3), -66, Verdict.UNCLEAR, "no clear change"),
        (Estimate(20, 20, 3), -66, Verdict.UNCLEAR, "no clear change"),
        (Estimate(20, 1, 3), -66, Verdict.WORSE, "does not hold: worse"),
        (Estimate(-70, np.nan, 1), -66, Verdict.ONE_SEED, "one seed, not judged"),
        (Estimate(5, np.nan, 1), -66, Verdict.ONE_SEED, "one seed, not judged"),
        (Estimate(-20, 1, 3), np.nan, Verdict.BETTER, "better"),
        (Estimate(np.nan, np.nan, 0), -66, Verdict.NO_DATA, "no numbers"),
    ],
)
def test_verdicts_follow_from_numbers(change, claimed, verdict, words):
    assert judge_claim(change, claimed) == (verdict, words)

"""Numbers and tables as text."""

from __future__ import annotations

import pytest

from dixc.text import (
    aligned,
    counted,
    fixed,
    listed,
    markdown_table,
    number,
    rounded,
    shortened,
    signed_percent,
)


@pytest.mark.parametrize(
    ("value", "words"),
    [(0.0, "0"), (1.0, "1.00"), (0.0123456, "0.0123"), (123456.0, "123456"), (float("nan"), "–"), (1e-7, "1.00e-07"),
     (-3.14159, "-3.14")],
)  # fmt: skip
def test_numbers_in_words(value, words):
    assert number(value) == words


@pytest.mark.parametrize(
    ("value", "words"),
    [(-12.3, "−12 %"), (3.21, "+3.2 %"), (-0.01, "0 %"), (9.97, "+10 %"), (float("nan"), "–")],
)
def test_percent_in_words(value, words):
    assert signed_percent(value) == words


def test_words():
    assert listed(["a"]) == "a"
    assert listed(["a", "b", "c"]) == "a, b and c"
    assert (counted(1, "seed"), counted(3, "seed")) == ("1 seed", "3 seeds")
    assert shortened(["a", "b"], 2) == "a, b"
    assert shortened(["a", "b", "c"], 2) == "a, b and 1 more"
    assert (rounded(0.12345), rounded(1234.5)) == ("0.123", "1234")
    assert (fixed(1.25, 1), fixed(None, 1), fixed(float("nan"), 1, "-")) == ("1.2", "–", "-")


def test_tables():
    assert markdown_table(["a", "b"], [["1", "2"]]) == "| a | b |\n| --- | --- |\n| 1 | 2 |"
    rows = [["name", "n", "what"], ["long name", "1", "a"], ["x", "100", "b"]]
    assert aligned(rows, right=[1]) == ["name         n  what", "long name    1  a", "x          100  b"]

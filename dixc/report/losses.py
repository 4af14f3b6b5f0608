"""What each term of the loss did, in tables and sentences.

Verdicts are those of `dixc.tables.judge`. With one seed changes are described, not judged.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from dixc.config.base import Loss
from dixc.report.chips import chip
from dixc.tables.judge import Verdict
from dixc.tables.metrics import Metric, tagged
from dixc.tables.results import Change, Results
from dixc.tables.schema import BASE, LOSS_WORDS, FunctionalKey
from dixc.text import counted, listed, number, signed_percent

PAYS = {
    Verdict.BETTER: "Hessian supervision pays here",
    Verdict.WORSE: "Hessian supervision does not pay here",
    Verdict.UNCLEAR: "whether Hessian supervision pays cannot be told here",
    Verdict.ONE_SEED: "whether Hessian supervision pays cannot be told from one seed",
}


@dataclass(frozen=True)
class Step:
    """What a step between two losses did to a model: a change for each judged metric with data."""

    model: str
    title: str
    new: str
    old: str
    changes: tuple[Change, ...]

    @property
    def sentence(self) -> str:
        """On which metrics the step is better, worse, or not clearly either."""
        groups: dict[Verdict, list[str]] = {verdict: [] for verdict in Verdict}
        for change in self.changes:
            percent = "" if change.verdict is Verdict.UNCLEAR else f" {signed_percent(change.percent.mean)}"
            groups[change.verdict].append(change.metric.label + percent)
        words = [
            f"{verdict.value}: {listed(labels)}"
            if verdict is Verdict.ONE_SEED
            else f"{verdict.value} on {listed(labels)}"
            for verdict, labels in groups.items()
            if labels
        ]
        return f"{self.model}, {self.title}: {'; '.join(words)}."


def _step_titles() -> dict[tuple[Loss, Loss], str]:
    """Steps between losses (new, old): each against the one before, the last against the first."""
    losses = list(LOSS_WORDS)
    titles = {(new, old): f"{LOSS_WORDS[new].term} ({new} against {old})" for old, new in pairwise(losses)}
    return titles | {(losses[-1], losses[0]): f"both terms ({losses[-1]} against {losses[0]})"}


def steps(results: Results) -> list[Step]:
    """All steps between losses that the run has, model by model."""
    made = []
    for model in results.models:
        for (new, old), title in _step_titles().items():
            pair = FunctionalKey(model, new), FunctionalKey(model, old)
            changes = [results.change(metric.name, *pair) for metric in tagged("judged")]
            present = tuple(change for change in changes if change is not None)
            if present:
                made.append(Step(model, title, new, old, present))
    return made


def change_sentence(change: Change, new: str, old: str) -> str:
    """`grad lowers test E_rho by 12 % against base (0.500 → 0.440 mEh; better on 6 of 8 ...).`"""
    percent, metric = change.percent, change.metric
    verb = "lowers" if percent.mean < 0 else "raises"
    if change.verdict is Verdict.UNCLEAR:
        verb = f"makes no clear change; it {verb}"
    seeds = "1 seed, spread between seeds unknown"
    if percent.n > 1:
        ends = (signed_percent(percent.mean + side * percent.half_width) for side in (-1, 1))
        seeds = f"{counted(percent.n, 'seed')}, 95 % interval {' to '.join(ends)}"
    left_out = f"; {change.n_left_out} left out" if change.n_left_out else ""
    return (
        f"{new} {verb} test {metric.label} by {number(abs(percent.mean), 2)} % against {old} "
        f"({number(change.against)} → {number(change.value)} {metric.unit}; "
        f"better on {change.n_better} of {change.n} molecules{left_out}; {seeds})."
    )


def terms(results: Results) -> dict[str, Any]:
    """What each loss term did: a row a metric, a column a step, per model; and sentences."""
    all_steps = steps(results)
    blocks = []
    for model in dict.fromkeys(step.model for step in all_steps):
        of_model = [step for step in all_steps if step.model == model]
        rows = []
        for metric in tagged("judged"):
            cells = [next((c for c in step.changes if c.metric is metric), None) for step in of_model]
            if any(cells):
                rows.append({"label": metric.label, "cells": [_change_cell(change) for change in cells]})
        details = [
            change_sentence(change, step.new, step.old)
            for step in of_model
            if step.old == BASE
            for change in step.changes
        ]
        columns = [step.title for step in of_model]
        blocks.append({"model": model, "columns": columns, "rows": rows, "details": details})
    return {"blocks": blocks, "sentences": [step.sentence for step in all_steps]}


def _change_cell(change: Change | None) -> dict[str, str]:
    if change is None:
        return {"percent": number(None), "count": "", **chip(None)}
    spread = f" ± {number(change.percent.spread, 2)}" if change.percent.n > 1 else ""
    return {
        "percent": signed_percent(change.percent.mean) + spread,
        "count": f"better on {change.n_better} of {change.n}",
        **chip(change.verdict),
    }


def hessian_sentences(results: Results) -> list[str]:
    """For every model: whether Hessian supervision pays for energies from one build."""
    sentences = []
    for model in results.models:
        for old in ("grad", "base"):
            pair = FunctionalKey(model, "hess"), FunctionalKey(model, old)
            change = results.change("one_build_mae_uEh", *pair)
            if change and change.verdict in PAYS:
                sentences.append(f"{model}: {PAYS[change.verdict]}; {change_sentence(change, 'hess', old)}")
                break
    return sentences


def winner_sentences(results: Results) -> list[str]:
    """For every model: which loss has the best mean of each judged metric, `base` included."""
    words = {model: best_by_mean(results, model, tagged("judged")) for model in results.models}
    return [
        f"{model}, best loss by the mean alone, however small the gap: {best}."
        for model, best in words.items()
        if best
    ]


def best_by_mean(results: Results, model: str, metrics: list[Metric], split: str = "test") -> str:
    """Which loss has the best mean of each metric; empty without a common molecule."""
    wins: dict[str, list[str]] = {}
    for metric in metrics:
        best = results.best(metric.name, results.of_model(model), split)
        if best:
            wins.setdefault(listed([functional.loss for functional in best]), []).append(metric.label)
    return "; ".join(f"{losses} on {listed(labels)}" for losses, labels in wins.items())


def share_sentences(results: Results) -> list[str]:
    """Errors of each learned functional, as a share of each classical functional's."""
    sentences = []
    for learned in results.trained:
        words = []
        for metric in tagged("share"):
            shares = []
            for baseline in results.baselines:
                change = results.change(metric.name, learned, baseline)
                if change:
                    shares.append(f"{number(100 + change.percent.mean, 2)} % of {baseline.model}'s")
            if shares:
                words.append(f"{metric.label} is {listed(shares)}")
        if words:
            sentences.append(f"{learned.label}: {'; '.join(words)}.")
    return sentences

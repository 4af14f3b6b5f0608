"""Timing of several sides in turn, and the rows that come of it.

All sides are timed in each round, A, B, C, A, B, C, ..., so that whatever else the machine does hits all of them. A
ratio is the median over rounds of the ratio within a round.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np

from benchmarks.speed.molecules import Case

Side = Callable[[], object]
SHORTEST = 0.05  # seconds of a sample; shorter calls are repeated within it
LONG = 4.0  # seconds of a call that shows nothing of what ran before it


@dataclass(frozen=True)
class Options:
    """What the command line asks for.

    Attributes:
        repeats: rounds of a comparison.
        budget_s: no new round starts after so many seconds of a comparison.
        quick: one small molecule without any care, for a test of the command itself.
        threads: of both sides.
    """

    repeats: int = 5
    budget_s: float = 300.0
    quick: bool = False
    threads: int = 1


def rounds(options: Options, begin: float | None = None) -> Iterator[int]:
    """Numbers of the rounds of a comparison, as long as there is time (from `begin` on)."""
    begin = time.perf_counter() if begin is None else begin
    for done in range(options.repeats):
        if done and time.perf_counter() - begin > options.budget_s:
            return
        yield done


def _pattern(side: Side) -> tuple[int, int]:
    """Calls before a sample and within it; after one or two calls here everything that is cached is there."""
    for _ in range(2):
        start = time.perf_counter()
        side()
        seconds = time.perf_counter() - start
        if seconds > SHORTEST:
            break
    return int(seconds < LONG), max(1, round(SHORTEST / max(seconds, 1e-4)))


def interleave(sides: Mapping[str, Side], options: Options) -> dict[str, np.ndarray]:
    """Seconds a call of each side, (rounds,).

    Before each sample the side does a call that does not count, unless it takes long: after another side's work memory
    and caches are in a state that can double the time of a call (seen with PySCF's potential after a training step).
    """
    begin = time.perf_counter()
    calls = {name: (0, 1) if options.quick else _pattern(side) for name, side in sides.items()}
    taken: dict[str, list[float]] = {name: [] for name in sides}
    for _ in rounds(options, begin):
        for name, side in sides.items():
            before, counted = calls[name]
            for _ in range(before):
                side()
            start = time.perf_counter()
            for _ in range(counted):
                side()
            taken[name].append((time.perf_counter() - start) / counted)
    return {name: np.array(values) for name, values in taken.items()}


@dataclass(frozen=True)
class Entry:
    """What a row says besides its times.

    Attributes:
        program, functional, variant: whose work, on what, and which way of doing it.
        reference: name of the side it is compared with; None for none.
        target: largest ratio that was asked for.
        extra: more columns of the table.
    """

    program: str
    functional: str
    variant: str = ""
    reference: str | None = None
    target: float | None = None
    extra: dict = field(default_factory=dict)


def rows(
    section: str, quantity: str, case: Case, entries: Mapping[str, Entry], taken: Mapping[str, np.ndarray]
) -> list[dict]:
    """A row for each side that was timed."""
    result = []
    for name, entry in entries.items():
        if name not in taken:
            continue
        seconds = taken[name]
        row = {"section": section, "quantity": quantity, "molecule": case.label, "n_heavy": case.n_heavy}
        row |= {"program": entry.program, "functional": entry.functional, "variant": entry.variant}
        row |= {"rounds": len(seconds), "median_s": np.median(seconds)}
        row |= {"min_s": seconds.min(), "max_s": seconds.max()}
        if entry.reference is not None and entry.reference in taken:
            ratio = seconds / taken[entry.reference]
            row |= {"against": entry.reference, "ratio": float(np.median(ratio))}
            row |= {"ratio_min": ratio.min(), "ratio_max": ratio.max()}
            if entry.target is not None:
                row |= {"target": entry.target, "met": bool(row["ratio"] <= entry.target)}
        result.append(row | entry.extra)
    return result

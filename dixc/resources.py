"""Memory and time that a job asks of a cluster, from the number and size of its molecules.

The estimates are made for one thread and def2-SVP on grid level 1; they are meant to be enough in nine jobs of ten, and
a job that is killed asks for more in its next attempt.
"""

from __future__ import annotations

import csv
from functools import cache
from pathlib import Path
from typing import NamedTuple

LARGEST_UNKNOWN = 9  # heavy atoms of a molecule given by name, before the stage `molecules` has looked
SLACK = 4.0  # a slower machine, a hard SCF
START_S = 120.0  # imports and reading on a busy file system


class Cost(NamedTuple):
    """Cost of a stage: seconds = scale n^power for a molecule of n heavy atoms, MB = base + square n^2."""

    scale_s: float
    power: float
    base_mb: float
    square_mb: float


# fitted to the benchmarks/ of the default run (2 to 7 heavy atoms): 46 s for 20 and 46 s for 8 molecules in
# `reference`, 114 and 163 s in `derivatives`, 74 and 64 s in `evaluate`; peak memory 0.6, 1.6 and 1.9 GB
COSTS = {
    "reference": Cost(0.2, 1.9, 800, 15),
    "derivatives": Cost(0.22, 2.6, 1200, 35),
    "evaluate": Cost(0.35, 1.8, 1000, 35),
    "warmstart": Cost(0.3, 1.9, 1000, 20),
    "tddft": Cost(0.25, 2.4, 1200, 35),
}
BASES = (("sto-3g", 0.3), ("5z", 100.0), ("qz", 40.0), ("tz", 8.0))


def estimate(stage: str, heavy: list[int], basis: str = "def2-svp") -> tuple[int, int]:
    """Memory (MB) and wall time (minutes) of one job.

    Args:
        stage: a key of `COSTS`.
        heavy: number of heavy atoms of each of the job's molecules.
        basis: orbital basis.
    """
    cost, factor = COSTS[stage], _factor(basis)
    sizes = [max(n, 1) for n in heavy] or [1]
    seconds = START_S + SLACK * factor * cost.scale_s * sum(n**cost.power for n in sizes)
    megabytes = cost.base_mb + max(factor, 1.0) ** 0.7 * cost.square_mb * max(sizes) ** 2
    return round(megabytes), max(10, round(seconds / 60) + 1)


def sizes(table: str, chunk: str) -> list[int] | None:
    """Heavy atoms of the molecules in a chunk by molecules.csv; None if that does not exist (yet)."""
    path = Path(table)
    try:
        stamp = path.stat().st_mtime_ns
    except OSError:
        return None
    return _read(table, stamp).get(chunk)


@cache
def _read(table: str, stamp: int) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    with open(table, newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            if row.get("chunk") and str(row.get("n_heavy")).isdecimal():
                found.setdefault(row["chunk"], []).append(int(row["n_heavy"]))
    return found


def _factor(basis: str) -> float:
    name = basis.lower()
    return next((factor for part, factor in BASES if part in name), 1.0)

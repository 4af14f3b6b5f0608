"""Memory, time and storage of a job, from the number and size of its molecules.

Time and storage come from one table, `costs.csv`, measured by `benchmarks/costs.py` on molecules of
different size, and a power law through each of its columns; memory from the peaks of whole jobs.
What a job asks of a cluster (`estimate`, enough in nine jobs of ten; one that is killed asks for
more in its next attempt) and what a run is expected to cost (`expected`, which `dixc plan` adds up)
are made of the same numbers. They hold for one thread, def2-SVP and grid level 1; other basis sets
are scaled by a rough factor.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from dixc.config.training import Training

SLACK = 4.0  # a slower machine, a hard SCF
START_S = 120.0  # imports and reading on a busy file system
BASES = (("sto-3g", 0.3), ("5z", 100.0), ("qz", 40.0), ("tz", 8.0))
MATRIX_POWER = 0.7  # of that factor: the growth of matrices over the basis
TABLE = Path(__file__).with_name("costs.csv")


# MB = base + square n^2 for molecules of up to n heavy atoms: above the peaks in the benchmarks/ of
# the default run, 0.6, 1.6, 1.9, 1.0 and 1.6 GB in files of 2 to 7 heavy atoms
MEMORY = {
    "reference": (800, 15),
    "derivatives": (1200, 35),
    "evaluate": (1000, 35),
    "default_guess": (1000, 20),
    "warmstart": (1000, 20),
    "tddft": (1200, 35),
}
FIXED_MB = {
    "molecules": 1000,
    "prefit": 4000,
    "train": 4000,
    "tables": 2000,
    "report": 2000,
}  # train: and its cache


class Cost(NamedTuple):
    """CPU seconds, and storage in kB."""

    seconds: float
    kilobytes: float


def basis_functions(n_heavy: int) -> float:
    """def2-SVP functions of a molecule with so many heavy atoms.

    The mean of the shipped molecules of QM9 within 5 %.
    """
    return 18 * max(n_heavy, 1) + 12


@cache
def cost(stage: str, n_heavy: int) -> Cost:
    """What a stage costs for one molecule, without the start of its job.

    Args:
        stage: in the first column of costs.csv.
        n_heavy: heavy atoms; 0 counts as 1.
    """
    measured = [(size, values) for size, values in _table()[stage] if size]
    sizes = [size for size, _ in measured]
    columns = zip(*(values for _, values in measured), strict=True)
    return Cost(*(_power_law(sizes, list(column), basis_functions(n_heavy)) for column in columns))


def fixed_cost(stage: str) -> Cost:
    """What a stage costs whatever its molecules: the row of size 0."""
    return next(values for size, values in _table()[stage] if size == 0)


def expected(stage: str, heavy: Sequence[int], basis: str = "def2-svp") -> Cost:
    """What a job is expected to cost.

    Args:
        stage: in the first column of costs.csv.
        heavy: number of heavy atoms of each of the job's molecules.
        basis: orbital basis.
    """
    factor = basis_factor(basis)
    costs = [cost(stage, n) for n in heavy] or [cost(stage, 1)._replace(kilobytes=0.0)]
    return Cost(
        fixed_cost("start").seconds + factor * sum(molecule.seconds for molecule in costs),
        factor**MATRIX_POWER * sum(molecule.kilobytes for molecule in costs),
    )


def memory(
    stage: str, heavy: Sequence[int] = (), basis: str = "def2-svp", training: Training | None = None
) -> int:
    """Memory that a job asks for, MB.

    Args:
        stage: a key of `MEMORY` or `FIXED_MB`.
        heavy: number of heavy atoms of each of the job's molecules.
        basis: orbital basis.
        training: settings of a training; each of its processes has a cache.
    """
    if stage in FIXED_MB:
        processes, cache_gb = (training.processes, training.cache_gb) if training else (1, 0.0)
        return processes * (FIXED_MB[stage] + round(1000 * cache_gb))
    base, square = MEMORY[stage]
    return round(base + max(basis_factor(basis), 1.0) ** MATRIX_POWER * square * max([1, *heavy]) ** 2)


def estimate(stage: str, heavy: Sequence[int], basis: str = "def2-svp") -> tuple[int, int]:
    """Memory (MB) and wall time (minutes) that a job asks for; arguments as of `expected`."""
    seconds = START_S + SLACK * (expected(stage, heavy, basis).seconds - fixed_cost("start").seconds)
    return memory(stage, heavy, basis), max(10, round(seconds / 60) + 1)


def sizes(table: str, chunk: str) -> list[int] | None:
    """Heavy atoms of the molecules in a chunk by molecules.csv; None if it does not exist."""
    return sizes_by_chunk(table).get(chunk)


def sizes_by_chunk(table: str) -> dict[str, list[int]]:
    """Heavy atoms of the molecules of every chunk by molecules.csv; empty without the file."""
    try:
        stamp = Path(table).stat().st_mtime_ns
    except OSError:
        return {}
    return _read(table, stamp)


def basis_factor(basis: str) -> float:
    """CPU time with a basis over that with def2-SVP, roughly."""
    name = basis.lower()
    return next((factor for word, factor in BASES if word in name), 1.0)


@cache
def _read(table: str, stamp: int) -> dict[str, list[int]]:
    sizes: dict[str, list[int]] = {}
    with open(table, newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            if row.get("chunk") and str(row.get("n_heavy")).isdecimal():
                sizes.setdefault(row["chunk"], []).append(int(row["n_heavy"]))
    return sizes


@cache
def _table() -> dict[str, list[tuple[int, Cost]]]:
    costs: dict[str, list[tuple[int, Cost]]] = {}
    with open(TABLE, newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            values = Cost(*(float(row[name]) for name in Cost._fields))
            costs.setdefault(row["stage"], []).append((int(row["n_basis"]), values))
    return costs


def _power_law(sizes: list[int], values: list[float], at: float) -> float:
    """a n^p at a size, by least squares in logarithms; the mean if not all are positive."""
    if min(values) <= 0 or len(set(sizes)) < 2:
        return sum(values) / len(values)
    x, y = [math.log(size) for size in sizes], [math.log(value) for value in values]
    mean_x, mean_y = sum(x) / len(x), sum(y) / len(y)
    slope = sum((a - mean_x) * (b - mean_y) for a, b in zip(x, y, strict=True))
    slope /= sum((a - mean_x) ** 2 for a in x)
    return math.exp(mean_y + slope * (math.log(at) - mean_x))

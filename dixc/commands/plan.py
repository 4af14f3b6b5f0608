"""What a config will cost: jobs, core-hours, memory and storage by rule of the workflow.

The numbers are sums over the table of measured costs (`dixc.workflow.resources`), so they are as
good as that table: a guide for choosing the number of molecules, `chunk_size` and an allocation,
not a promise. Whatever already exists is counted too.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from contextlib import redirect_stdout
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from dixc import text
from dixc.config import SPLITS, Config
from dixc.molecules import expected_sizes
from dixc.workflow.files import RunFiles
from dixc.workflow.functionals import check_functionals
from dixc.workflow.jobs import split_of, worked_on
from dixc.workflow.resources import (
    MATRIX_POWER,
    Cost,
    basis_factor,
    basis_functions,
    cost,
    expected,
    fixed_cost,
    memory,
    sizes_by_chunk,
)

COLUMNS = ["rule", "jobs", "core-hours", "longest job, h", "memory of a job, GB", "storage, GB"]
# rules after one another: no number of nodes makes a run shorter than their longest jobs together
CHAIN = ("molecules", "reference", "derivatives", "prefit", "train", "evaluate", "tddft", "tables", "report")
Sizes = dict[str, list[int]]


@dataclass(frozen=True)
class Row:
    """What the jobs of one rule cost together.

    Attributes:
        rule: its name in the workflow.
        jobs: their number.
        core_hours: CPU time of all, h.
        longest_h: CPU time of the dearest, h.
        memory_gb: what the one on the largest molecules asks for, GB.
        storage_gb: of all their files, GB.
    """

    rule: str
    jobs: int
    core_hours: float
    longest_h: float
    memory_gb: float
    storage_gb: float

    @classmethod
    def of_jobs(cls, rule: str, jobs: list[Cost], megabytes: int) -> Row:
        """The sum over jobs, each of which asks for at most so much memory."""
        seconds = [job.seconds for job in jobs]
        stored = sum(job.kilobytes for job in jobs) / 1e6
        longest = max(seconds, default=0.0) / 3600
        return cls(rule, len(jobs), sum(seconds) / 3600, longest, megabytes / 1000, stored)


def run(config: Config, node_cores: int, as_json: bool = False, root: Path = Path("results")) -> None:
    """Print the plan of a config; with sizes from the run's molecules.csv where that fits it.

    Args:
        config: settings of the run.
        node_cores: cores of a node, for node-hours.
        as_json: one JSON object instead of a table.
        root: folder of all runs.

    Raises:
        InputError: molecules or a functional of the config cannot be had.
    """
    check_functionals(config)
    with redirect_stdout(sys.stderr):  # what reading molecules has to say
        sizes, drawn = chunk_sizes(config, root)
    rows = plan(config, sizes)
    print(json.dumps(summary(config, rows, node_cores)) if as_json else as_text(config, rows, node_cores))
    if drawn and not as_json:
        print("sizes: drawn from molecules.files without a look at geometries; the run may pass over doubles")


def chunk_sizes(config: Config, root: Path) -> tuple[Sizes, bool]:
    """Heavy atoms of the molecules by chunk, and whether they had to be drawn for this plan."""
    sizes = sizes_by_chunk(RunFiles.of_run(config, root).molecules_table)
    complete = sum(map(len, sizes.values())) == sum(config.sizes().values())
    if complete and sizes.keys() == set(config.chunks(*SPLITS)):
        return sizes, False
    return expected_sizes(config.molecules), True


def plan(config: Config, sizes: Sizes) -> list[Row]:
    """Rows by rule, in the order of the workflow."""
    trained, n_functionals = config.trained(), len(config.functionals())
    tddft = config.chunks(*config.evaluation.tddft.splits)
    warmstart = config.chunks(*config.evaluation.warmstart.splits)
    derivatives = sorted({*tddft, *(config.chunks("train") if trained else [])})
    everything = list(sizes)
    start = [fixed_cost("start")]
    prefits = [_prefit(config, model.key) for model in config.models for _ in config.training.seeds]
    # chunks whose sizes decide the memory of a job, and the jobs
    work: dict[str, tuple[list[str], list[Cost]]] = {
        "molecules": ([], start),
        "reference": (everything, _jobs(config, "reference", everything, sizes)),
        "derivatives": (derivatives, _second_derivatives(config, derivatives, sizes)),
        "prefit": ([], prefits),
        "train": ([], [_training(config, name, sizes) for name in trained]),
        "evaluate": (everything, _jobs(config, "evaluate", everything, sizes) * n_functionals),
        "default_guess": (warmstart, _jobs(config, "default_guess", warmstart, sizes)),
        "warmstart": (warmstart, _jobs(config, "warmstart", warmstart, sizes) * n_functionals),
        "tddft": (tddft, _jobs(config, "tddft", tddft, sizes) * n_functionals),
        "tables": ([], start),
        "report": ([], start),
    }
    rows = []
    for rule, (chunks, jobs) in work.items():
        training = config.training if rule == "train" else None
        largest = [max((n for chunk in chunks for n in sizes[chunk]), default=1)]
        rows.append(Row.of_jobs(rule, jobs, memory(rule, largest, config.reference.basis, training)))
    return [row for row in rows if row.jobs]


def summary(config: Config, rows: Iterable[Row], node_cores: int) -> dict[str, Any]:
    """The plan with its sums, ready for JSON."""
    rows = list(rows)
    hours = sum(row.core_hours for row in rows)
    return {
        "run": config.run,
        "molecules": sum(config.sizes().values()),
        "jobs": sum(row.jobs for row in rows),
        "core_hours": hours,
        "node_hours": hours / node_cores,
        "node_cores": node_cores,
        "shortest_h": sum(row.longest_h for row in rows if row.rule in CHAIN),
        "memory_gb": max(row.memory_gb for row in rows),
        "storage_gb": sum(row.storage_gb for row in rows),
        "basis_factor": basis_factor(config.reference.basis),
        "rules": [asdict(row) for row in rows],
    }


def as_text(config: Config, rows: list[Row], node_cores: int) -> str:
    """An aligned table, and what it adds up to."""
    total = summary(config, rows, node_cores)
    cells = [COLUMNS]
    for row in rows:
        numbers = (row.core_hours, row.longest_h, row.memory_gb, row.storage_gb)
        cells.append([row.rule, str(row.jobs), *map(text.rounded, numbers)])
    hours, stored = text.rounded(total["core_hours"]), text.rounded(total["storage_gb"])
    cells.append(["total", str(total["jobs"]), hours, "", "", stored])
    lines = text.aligned(cells, right=range(1, len(COLUMNS)))
    lines.append(
        f"{total['molecules']} molecules: {text.rounded(total['node_hours'])} hours of a node of {node_cores} cores, "
        f"no less than {text.rounded(total['shortest_h'])} h on any number of nodes"
    )
    if total["basis_factor"] != 1:
        basis = config.reference.basis
        lines.append(f"{basis}: {total['basis_factor']:g} times the time of def2-svp, by a rough guess")
    return "\n".join(lines)


def _jobs(config: Config, stage: str, chunks: Iterable[str], sizes: Sizes) -> list[Cost]:
    basis = config.reference.basis
    return [expected(stage, worked_on(config, stage, chunk, sizes[chunk]), basis) for chunk in chunks]


def _second_derivatives(config: Config, chunks: list[str], sizes: Sizes) -> list[Cost]:
    jobs = _jobs(config, "derivatives", chunks, sizes)
    stored = [sum(_stored_kb(config, n, split_of(chunk)) for n in sizes[chunk]) for chunk in chunks]
    return [job._replace(kilobytes=kb) for job, kb in zip(jobs, stored, strict=True)]


def _stored_kb(config: Config, n_heavy: int, split: str) -> float:
    """What `dixc.stages.derivatives` stores of a molecule, kB.

    A fifth of the functions of def2-SVP is occupied in an organic molecule: 0.16 n^2 pairs, 1296 in
    furan with n = 90.
    """
    settings = config.derivatives
    pairs = 0.16 * basis_functions(n_heavy) ** 2 * basis_factor(config.reference.basis) ** 0.35
    dense = pairs <= settings.max_dense_pairs
    stored = 8 * settings.n_states * pairs  # amplitudes of both methods in float32
    if split != "test":
        # two triangles in float32, or probes in float16 and their products in float32; X - Y beside
        # X + Y
        stored += 4 * pairs**2 if dense else 6 * settings.n_probes * pairs
        stored += 4 * settings.n_states * pairs
    return stored / 1000


def _prefit(config: Config, model: str) -> Cost:
    """Measured with the default numbers of steps and points."""
    settings, measured = config.prefit_of(model), fixed_cost("prefit")
    defaults = type(settings)()
    share = settings.steps * settings.points / (defaults.steps * defaults.points)
    return measured._replace(seconds=fixed_cost("start").seconds + share * measured.seconds)


def _training(config: Config, functional: str, sizes: Sizes) -> Cost:
    """A training: its steps, its validations, and the first visit of each molecule.

    If memory is short, many visits cost as much as the first.
    """
    settings, loss = config.training, config.parse(functional).loss
    train, validation = (
        [n for chunk in config.chunks(split) for n in sizes[chunk]] for split in ("train", "validation")
    )
    factor = basis_factor(config.reference.basis)

    def mean(stage: str, molecules: list[int]) -> float:
        return sum(cost(stage, n).seconds for n in molecules) / len(molecules)

    in_cache = factor**MATRIX_POWER * sum(cost("train-cache", n).kilobytes for n in train + validation)
    cached = min(1.0, 1e6 * settings.cache_gb / in_cache)
    steps, validations = settings.steps * settings.batch, -(-settings.steps // settings.validate_every)
    visits = [
        (steps, train, f"train-{loss}"),
        (validations * len(validation), validation, "train-validation"),
    ]
    seconds = 0.0
    for count, molecules, stage in visits:
        first = float(min(count, len(molecules)))
        first += (1 - cached) * (count - first)
        seconds += factor * (count * mean(stage, molecules) + first * mean("train-first", molecules))
    return Cost(fixed_cost("start").seconds + seconds, fixed_cost("prefit").kilobytes)

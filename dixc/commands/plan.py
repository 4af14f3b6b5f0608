"""What a config will cost before it runs: jobs, core-hours, memory and storage by rule of the workflow.

The numbers are sums over the table of measured costs (`dixc.workflow.resources`), so they are as good as that table:
a guide for choosing the number of molecules, `chunk_size` and an allocation, not a promise. Whatever already exists is
counted too.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from contextlib import redirect_stdout
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dixc.config import SPLITS
from dixc.config.functionals import check_functionals
from dixc.molecules import expected_sizes
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

if TYPE_CHECKING:
    from dixc.config import Config

COLUMNS = ("rule", "jobs", "core-hours", "longest job, h", "memory of a job, GB", "storage, GB")
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
    found = plan(config, sizes)
    print(json.dumps(summary(config, found, node_cores)) if as_json else as_text(config, found, node_cores))
    if drawn and not as_json:
        print("sizes: drawn from molecules.files without a look at geometries; the run may pass over doubles")


def chunk_sizes(config: Config, root: Path) -> tuple[Sizes, bool]:
    """Heavy atoms of the molecules by chunk, and whether they were drawn now (True) or the run has them (False)."""
    known = sizes_by_chunk(str(root / config.run / "molecules" / "molecules.csv"))
    wanted = {chunk for split in SPLITS for chunk in config.chunks(split)}
    if wanted == known.keys() and sum(map(len, known.values())) == sum(config.sizes().values()):
        return known, False
    return expected_sizes(config), True


def plan(config: Config, sizes: Sizes) -> list[Row]:
    """Rows by rule, in the order of the workflow."""
    trained, n = config.trained(), len(config.functionals())
    of_tddft, warm = (
        _chunks(config, part.splits) for part in (config.evaluation.tddft, config.evaluation.warmstart)
    )
    second = sorted({*of_tddft, *(config.chunks("train") if trained else [])})
    start = [fixed_cost("start")]
    prefits = [_prefit(config, model.key) for model in config.models for _ in config.training.seeds]
    work = {
        "molecules": ([], start),
        "reference": (list(sizes), _jobs(config, "reference", list(sizes), sizes)),
        "derivatives": (second, _second_derivatives(config, second, sizes)),
        "prefit": ([], prefits),
        "train": ([], [_training(config, name, sizes) for name in trained]),
        "evaluate": (list(sizes), _jobs(config, "evaluate", list(sizes), sizes) * n),
        "default_guess": (warm, _jobs(config, "default_guess", warm, sizes)),
        "warmstart": (warm, _jobs(config, "warmstart", warm, sizes) * n),
        "tddft": (of_tddft, _jobs(config, "tddft", of_tddft, sizes) * n),
        "tables": ([], start),
        "report": ([], start),
    }
    rows = []
    for rule, (chunks, jobs) in work.items():
        training = config.training if rule == "train" else None
        largest = [max((n for chunk in chunks for n in sizes[chunk]), default=1)]
        rows.append(_row(rule, jobs, memory(rule, largest, config.reference.basis, training)))
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
    cells = [[*map(str, (row.rule, row.jobs)), *map(_number, list(asdict(row).values())[2:])] for row in rows]
    cells.append(
        ["total", str(total["jobs"]), _number(total["core_hours"]), "", "", _number(total["storage_gb"])]
    )
    lines = [list(COLUMNS), *cells]
    widths = [max(len(line[place]) for line in lines) for place in range(len(COLUMNS))]
    text = [
        "  ".join(
            [line[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(line[1:], widths[1:], strict=True))]
        )
        for line in lines
    ]
    text.append(
        f"{total['molecules']} molecules: {_number(total['node_hours'])} hours of a node of {node_cores} cores, "
        f"no less than {_number(total['shortest_h'])} h on any number of nodes"
    )
    if total["basis_factor"] != 1:
        basis = config.reference.basis
        text.append(f"{basis}: {total['basis_factor']:g} times the time of def2-svp, by a rough guess")
    return "\n".join(text)


def _number(value: float) -> str:
    return f"{value:.3g}" if value < 100 else f"{value:.0f}"


def _row(rule: str, jobs: list[Cost], megabytes: int) -> Row:
    seconds = [job.seconds for job in jobs]
    stored = sum(job.kilobytes for job in jobs)
    return Row(
        rule, len(jobs), sum(seconds) / 3600, max(seconds, default=0) / 3600, megabytes / 1000, stored / 1e6
    )


def _chunks(config: Config, splits: Iterable[str]) -> list[str]:
    return [chunk for split in splits for chunk in config.chunks(split)]


def _jobs(config: Config, stage: str, chunks: Iterable[str], sizes: Sizes) -> list[Cost]:
    limit = config.derivatives.states_max_heavy
    if stage in ("derivatives", "tddft") and limit is not None:
        sizes = {
            c: [n for n in found if n <= limit or not c.startswith("test")] for c, found in sizes.items()
        }
    return [expected(stage, sizes[chunk], config.reference.basis) for chunk in chunks]


def _second_derivatives(config: Config, chunks: list[str], sizes: Sizes) -> list[Cost]:
    jobs = _jobs(config, "derivatives", chunks, sizes)
    stored = [sum(_stored_kb(config, n, chunk.split("-")[0]) for n in sizes[chunk]) for chunk in chunks]
    return [job._replace(kilobytes=kb) for job, kb in zip(jobs, stored, strict=True)]


def _stored_kb(config: Config, n_heavy: int, split: str) -> float:
    """What `dixc.stages.derivatives` stores of a molecule, kB.

    A fifth of the functions of def2-SVP is occupied in an organic molecule: 0.16 n^2 pairs, 1296 in furan with n = 90.
    """
    settings = config.derivatives
    pairs = 0.16 * basis_functions(n_heavy) ** 2 * basis_factor(config.reference.basis) ** 0.35
    dense = pairs <= settings.max_dense_pairs
    stored = 8 * settings.n_states * pairs  # amplitudes of both methods in float32
    if split != "test":
        # two triangles in float32, or probes in float16 and their products in float32; X - Y beside X + Y
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
    """A training: its steps, the validations, and the first visit of each molecule (of most, if memory is short)."""
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
        first = min(count, len(molecules))
        first += (1 - cached) * (count - first)
        seconds += factor * (count * mean(stage, molecules) + first * mean("train-first", molecules))
    return Cost(fixed_cost("start").seconds + seconds, fixed_cost("prefit").kilobytes)

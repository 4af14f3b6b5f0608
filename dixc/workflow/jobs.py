"""What a job on one chunk works on, and asks of a cluster."""

from __future__ import annotations

from collections.abc import Sequence

from dixc.config.root import Config
from dixc.workflow.resources import estimate, sizes

LARGEST_UNKNOWN = 9  # heavy atoms of a molecule given by name, before the stage `molecules` has looked
WITH_EXCITATIONS = ("derivatives", "tddft")  # stages that leave out large test molecules


def heavy_atoms(config: Config, chunk: str, table: str) -> list[int]:
    """Heavy atoms of a chunk's molecules, or at most so many where nobody has looked yet.

    Args:
        chunk: name of the chunk, such as test-000.
        table: path of molecules.csv, which need not exist.
    """
    largest: int | None = getattr(config.molecules, split_of(chunk)).max_heavy
    return sizes(table, chunk) or [largest or LARGEST_UNKNOWN] * config.molecules.chunk_size


def worked_on(config: Config, stage: str, chunk: str, heavy: Sequence[int]) -> list[int]:
    """Heavy atoms of those of a chunk's molecules that a stage works on."""
    limit = config.derivatives.states_max_heavy
    if limit is None or stage not in WITH_EXCITATIONS or split_of(chunk) != "test":
        return list(heavy)
    return [n for n in heavy if n <= limit]


def request(config: Config, stage: str, chunk: str, table: str) -> tuple[int, int]:
    """Memory (MB) and wall time (minutes) that a job on one chunk asks for; arguments as above."""
    heavy = heavy_atoms(config, chunk, table)
    limit = config.derivatives.states_max_heavy
    # without any molecule in reach, the largest that there could be stands for all
    sizes_of_job = worked_on(config, stage, chunk, heavy) or [min(n, limit or n) for n in heavy]
    return estimate(stage, sizes_of_job, config.reference.basis)


def split_of(chunk: str) -> str:
    """The split of a chunk by its name."""
    return chunk.rsplit("-", 1)[0]

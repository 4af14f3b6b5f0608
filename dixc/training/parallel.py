"""Processes that share the molecules of each training step, by torch.distributed with gloo.

Every process holds the same weights and computes its part of the molecules. What comes out of each molecule is
exchanged, and all processes go on with the same list in the same order: a training gives the same weights, bitwise on
one thread each, on any number of processes. Only rank 0 writes.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch.multiprocessing.spawn import ProcessExitedException, start_processes

from dixc.errors import UserError
from dixc.launch import THREAD_VARIABLES, limit_loaded_libraries, one_line_warnings

T = TypeVar("T")
R = TypeVar("R")


class Team:
    """The processes of this training, as seen from one of them; a team of one without torch.distributed."""

    def __init__(self) -> None:
        together = dist.is_available() and dist.is_initialized()
        self.rank = dist.get_rank() if together else 0
        self.size = dist.get_world_size() if together else 1

    def map(self, work: Callable[[T], R], items: Sequence[T]) -> list[R]:
        """`work` of all items, in their order, the same in every process; each item is done by one of them."""
        own_results = [work(item) for item in items[self.rank :: self.size]]
        if self.size == 1:
            return own_results
        results: list[Any] = [None] * self.size
        dist.all_gather_object(results, own_results)
        return [results[place % self.size][place // self.size] for place in range(len(items))]


def launch(work: Callable[..., None], processes: int, *args: Any) -> None:
    """Run `work(*args)` in so many new processes that form a team; they share the threads of this one.

    Args:
        work: a function of a module.
        processes: their number.
        *args: its arguments, to be pickled.

    Raises:
        InputError: that of the first process that had one; the others are ended.
    """
    threads = max(1, torch.get_num_threads() // processes)
    before = {name: os.environ.get(name) for name in THREAD_VARIABLES}
    with TemporaryDirectory() as folder:
        os.environ.update(dict.fromkeys(THREAD_VARIABLES, str(threads)))
        try:
            start_processes(
                _member, (processes, threads, folder, work, args), nprocs=processes, start_method="spawn"
            )
        except ProcessExitedException:
            told = Path(folder) / "error"
            if not told.exists():
                raise
            raise UserError(told.read_text(encoding="utf-8")) from None
        finally:
            for name, value in before.items():
                os.environ.pop(name) if value is None else os.environ.update({name: value})


def _member(
    rank: int, processes: int, threads: int, folder: str, work: Callable[..., None], args: tuple[Any, ...]
) -> None:
    limit_loaded_libraries(threads)
    meeting = f"file://{folder}/meeting"  # no port that another training may have
    dist.init_process_group("gloo", init_method=meeting, rank=rank, world_size=processes)
    try:
        with one_line_warnings():
            work(*args)
    except (UserError, OSError) as error:
        if isinstance(error, OSError) and error.errno is None:
            raise
        (Path(folder) / f"error.{rank}").write_text(str(error), encoding="utf-8")
        os.replace(Path(folder) / f"error.{rank}", Path(folder) / "error")
        raise SystemExit(2) from None
    dist.destroy_process_group()

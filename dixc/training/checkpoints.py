"""Checkpoints of a training run: everything that the next step depends on, in one atomically replaced file."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from dixc import provenance
from dixc.errors import InputError
from dixc.inputs import require_regular
from dixc.store import atomic_file, held_errors

if TYPE_CHECKING:
    from dixc.training.loop import Trainer

FORMAT = "dixc-checkpoint"
VERSION = 4
PARTS = ("functional", "average", "steps", "schedule")
SCALARS = ("step", "wall_s", "bad_steps", "rows", "best_score", "best_state")


def save(trainer: Trainer) -> None:
    """Write the trainer's state to its checkpoint file, in one step.

    Raises:
        InputError: it cannot be written; the last checkpoint stays.
    """
    state = {"format": FORMAT, "version": VERSION, "provenance": provenance.collect()}
    state |= {"loss": trainer.loss, "seed": trainer.seed}
    state |= {part: getattr(trainer, part).state_dict() for part in _parts(trainer)}
    state |= {name: getattr(trainer, name) for name in SCALARS}
    state["best_score"] = float(trainer.best_score)
    state["orbitals"] = {k: [torch.from_numpy(o) for o in v] for k, v in trainer.orbitals.items()}
    with atomic_file(trainer.checkpoint, buffering=0) as disk, held_errors(disk) as file:
        torch.save(state, file)


def restore(trainer: Trainer) -> None:
    """Continue from the checkpoint file if it exists.

    Raises:
        InputError: the file cannot be read as a checkpoint of this run.
    """
    if not trainer.checkpoint.exists():
        return
    require_regular(trainer.checkpoint)
    try:
        state = torch.load(trainer.checkpoint, map_location="cpu", weights_only=True)
        for part in _parts(trainer):
            getattr(trainer, part).load_state_dict(state[part])
        for name in SCALARS:
            setattr(trainer, name, state[name])
        trainer.orbitals = {k: tuple(o.numpy() for o in v) for k, v in state["orbitals"].items()}
    except Exception as error:
        problem = str(error).splitlines()[0][:120]
        raise InputError(
            f"{trainer.checkpoint}: not a usable checkpoint ({problem}); delete it to start over"
        ) from error


def _parts(trainer: Trainer) -> tuple[str, ...]:
    return (*PARTS, "metropolis") if trainer.metropolis else PARTS

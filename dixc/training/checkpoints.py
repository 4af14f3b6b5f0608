"""Checkpoints of a training run: everything that the next step depends on, in one atomically replaced file."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import torch

from dixc.errors import UserError

if TYPE_CHECKING:
    from dixc.training.loop import Trainer

PARTS = ("functional", "average", "optimizer", "schedule")
SCALARS = ("step", "wall_s", "bad_steps", "rows", "best_score", "best_state")


def save(trainer: Trainer) -> None:
    """Write the trainer's state to its checkpoint file."""
    state = {part: getattr(trainer, part).state_dict() for part in PARTS}
    state |= {name: getattr(trainer, name) for name in SCALARS}
    state["best_score"] = float(trainer.best_score)
    state["orbitals"] = {k: [torch.from_numpy(o) for o in v] for k, v in trainer.orbitals.items()}
    temporary = trainer.checkpoint.with_suffix(".tmp")
    trainer.checkpoint.parent.mkdir(parents=True, exist_ok=True)
    torch.save(state, temporary)
    os.replace(temporary, trainer.checkpoint)


def restore(trainer: Trainer) -> None:
    """Continue from the checkpoint file if it exists.

    Raises:
        UserError: the file cannot be read as a checkpoint of this run.
    """
    if not trainer.checkpoint.exists():
        return
    try:
        state = torch.load(trainer.checkpoint, weights_only=True)
        for part in PARTS:
            getattr(trainer, part).load_state_dict(state[part])
    except Exception as error:
        problem = str(error).splitlines()[0][:120]
        raise UserError(
            f"{trainer.checkpoint}: not a usable checkpoint ({problem}); delete it to start over"
        ) from error
    for name in SCALARS:
        setattr(trainer, name, state[name])
    trainer.orbitals = {k: tuple(o.numpy() for o in v) for k, v in state["orbitals"].items()}

"""What a functional is called, and whether its weights come from a training."""

from __future__ import annotations

import torch

from dixc.errors import UserError
from dixc.functionals import registry
from dixc.functionals.base import Functional


def display_name(functional: Functional) -> str:
    """The name of a functional in logs, warnings and `mf.xc`.

    That of a shipped model or one given as `functional.name`; else model, loss and seed of its training; else its
    name in the registry, or that of its class.
    """
    if functional.name and isinstance(functional.name, str):
        return functional.name
    metadata = functional.metadata
    training = "-".join(str(metadata[key]) for key in ("model", "loss", "seed") if key in metadata)
    if training:
        return training
    try:
        return registry.name_of(functional)
    except UserError:
        return type(functional).__name__.lower()


def is_learned(functional: Functional) -> bool:
    """Whether a functional has weights."""
    return any(True for _ in functional.parameters())


def is_untrained(functional: Functional) -> bool:
    """Whether the weights of a learned functional are still those that its class starts with.

    A class whose first weights are random without a seed cannot be told from a trained one.
    """
    if not is_learned(functional) or functional.comes_trained or "loss" in functional.metadata:
        return False
    try:
        fresh = type(functional)(**functional.hyperparameters)
    except Exception:  # a class that is not ours can raise anything
        return False
    first, now = fresh.state_dict(), functional.state_dict()
    return first.keys() == now.keys() and all(
        torch.equal(first[key].float(), now[key].cpu().float()) for key in now
    )

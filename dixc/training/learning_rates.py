"""How fast weights change: parts of a functional at rates of their own, and all of them slower to the end."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from dixc.functionals.base import Functional


def parameter_groups(functional: Functional, learning_rate: float) -> list[dict[str, Any]]:
    """Groups for an optimizer: parameters that share `Functional.relative_learning_rate`."""
    groups: dict[float, list[Tensor]] = {}
    for name, parameter in functional.named_parameters():
        groups.setdefault(functional.relative_learning_rate(name), []).append(parameter)
    return [{"params": group, "lr": rate * learning_rate} for rate, group in groups.items()]


def cosine_annealing(optimizer: Optimizer, steps: int, final_fraction: float) -> LambdaLR:
    """Half a cosine, over `steps` steps, down to a fraction of every group's rate."""

    def fraction(step: int) -> float:
        return final_fraction + (1 - final_fraction) * (1 + math.cos(math.pi * step / steps)) / 2

    return LambdaLR(optimizer, fraction)


def learning_rates(optimizer: Optimizer, parameters: Sequence[Tensor]) -> Tensor:
    """Learning rate of each element of these parameters, flattened, (n_parameters,), on the CPU."""
    of = {parameter: group["lr"] for group in optimizer.param_groups for parameter in group["params"]}
    return torch.cat([torch.full((p.numel(),), of[p], dtype=p.dtype) for p in parameters])


def add_to(parameters: Sequence[Tensor], change: Tensor) -> None:
    """Add a vector (n_parameters,) on the CPU to the parameters, in place.

    Where an array lies decides the last digits of products with it, and a resumed run must repeat them.
    """
    place = 0
    for parameter in parameters:
        part = change[place : place + parameter.numel()].view_as(parameter)
        parameter.data += part.to(parameter.device, parameter.dtype)
        place += parameter.numel()

"""Products with the second derivative of a functional, as derivatives of <dE/dx, direction>."""

from __future__ import annotations

import torch
from torch import Tensor

# directions of a product with the kernel of a functional that is not pointwise: on a CPU one after the other is twice
# as fast (the arrays of one stay in its cache), a GPU wants much work at once
DIRECTIONS_AT_ONCE = {"cpu": 1, "cuda": 16}


def direction_batches(directions: Tensor) -> tuple[Tensor, ...]:
    """Directions (K, rows, N) in batches that are best taken together."""
    return directions.split(DIRECTIONS_AT_ONCE[directions.device.type])


def pullbacks(e1: Tensor, x: Tensor, directions: Tensor, create_graph: bool = False) -> Tensor:
    """d<e1, direction>/dx of each direction, (k, rows, N); the graph of e1 is kept."""
    if not e1.requires_grad:  # linear in x, and without parameters
        return torch.zeros_like(directions)
    single = len(directions) == 1  # without vmap, which costs a few per cent
    (grad,) = torch.autograd.grad(
        e1,
        x,
        directions[0] if single else directions,
        retain_graph=True,
        create_graph=create_graph,
        allow_unused=True,
        is_grads_batched=not single,
    )
    if grad is None:  # linear in x
        return torch.zeros_like(directions)
    return grad[None] if single else grad

"""Residuals of molecules as linear functions of the weights, as their last visits have shown them."""

from __future__ import annotations

from collections import OrderedDict

import torch
from torch import Tensor

LinearResiduals = OrderedDict[
    str, tuple[Tensor, Tensor]
]  # rows A (K, n_parameters), and constants b (K,), float64


class Linearised:
    """r(theta) = b + A theta of each molecule.

    Args:
        memory: molecules that are kept, with their Jacobians; those met longest ago go first.
    """

    def __init__(self, memory: int):
        self.memory = memory
        self.by_molecule: LinearResiduals = OrderedDict()

    def learn(self, name: str, rows: Tensor, residuals: Tensor, weights: Tensor) -> None:
        """Remember a molecule's residuals (K,), and their Jacobian (K, n_parameters), at weights (n_parameters,)."""
        self.by_molecule[name] = rows, residuals.double() - rows.double() @ weights.double()
        self.by_molecule.move_to_end(name)
        while len(self.by_molecule) > self.memory:
            self.by_molecule.popitem(last=False)

    def at(self, weights: Tensor) -> Tensor:
        """Residuals of all molecules at these weights, in the order of their last visits, (K of all,), float64."""
        weights = weights.double()
        return torch.cat(
            [constants + rows.double() @ weights for rows, constants in self.by_molecule.values()]
        )

    def state_dict(self) -> dict[str, tuple[Tensor, Tensor]]:
        """For a checkpoint."""
        return dict(self.by_molecule)

    def load_state_dict(self, state: dict[str, tuple[Tensor, Tensor]]) -> None:
        """Continue from `state_dict`."""
        self.by_molecule = OrderedDict(state)

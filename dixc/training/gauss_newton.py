"""Gauss-Newton steps on all molecules at once, made of one visit to each.

Every term of the loss is half the square of residuals r, and all molecules share the weights theta. A visit to a
molecule gives the residuals and some rows A of their Jacobian (`dixc.training.sinks`). Those of the last visits
are kept; as theta moves they are followed to first order, r -> r + A (theta - theta'). Each step is the most likely
change c of the weights if the loss is as linear as all that is known of it, every residual has unit variance, and
weights change by about a learning rate s,

    min_c  1/2 |r + A c|^2 + 1/2 |c|^2 / s^2,      c = -s^2 A^T (s^2 A A^T + 1)^-1 r

(Levenberg and Marquardt; in the space of residuals, of which there are fewer than weights). The residual along itself
is exact, so a step is zero only where the gradient of the whole loss is. The loss hardly depends on most directions
in the space of weights, and total energies are a hundred times stiffer than all else: an optimizer that follows
gradients takes thousands of steps where this one takes a few visits to each molecule. It is ours, not the paper's, and
the same for every loss. Related, for the memory: G. V. Puskorius, L. A. Feldkamp, IEEE Trans. Neural
Netw. 5, 279 (1994).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils import parameters_to_vector
from torch.optim import Optimizer

from dixc.training.learning_rates import add_to, learning_rates
from dixc.training.linearised import Linearised

LONGEST = 10.0  # largest change of a weight in a step, in learning rates


class GaussNewton(Optimizer):
    """See the module header. `learn` what a visit gives, then `step`.

    Args:
        groups: parameters and their learning rates (`parameter_groups`).
        parameters: the same, in the order of the columns of Jacobians.
        memory: molecules that are kept; those met longest ago go first.
    """

    def __init__(self, groups: list[dict[str, Any]], parameters: Iterable[Tensor], memory: int):
        super().__init__(groups, {"lr": 0.0})
        self.parameters = list(parameters)
        self.molecules = Linearised(memory)
        self._overlaps: dict[tuple[str, str], Tensor] = {}

    def learn(self, name: str, rows: Tensor, residuals: Tensor) -> None:
        """Remember a molecule's residuals (K,), float64, and their Jacobian (K, n_parameters) at these weights."""
        self.molecules.learn(name, rows, residuals, self._weights())
        visited = self.molecules.by_molecule
        remaining = visited.keys() - {name}
        self._overlaps = {pair: block for pair, block in self._overlaps.items() if remaining.issuperset(pair)}
        scaled = (rows.double() * self._relative_rates().square()).T
        for other, (others, _) in visited.items():
            self._overlaps[other, name] = others.double() @ scaled

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Change the weights."""
        visited = self.molecules.by_molecule
        if not visited:
            return
        rate, relative = max(group["lr"] for group in self.param_groups), self._relative_rates()
        residuals = self.molecules.at(self._weights())
        system = rate**2 * self._overlap() + torch.eye(len(residuals), dtype=residuals.dtype)
        coefficients = torch.linalg.solve(system, residuals).split(
            [len(rows) for rows, _ in visited.values()]
        )
        blocks = zip(visited.values(), coefficients, strict=True)
        change = -(rate**2) * relative.square() * sum(rows.double().T @ block for (rows, _), block in blocks)
        change /= max(1.0, float((change / (rate * relative)).abs().max()) / LONGEST)
        add_to(self.parameters, change)

    def _weights(self) -> Tensor:
        return parameters_to_vector(self.parameters).detach().cpu()

    def _relative_rates(self) -> Tensor:
        rates = learning_rates(self, self.parameters).double()
        return rates / rates.max()

    def _overlap(self) -> Tensor:
        """A A^T over all that is known, in units of the largest learning rate."""
        names = list(self.molecules.by_molecule)
        blocks = [[self._overlaps[a, b] if i <= j else self._overlaps[b, a].T for j, b in enumerate(names)]
                  for i, a in enumerate(names)]  # fmt: skip
        return torch.cat([torch.cat(line, dim=1) for line in blocks])

    def state_dict(self) -> dict[str, Any]:
        """For a checkpoint."""
        overlaps = [[*pair, block] for pair, block in self._overlaps.items()]
        return super().state_dict() | {"molecules": self.molecules.state_dict(), "overlaps": overlaps}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from `state_dict`; without molecules in it, with those it has, which hold at any weights."""
        super().load_state_dict({key: state[key] for key in ("state", "param_groups")})
        if "molecules" in state:
            self.molecules.load_state_dict(state["molecules"])
            self._overlaps = {(a, b): block for a, b, block in state["overlaps"]}

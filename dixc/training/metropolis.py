"""Accept or undo each optimizer step by what it did to the loss, after Metropolis.

The paper names a Metropolis-inspired rule without its details; this one is ours. It costs nothing: a training step
computes the loss of one molecule at the weights that the step before has made, and that number judges the step before.
If it is refused, weights, weight average and optimizer moments return to the last accepted ones, and training goes on
with the next molecule; the schedule of the learning rate is not held up.

Losses of different molecules differ, so each is compared with its own past. With L the loss, in natural logarithms,

    s = ln L - b(molecule)           b: mean of the molecule's accepted ln L, halved in weight at every visit
    d = s - S                        S: running mean of the accepted s, the general trend
    increase = max(0, d - 2 scatter) scatter: running root mean square of d

and a step is accepted with the probability exp(-increase / T), T = temperature x scatter. Logarithms and the scatter
make the rule the same for every loss, whatever the weights of its terms: ordinary noise, up to twice the scatter, is
always accepted, and a blow-up hardly ever. A loss that is not finite, or an SCF in training that did not converge, is
an infinite increase. A step is only undone if the weights changed since the last accepted ones, so that no molecule
can stop the training.

Source: N. Metropolis, A. W. Rosenbluth, M. N. Rosenbluth, A. H. Teller, E. Teller, J. Chem. Phys. 21, 1087 (1953).
"""

from __future__ import annotations

import copy
import math
from typing import Any

import numpy as np
import torch

FREE = 2.0  # scatters above the trend that are ordinary noise
CLIPPED = 3.0  # scatters; what one step may add to the running means at most
TREND_DECAY, SCATTER_DECAY = 0.9, 0.95  # a step
FIRST_SCATTER, LEAST_SCATTER = 1.0, 0.05  # natural logarithms
SMALLEST_LOSS = 1e-30
STREAM = 2  # of random numbers of a step; the Hessian's probes have another


class LossLevel:
    """How far a loss lies above what is usual, from running means of logarithms."""

    def __init__(self) -> None:
        self.known: dict[str, float] = {}
        self.trend, self.scatter = 0.0, FIRST_SCATTER

    def deviation(self, name: str, loss: float) -> float:
        """ln of the loss over what is expected of this molecule now; infinite for a loss that is no number."""
        if not math.isfinite(loss):
            return math.inf
        if not self.known:
            return 0.0
        own = self.known.get(name, sum(self.known.values()) / len(self.known))
        return _log(loss) - own - self.trend

    def update(self, name: str, loss: float, deviation: float, accepted: bool) -> None:
        """Count a finite loss in: the scatter always, so that the rule adapts, the rest if it was accepted."""
        first, limit = not self.known, CLIPPED * self.scatter
        clipped = min(max(deviation, -limit), limit)
        if accepted:
            self.known[name] = 0.5 * (self.known.get(name, _log(loss)) + _log(loss))
            self.trend += (1 - TREND_DECAY) * clipped
        if not first:
            square = SCATTER_DECAY * self.scatter**2 + (1 - SCATTER_DECAY) * clipped**2
            self.scatter = max(LEAST_SCATTER, math.sqrt(square))


class Metropolis:
    """The rule, with the last accepted state of what it watches over.

    Args:
        functional, average: weights and their running average, changed in place.
        optimizer: its moments are kept and restored, its learning rates are not.
        seed: of the decisions, together with the number of the step.
        temperature: in scatters of ln of the loss; higher accepts more.
    """

    def __init__(
        self,
        functional: torch.nn.Module,
        average: torch.nn.Module,
        optimizer: torch.optim.Optimizer,
        seed: int,
        temperature: float = 1.0,
    ):
        self.modules, self.optimizer = (functional, average), optimizer
        self.seed, self.temperature = seed, temperature
        self.level = LossLevel()
        self.kept: dict[str, Any] | None = None
        self.moved = False

    def accept(self, step: int, name: str, loss: float) -> bool:
        """Judge the weights by the loss of a molecule: keep a copy of them, or restore the last accepted ones.

        Args:
            step: number of the training step, which decides the random number.
            name: of the molecule.
            loss: its loss at the present weights; not finite if there is none.

        Returns:
            False if the weights were restored, so that gradients at the former ones must not be used.
        """
        deviation = self.level.deviation(name, loss)
        accepted = not self.moved or self._drawn(step) < self._probability(deviation)
        if math.isfinite(deviation):
            self.level.update(name, loss, deviation, accepted)
            if accepted:
                self._keep()
        if not accepted:
            self._restore()
        self.moved = False
        return accepted

    def stepped(self) -> None:
        """To be told of every optimizer step."""
        self.moved = self.kept is not None

    def columns(self, accepted: bool) -> dict[str, float]:
        """For the training log: whether a step was undone, and the temperature in natural logarithms."""
        return {"undone": int(not accepted), "temperature": self.temperature * self.level.scatter}

    def _probability(self, deviation: float) -> float:
        increase = max(0.0, deviation - FREE * self.level.scatter)
        return math.exp(-increase / (self.temperature * self.level.scatter))

    def _drawn(self, step: int) -> float:
        return float(np.random.default_rng([self.seed, step, STREAM]).random())

    def _keep(self) -> None:
        weights = [copy.deepcopy(module.state_dict()) for module in self.modules]
        self.kept = {"weights": weights, "moments": copy.deepcopy(self.optimizer.state_dict()["state"])}

    def _restore(self) -> None:
        assert self.kept is not None, "a step is only undone after an accepted one"
        for module, weights in zip(self.modules, self.kept["weights"], strict=True):
            module.load_state_dict(weights)
        groups = self.optimizer.state_dict()["param_groups"]  # the learning rate is the schedule's business
        self.optimizer.load_state_dict({"state": self.kept["moments"], "param_groups": groups})

    def state_dict(self) -> dict[str, Any]:
        """For a checkpoint: all that the next decision depends on."""
        return {"level": dict(vars(self.level)), "kept": self.kept, "moved": self.moved}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from `state_dict`."""
        vars(self.level).update(state["level"])
        self.kept, self.moved = state["kept"], state["moved"]


def _log(loss: float) -> float:
    return math.log(max(loss, SMALLEST_LOSS))

"""Fully connected networks of the learned functionals, and what all of them ask of their hyperparameters.

Networks take features (N, n_inputs) in any precision and give (N,) in the same one; their weights may be kept in single
precision under double-precision features (half the time in training, and the sums over the grid stay in float64).
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from dixc.functionals import activations

# softplus turns to a straight line at this argument (torch's 20 leaves a step of 2e-9 in the slope)
SOFTPLUS_LINE = 40.0


def softplus(x: Tensor) -> Tensor:
    """log(1 + exp(x))."""
    return functional.softplus(x, threshold=SOFTPLUS_LINE)


def dense(sizes: Sequence[int]) -> nn.ModuleList:
    """Linear layers in float64 between consecutive sizes."""
    return nn.ModuleList(nn.Linear(a, b, dtype=torch.float64) for a, b in itertools.pairwise(sizes))


def run_layers(layers: nn.ModuleList, features: Tensor, activation: str) -> Tensor:
    """Activations (N, units) of the last layer, in the precision of the weights."""
    activate = activations.activation(activation)
    hidden = features.to(next(layers[0].parameters()).dtype)
    for layer in layers:
        hidden = activate(layer(hidden))
    return hidden


class Network(nn.Module):
    """Hidden layers of equal size and one linear output: (N, n_inputs) -> (N,).

    Args:
        n_inputs: features of a point.
        n_hidden: units of each hidden layer.
        n_layers: hidden layers.
        first_output: bias of the untrained output, about which small weights vary it.
        activation: key of `dixc.functionals.activations.ACTIVATIONS`.
    """

    def __init__(
        self, n_inputs: int, n_hidden: int, n_layers: int, first_output: float, activation: str = "gelu"
    ):
        super().__init__()
        self.activation = activation
        self.hidden = dense([n_inputs] + [n_hidden] * n_layers)
        self.output = nn.Linear(n_hidden, 1, dtype=torch.float64)
        with torch.no_grad():
            self.output.weight *= 0.1
            self.output.bias.fill_(first_output)

    def forward(self, features: Tensor) -> Tensor:
        hidden = run_layers(self.hidden, features, self.activation)
        return self.output(hidden).squeeze(-1).to(features.dtype)


@torch.no_grad()
def xavier(*layers: nn.Linear) -> None:
    """Initial weights that keep the size of signals (Glorot, Bengio, AISTATS 2010), no biases."""
    for layer in layers:
        nn.init.xavier_uniform_(layer.weight)
        layer.bias.zero_()


def check_hyperparameters(seed: int, **sizes: int) -> None:
    """Refuses sizes that are no positive whole numbers and a seed that is no whole number.

    Raises:
        ValueError: with the name and the value.
    """
    for name, value in sizes.items():
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise ValueError(f"{name} must be a positive whole number, not {value!r}")
    if isinstance(seed, bool) or not isinstance(seed, int):
        raise ValueError(f"seed must be a whole number, not {seed!r}")


@contextlib.contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Random numbers of torch from a seed; the global random state is left alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield

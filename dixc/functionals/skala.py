"""Skala-mGGA: the local part of the Skala functional, without its exchange of features between grid points.

Luise et al., arXiv:2506.14665; details from the published program, github.com/microsoft/skala. Logarithms log(|x| +
1e-5) of
    n_a, n_b, |grad n_a|^2, |grad n_b|^2, tau_a, tau_b, |grad n|^2
enter two layers of 256 units, in the order (a, b) and in the order (b, a); the mean of both passes three more layers
of 256 units, and 2 sigmoid(net / 2) of the output is the factor F over local exchange, 0 < F < 2, correlation
included. The swap of the spins is an exact symmetry; the uniform gas, spin scaling of exchange and coordinate scaling
are not built in.

The seven logarithms rise and fall together (correlations of 0.97 and more in molecules) and reach from -11 to 16, which
trains badly: a step of Adam's moves all points alike, by far more than what it means to change. The first layer sees
log n_s, logarithms of the reduced gradient and kinetic energy density, and what the total gradient adds to those of
the spins, each shifted and scaled to order one. That linear map is invertible and could be absorbed in the layer: the
functions are the same.

Decided here: the local functional is Skala with all three of its middle layers local, where the published program's
default exchanges features between points in two of them. Tail: by the total density to the closed form of
`dixc.functionals.tail`; there F is that of the closed form.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from dixc.functionals.base import SpinDensity, present
from dixc.functionals.enhanced import EnhancedExchange
from dixc.functionals.networks import Network, check_hyperparameters, dense, run_layers, seeded, xavier
from dixc.functionals.reduced import SpinPoints
from dixc.functionals.tail import TailSwitch

LOG_FLOOR = 1e-5
FACTOR_BOUND = 2.0
# of log n_s, log sigma_s/n_s^(8/3), log tau_s/n_s^(5/3): about mean and spread in organic molecules, by electrons
CENTRE, SPREAD = (-1.8, 3.3, 1.9), (2.3, 1.4, 0.9)
ACTIVATION = "silu"


class SkalaMGGA(EnhancedExchange):
    """The Skala-mGGA functional, see the module header.

    Args:
        n_hidden: units of each layer.
        n_input_layers: layers before the mean over the two orders of the spins.
        n_layers: hidden layers after it.
        seed: of the initial weights; the global random state is left alone.

    Attributes:
        hyperparameters: the arguments, to build it again.
    """

    single_precision = takes_empty_points = True
    source = "local part of Skala, Luise et al., arXiv:2506.14665"

    centre: Tensor
    spread: Tensor

    def __init__(self, n_hidden: int = 256, n_input_layers: int = 2, n_layers: int = 3, seed: int = 0):
        super().__init__()
        check_hyperparameters(seed, n_hidden=n_hidden, n_input_layers=n_input_layers, n_layers=n_layers)
        self.hyperparameters: dict[str, Any] = {
            "n_hidden": n_hidden,
            "n_input_layers": n_input_layers,
            "n_layers": n_layers,
            "seed": seed,
        }
        with seeded(seed):
            self.input = dense([7] + [n_hidden] * n_input_layers)
            # first output 0: F about 1, local exchange alone
            self.network = Network(n_hidden, n_hidden, n_layers, first_output=0.0, activation=ACTIVATION)
            xavier(*self.input, *self.network.hidden)
        # in the state, so that a file of weights for other features is refused
        self.register_buffer("centre", torch.tensor(CENTRE, dtype=torch.float64))
        self.register_buffer("spread", torch.tensor(SPREAD, dtype=torch.float64))

    def factor(self, density: SpinDensity, points: SpinPoints, switch: TailSwitch) -> Tensor:
        # not the variables of `points`: an empty spin channel would jump there, and logarithms need no guard here
        spins = [self._features(c.n / 2, present(c.sigma) / 4, present(c.tau) / 2) for c in density.channels]
        own = [_log(present(c.sigma) / 4) for c in density.channels]
        total = _log(present(density.sigma)) - sum(own) / len(spins)
        # a closed shell has two equal channels: both orders of the spins are the same features
        orders = [(spins[0], spins[-1]), (spins[-1], spins[0])][: len(spins)]
        encoded = []
        for first, second in orders:
            pairs = [x for pair in zip(first, second, strict=True) for x in pair]
            encoded.append(run_layers(self.input, torch.stack((*pairs, total), dim=-1), ACTIVATION))
        y = self.network(sum(encoded) / len(encoded)).to(total.dtype)
        return FACTOR_BOUND * torch.sigmoid(y / FACTOR_BOUND)

    def _features(self, n: Tensor, sigma: Tensor, tau: Tensor) -> list[Tensor]:
        """What the first layer sees of a spin channel, three of (N,)."""
        log_n = _log(n)
        values = (log_n, _log(sigma) - 8 / 3 * log_n, _log(tau) - 5 / 3 * log_n)
        return [(x - c) / s for x, c, s in zip(values, self.centre, self.spread, strict=True)]


def _log(x: Tensor) -> Tensor:
    """log(x + 1e-5); rounding below zero counts as zero."""
    return torch.log(x.clamp(min=0.0) + LOG_FLOOR)

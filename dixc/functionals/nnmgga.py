"""NN-mGGA: one network for exchange and correlation together, without exact constraints.

Nagai, Akashi, Sugino, npj Comput. Mater. 6, 43 (2020), arXiv:1903.00238; details from the authors' program,
github.com/ml-electron-project/NNfunctional. A network with three hidden layers of 100 units sees
    log n^(1/3),  log [(1 + zeta)^(4/3) + (1 - zeta)^(4/3)] / 2,  log s,  log tau / tau_unif(n, zeta)
and gives the energy per electron as -n^(1/3) [(1 + zeta)^(4/3) + (1 - zeta)^(4/3)] / 2 (1 + ELU(net)), a positive
factor over local exchange (its constant is in the network's weights). It is invariant under a swap of the spins and
never positive; the uniform gas, spin scaling of exchange and coordinate scaling are not built in, as in the paper.

Different from the paper:
- GELU for ELU in the network, and softplus for 1 + ELU at its end (`activation: elu` brings the published ones back).
  The second derivative of ELU has a step: the kernel of the functional is then discontinuous, and the gradient of a
  Hessian loss with respect to the weights, taken by automatic differentiation, misses the delta functions of the
  third derivative.
- Under the logarithms 0.01 is added to s^2 and tau / tau_unif, which the paper keeps from zero by 1e-7 in gradient
  and kinetic energy density: both vanish inside of bonds, where the logarithm's slope in sigma or tau would be
  infinite.
- Tail: by the total density to the closed form of `dixc.functionals.tail`.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from dixc.functionals.activations import elu
from dixc.functionals.base import SpinDensity
from dixc.functionals.enhanced import EnhancedExchange
from dixc.functionals.networks import Network, check_hyperparameters, seeded, softplus
from dixc.functionals.reduced import SpinPoints
from dixc.functionals.tail import TailSwitch

LOG_FLOOR = 0.01
SOFTPLUS_SHIFT = math.log(math.e - 1)  # softplus is 1 there, as 1 + ELU is at 0
ACTIVATIONS = ("gelu", "elu")


class NNmGGA(EnhancedExchange):
    """The NN-mGGA functional, see the module header.

    Args:
        n_hidden: units of each hidden layer.
        n_layers: hidden layers.
        activation: "gelu" (smooth) or "elu" (as published).
        seed: of the initial weights; the global random state is left alone.

    Attributes:
        hyperparameters: the arguments, to build it again.
    """

    single_precision = takes_empty_points = True
    source = "Nagai, Akashi, Sugino, npj Comput. Mater. 6, 43 (2020)"

    def __init__(self, n_hidden: int = 100, n_layers: int = 3, activation: str = "gelu", seed: int = 0):
        super().__init__()
        check_hyperparameters(seed, n_hidden=n_hidden, n_layers=n_layers)
        if activation not in ACTIVATIONS:
            raise ValueError(f"activation must be one of {', '.join(ACTIVATIONS)}, not {activation!r}")
        self.hyperparameters: dict[str, Any] = {
            "n_hidden": n_hidden,
            "n_layers": n_layers,
            "activation": activation,
            "seed": seed,
        }
        with seeded(seed):
            # first output 0: F about 1, local exchange alone
            self.network = Network(4, n_hidden, n_layers, first_output=0.0, activation=activation)

    def factor(self, density: SpinDensity, points: SpinPoints, switch: TailSwitch) -> Tensor:
        total, polarisation = points.total, points.polarisation
        x_zeta = switch.feature(polarisation.log_mean_power(4, total.n), 0.0)
        p = switch.feature(total.p, 0.0)
        kinetic = switch.feature(total.tau / (total.tau_unif * polarisation.mean_power(5)), 1.0).clamp(
            min=0.0
        )
        x_s, x_tau = 0.5 * torch.log(p + LOG_FLOOR), torch.log(kinetic + LOG_FLOOR)
        y = self.network(torch.stack((switch.log_n / 3, x_zeta, x_s, x_tau), dim=-1))
        if self.network.activation == "elu":
            return 1 + elu(y)
        return softplus(y + SOFTPLUS_SHIFT)

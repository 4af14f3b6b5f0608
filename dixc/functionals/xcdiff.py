"""XCdiff: a meta-GGA of two small networks with exact constraints.

Dick, Fernandez-Serra, Phys. Rev. B 104, L161109 (2021). In p = s^2 and alpha,
    e_x = e_x^LDA F_x,     F_x = 1 + LOB_1.174(u net_x(x_s, x_alpha))              exchange, each spin channel
    e_c = e_c^PW92 F_c,    F_c = 1 - LOB_2(u softplus(net_c(x_n, x_zeta, x_s, x_alpha)))
    LOB_L(y) = L sigmoid(y - log(L - 1)) - 1,    u = tanh(x_s) + tanh(x_alpha)^2
so that by construction 0 < F_x < 1.174 (Lieb-Oxford), 0 < F_c <= 1 (correlation is not positive),
F_x = F_c = 1 in a uniform gas (u = 0 at s = 0, alpha = 1), and exchange obeys spin scaling and, outside the
tail, coordinate scaling.

Different from the paper:
- x_s = log(1 + s^2) / 2, not (1 - exp(-s^2)) log(1 + s), whose second derivative with respect to sigma is
  infinite at sigma = 0. It has the same limit log(s), and at small s a term in s^2 (the gradient expansion).
- alpha has r2SCAN's denominator tau_unif + 0.001 tau_W, which keeps it from exploding in tails, and is taken
  as -0.5 where it is less (unphysical input; physical alpha is never negative).
- tanh(x_s), not x_s, in u of exchange too: u is bounded.
- Tail: both go over to the closed form of `dixc.functionals.tail`, exchange by the density of the spin-scaled channel.
"""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import torch
from torch import Tensor

from dixc.functionals import tail
from dixc.functionals.base import SpinDensity
from dixc.functionals.lda import pw92, slater
from dixc.functionals.networks import Network, check_hyperparameters, seeded, softplus
from dixc.functionals.reduced import Points, SpinPoints
from dixc.functionals.tail import EXCHANGE_BOUND, TailedFunctional, TailSwitch

ALPHA_ETA = 1e-3


class XCdiff(TailedFunctional):
    """The XCdiff meta-GGA, see the module header.

    Args:
        n_hidden: units of each hidden layer.
        n_layers: hidden layers of each network.
        seed: of the initial weights; the global random state is left alone.

    Attributes:
        hyperparameters: the arguments, to build it again.
    """

    xctype = "MGGA"
    single_precision = takes_empty_points = True
    source = "Dick, Fernandez-Serra, Phys. Rev. B 104, L161109 (2021)"

    def __init__(self, n_hidden: int = 16, n_layers: int = 3, seed: int = 0):
        super().__init__()
        check_hyperparameters(seed, n_hidden=n_hidden, n_layers=n_layers)
        self.hyperparameters: dict[str, Any] = {"n_hidden": n_hidden, "n_layers": n_layers, "seed": seed}
        with seeded(seed):
            # first outputs of 1 and 0: F_x about 1.1 and F_c about 0.7 where u = 1, near a molecule's means
            self.exchange = Network(2, n_hidden, n_layers, first_output=1.0)
            self.correlation = Network(4, n_hidden, n_layers, first_output=0.0)

    def blended_energy_density(self, density: SpinDensity) -> Tensor:
        points = SpinPoints(density)
        exchange = points.spin_mean([slater(c) * f for c, f in self.exchange_factors(points.channels)])
        return exchange + points.total.energy(points.total.n * self.correlation_per_electron(points))

    def exchange_factors(self, channels: list[Points]) -> list[tuple[Points, Tensor]]:
        """Enhancement over the local density, tail included, of each channel."""
        reduced = [Features(c, c.alpha(ALPHA_ETA)) for c in channels]
        inputs = torch.cat([torch.stack((f.x_s, f.x_alpha), dim=-1) for f in reduced])
        outputs = self.exchange(inputs).tensor_split(len(channels))
        shift = math.log(EXCHANGE_BOUND - 1)
        factors = []
        for c, f, y in zip(channels, reduced, outputs, strict=True):
            inner = EXCHANGE_BOUND * torch.sigmoid(y * f.u - shift)
            factors.append((c, f.switch.blend(inner, partial(tail.exchange_factor, c))))
        return factors

    def correlation_per_electron(self, points: SpinPoints) -> Tensor:
        """Correlation energy per electron, tail included."""
        total, pol = points.total, points.polarisation
        f = Features(total, total.alpha(ALPHA_ETA, pol.mean_power(5)))
        x_zeta = f.switch.feature(pol.log_mean_power(4, f.x_n), 0.0)
        y = self.correlation(torch.stack((f.x_n, x_zeta, f.x_s, f.x_alpha), dim=-1))
        local = pw92(total.rs_sqrt, pol)
        inner = 2 * local * torch.sigmoid(-softplus(y) * f.u)  # LOB_2(y) = tanh(y/2)
        return f.switch.blend(inner, lambda: tail.correlation(total, pol, local))


class Features:
    """Inputs of the networks, all (N,), constant beyond the end of the tail.

    Attributes:
        switch: where the networks count.
        x_n: log(n) / 3.
        x_s, x_alpha, u: see the module header.
    """

    def __init__(self, points: Points, alpha: Tensor):
        self.switch = TailSwitch(points)
        p = self.switch.feature(points.p, 0.0)
        half = 0.5 + 0.5 * self.switch.feature(alpha, 1.0).clamp(min=-0.5)
        self.x_n = self.switch.log_n / 3
        self.x_s = 0.5 * torch.log1p(p)
        self.x_alpha = torch.log(half)
        square = half.square()
        tanh_alpha = (square - 1) / (square + 1)
        self.u = p / (2 + p) + tanh_alpha.square()

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
- Tail: between the densities 1e-5 and 1e-7 (of the spin-scaled channel for exchange) both go over, with three
  continuous derivatives in log n, to a closed form without parameters: PBE correlation, and PBE exchange with
  kappa = 0.174, which obeys the same bound. Below, the rules for empty points of `reduced` hold.
"""

from __future__ import annotations

import itertools
import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from dixc.functionals.base import PointwiseFunctional, SpinDensity
from dixc.functionals.gga import pbe_enhancement, pbe_gradient
from dixc.functionals.lda import pw92, slater
from dixc.functionals.reduced import Points, SpinPoints

EXCHANGE_BOUND = 1.174
ALPHA_ETA = 1e-3
TAIL_START, TAIL_END = 1e-5, 1e-7


class Network(nn.Module):
    """Fully connected layers with exact GELU: (N, n_inputs) -> (N,).

    The tanh approximation of GELU has non-finite third derivatives at large arguments.
    """

    def __init__(self, n_inputs: int, n_hidden: int, n_layers: int, first_output: float):
        super().__init__()
        sizes = [n_inputs] + [n_hidden] * n_layers
        self.hidden = nn.ModuleList(
            nn.Linear(a, b, dtype=torch.float64) for a, b in itertools.pairwise(sizes)
        )
        self.output = nn.Linear(n_hidden, 1, dtype=torch.float64)
        with torch.no_grad():
            self.output.weight *= 0.1
            self.output.bias.fill_(first_output)

    def forward(self, features: Tensor) -> Tensor:
        # weights in float32 under float64 features: half the time in training, and the sums stay in float64
        hidden = features.to(self.output.weight.dtype)
        for layer in self.hidden:
            hidden = functional.gelu(layer(hidden))
        return self.output(hidden).squeeze(-1).to(features.dtype)


class XCdiff(PointwiseFunctional):
    """The XCdiff meta-GGA, see the module header.

    Args:
        n_hidden: units of each hidden layer.
        n_layers: hidden layers of each network.
        seed: of the initial weights; the global random state is left alone.

    Attributes:
        hyperparameters: the arguments, to build it again.
    """

    xctype = "MGGA"

    def __init__(self, n_hidden: int = 16, n_layers: int = 3, seed: int = 0):
        super().__init__()
        for name, value in (("n_hidden", n_hidden), ("n_layers", n_layers)):
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise ValueError(f"{name} must be a positive whole number, not {value!r}")
        if isinstance(seed, bool) or not isinstance(seed, int):
            raise ValueError(f"seed must be a whole number, not {seed!r}")
        self.hyperparameters: dict[str, Any] = {"n_hidden": n_hidden, "n_layers": n_layers, "seed": seed}
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            # first outputs of 1 and 0: F_x about 1.1 and F_c about 0.7 where u = 1, near a molecule's means
            self.exchange = Network(2, n_hidden, n_layers, first_output=1.0)
            self.correlation = Network(4, n_hidden, n_layers, first_output=0.0)

    def energy_density(self, density: SpinDensity) -> Tensor:
        points = SpinPoints(density)
        exchange = points.spin_mean([slater(c) * f for c, f in self._exchange_factors(points.channels)])
        return exchange + points.total.energy(points.total.n * self._correlation(points))

    def _exchange_factors(self, channels: list[Points]) -> list[tuple[Points, Tensor]]:
        """Enhancement over the local density, tail included, of each channel."""
        reduced = [Features(c, c.alpha(ALPHA_ETA)) for c in channels]
        inputs = torch.cat([torch.stack((f.x_s, f.x_alpha), dim=-1) for f in reduced])
        outputs = self.exchange(inputs).tensor_split(len(channels))
        shift = math.log(EXCHANGE_BOUND - 1)
        factors = []
        for c, f, y in zip(channels, reduced, outputs, strict=True):
            inner = EXCHANGE_BOUND * torch.sigmoid(y * f.u - shift)
            tail = pbe_enhancement(c.p, kappa=EXCHANGE_BOUND - 1)
            factors.append((c, tail + f.inside * (inner - tail)))
        return factors

    def _correlation(self, points: SpinPoints) -> Tensor:
        """Correlation energy per electron, tail included."""
        total, pol = points.total, points.polarisation
        f = Features(total, total.alpha(ALPHA_ETA, pol.mean_power(5)))
        x_zeta = torch.log(pol.mean_power(4)) if pol.opz else torch.zeros_like(f.x_n)
        x_zeta = torch.where(f.within, x_zeta, 0.0)
        y = self.correlation(torch.stack((f.x_n, x_zeta, f.x_s, f.x_alpha), dim=-1))
        local = pw92(total.rs_sqrt, pol)
        # LOB_2(y) = tanh(y/2); the threshold of softplus (where torch turns to a line) is put beyond rounding
        inner = 2 * local * torch.sigmoid(-functional.softplus(y, threshold=40) * f.u)
        tail = local + pbe_gradient(total, pol, local)
        return tail + f.inside * (inner - tail)


class Features:
    """Inputs of the networks, all (N,), constant beyond the end of the tail.

    Attributes:
        within: where the networks count.
        inside: their weight, from 0 in the tail to 1.
        x_n: log(n) / 3.
        x_s, x_alpha, u: see the module header.
    """

    def __init__(self, points: Points, alpha: Tensor):
        self.within = points.n > TAIL_END
        log_n = torch.log(torch.where(self.within, points.n, TAIL_END))
        p = torch.where(self.within, points.p, 0.0)
        half = 0.5 + 0.5 * torch.where(self.within, alpha, 1.0).clamp(min=-0.5)
        self.x_n = log_n / 3
        self.x_s = 0.5 * torch.log1p(p)
        self.x_alpha = torch.log(half)
        square = half.square()
        tanh_alpha = (square - 1) / (square + 1)
        self.u = p / (2 + p) + tanh_alpha.square()
        self.inside = _smooth_step((log_n - math.log(TAIL_END)) / math.log(TAIL_START / TAIL_END))


def _smooth_step(t: Tensor) -> Tensor:
    """From 0 (t <= 0) to 1 (t >= 1) with three continuous derivatives."""
    t = t.clamp(0.0, 1.0)
    return t.square().square() * (35 + t * (-84 + t * (70 - 20 * t)))

"""EG-XC: a meta-GGA whose energy density is reweighted by a graph network that sees the density around nuclei.

Gao, Eberhard, Guennemann, ICLR 2025, arXiv:2410.07972. With n the total density and B the basis of `geometry`,
    h_akm = int n(r) B_akm(r) dr                                    features of nucleus a
    s, t  = message passing between nuclei on h                     `network`
    y(r)  = sum_akm B_akm(r) sum_f c_akf(t) t_afm                   decoded to the grid, F channels
    gamma = w_0 + w_1 MLP(y(r)),  w_0 = 1 and w_1 = 0 at first
    E_xc  = int gamma(r) e_base(r) dr + E_0 sum_a MLP(s_a)          the last MLP is 0 at first
so that an untrained EG-XC is its base meta-GGA, by default the form of XCdiff. Only h and the base see the density, and
h is linear in it: what depends on points and nuclei alone is kept with the grid, and the first layer of the MLP on the
grid is applied to the coefficients, before they meet the basis.

In the tail gamma is a smooth function of position, so the base's own tail carries over. Spin enters through the base
only; h is made of the total density. docs/functionals-egxc.md lists what the paper leaves open.
"""

from __future__ import annotations

import inspect
from typing import Any

import torch
from e3nn import o3
from torch import Tensor, nn
from torch.nn.functional import silu

from dixc.functionals import registry
from dixc.functionals.base import Functional, GridPoints, PointwiseFunctional, SpinDensity
from dixc.functionals.egxc import geometry
from dixc.functionals.egxc.geometry import BOHR_IN_ANGSTROM, Geometry, Reach
from dixc.functionals.egxc.network import MLP, Interaction, dense, double_precision

GRAPH_RATE = 0.1  # of the base's learning rate: wide networks, which learn single molecules by heart
READOUT_UNIT = 0.01  # hartree; brings the effect of one optimizer step near that of the base's weights


class Decoder(nn.Module):
    """Coefficients of the basis around each nucleus, (A, M, n_out, K), from node features (A, F M).

    Each channel's tensor is spread over the radial functions by weights that depend on the nucleus' scalars; then
    channels are mixed to `n_out` (the first layer of the MLP on the grid).
    """

    def __init__(self, features: int, n_radial: int, l_max: int, n_out: int):
        super().__init__()
        self.features, self.n_radial = features, n_radial
        sizes = [features, features, features, n_radial * features]
        self.spread = nn.ModuleList(MLP(sizes) for _ in range(l_max + 1))
        self.mix = nn.Parameter(torch.randn(features, n_out, dtype=torch.float64) * features**-0.5)

    def forward(self, nodes: Tensor) -> Tensor:
        scalars, start, parts = nodes[:, : self.features], 0, []
        for order, spread in enumerate(self.spread):
            stop = start + self.features * (2 * order + 1)
            tensor = nodes[:, start:stop].unflatten(-1, (self.features, 2 * order + 1))
            weights = spread(scalars).unflatten(-1, (self.n_radial, self.features)) * self.n_radial**-0.5
            parts.append(torch.einsum("akf,afm,fj->amjk", weights, tensor, self.mix))
            start = stop
        return torch.cat(parts, dim=1)


class EGXC(Functional):
    """The EG-XC functional, see the module header.

    Args:
        features: F, channels of each tensor order on a nucleus.
        layers: rounds of message passing.
        l_max: highest tensor order.
        n_radial: frequencies of the radial basis on the grid.
        cutoff: of the basis on the grid, angstrom.
        message_cutoff: longest edge of the graph, angstrom.
        n_message_radial: radial functions of an edge.
        partition: "gaussian", "exponential" or "none": how nuclei share the density.
        partition_width: decay length of that, bohr.
        reweighting_hidden: units of the MLP on the grid (one hidden layer).
        reweighting, readout: with gamma and with the sum over nuclei.
        base: registry name of the pointwise meta-GGA underneath.
        base_hyperparameters: its keywords.
        seed: of the initial weights; the global random state is left alone.

    Attributes:
        hyperparameters: the arguments, to build it again.
    """

    xctype = "MGGA"
    single_precision = True
    source = "Gao, Eberhard, Guennemann, arXiv:2410.07972"
    pointwise = False
    decoder: Decoder | None
    gamma: Gamma | None
    readout: MLP | None

    def __init__(
        self,
        features: int = 128,
        layers: int = 3,
        l_max: int = 1,
        n_radial: int = 16,
        cutoff: float = 5.0,
        message_cutoff: float = 5.0,
        n_message_radial: int = 20,
        partition: str = "gaussian",
        partition_width: float = 1.0,
        reweighting_hidden: int = 16,
        reweighting: bool = True,
        readout: bool = True,
        base: str = "xcdiff",
        base_hyperparameters: dict[str, Any] | None = None,
        seed: int = 0,
    ):
        super().__init__()
        arguments = {k: v for k, v in locals().items() if k in inspect.signature(EGXC).parameters}
        _check(arguments)
        self.hyperparameters: dict[str, Any] = arguments
        self.reach = Reach(
            l_max,
            n_radial,
            cutoff / BOHR_IN_ANGSTROM,
            partition,
            partition_width,
            n_message_radial,
            message_cutoff / BOHR_IN_ANGSTROM,
        )
        self.base = _base(base, base_hyperparameters or {}, seed)
        n_functions = 2 * n_radial + 1
        with torch.random.fork_rng(devices=[]), double_precision():
            torch.manual_seed(seed)
            irreps = o3.Irreps([(n_functions, (order, (-1) ** order)) for order in range(l_max + 1)])
            self.interaction = Interaction(irreps, features, l_max, layers, n_message_radial)
            self.decoder = self.gamma = self.readout = None
            if reweighting:
                self.decoder = Decoder(features, n_functions, l_max, reweighting_hidden)
                self.gamma = Gamma(reweighting_hidden)
            if readout:
                self.readout = MLP([features, features, features, 1], zero_output=True)

    @property
    def pointwise_part(self) -> Functional:
        return self.base

    def relative_learning_rate(self, name: str) -> float:
        return 1.0 if name.startswith("base.") else GRAPH_RATE

    def forward(self, x: Tensor, grid: GridPoints) -> Tensor:
        density = SpinDensity(x, self.xctype)
        weights = grid.weights.to(x.dtype)
        local = self.base.per_volume(density) * weights
        # like XCdiff's networks: graph and basis in the precision of the weights, energies in that of x
        dtype = next(self.interaction.parameters()).dtype
        molecule = grid.derived((self.reach, dtype), lambda g: geometry.build(g, self.reach, dtype))
        scalars, nodes = self.interaction(self._encode((density.n * weights).to(dtype), molecule), molecule)
        if self.decoder is None or self.gamma is None:
            energy = local.sum()
        else:
            decoded = _on_grid(self.decoder(nodes), molecule, len(local))
            energy = torch.dot(local, self.gamma(decoded).to(x.dtype))
        if self.readout is not None:
            energy = energy + READOUT_UNIT * self.readout(scalars).to(x.dtype).sum()
        return energy

    def _encode(self, electrons: Tensor, molecule: Geometry) -> Tensor:
        """Features of the nuclei (A, K M), ordered like e3nn's irreps, from electrons at each point (N,)."""
        counts = [radial.shape[1] for radial in molecule.radial]
        shares = electrons.index_select(0, molecule.points).split(counts)
        pairs = zip(molecule.radial, molecule.angular, shares, strict=True)
        h = torch.stack([radial @ (angular * share).T for radial, angular, share in pairs])
        sizes = [2 * order + 1 for order in range(self.reach.l_max + 1)]
        return torch.cat([order.flatten(1) for order in h.split(sizes, dim=2)], dim=1)


def _on_grid(coefficients: Tensor, molecule: Geometry, n_points: int) -> Tensor:
    """Input (n_out, N) of the MLP on the grid, but for its offset, from coefficients (A, M, n_out, K)."""
    values = []
    for of_nucleus, radial, angular in zip(coefficients, molecule.radial, molecule.angular, strict=True):
        spread = (of_nucleus.flatten(0, 1) @ radial).unflatten(0, of_nucleus.shape[:2])
        values.append((spread * angular[:, None]).sum(0))
    pairs = torch.cat(values, dim=1)
    return pairs.new_zeros(len(pairs), n_points).index_add(1, molecule.points, pairs)


class Gamma(nn.Module):
    """Weight on the energy density, (n_hidden, N) -> (N,): w_0 + w_1 MLP, 1 at the start."""

    def __init__(self, n_hidden: int):
        super().__init__()
        self.offset = nn.Parameter(torch.zeros(n_hidden, 1, dtype=torch.float64))
        self.output = dense(n_hidden, 1)
        self.constant = nn.Parameter(torch.ones((), dtype=torch.float64))
        self.scale = nn.Parameter(torch.zeros((), dtype=torch.float64))

    def forward(self, decoded: Tensor) -> Tensor:
        hidden = silu(decoded + self.offset)
        return self.constant + self.scale * (self.output.weight[0] @ hidden + self.output.bias)


def _base(name: str, hyperparameters: dict[str, Any], seed: int) -> PointwiseFunctional:
    """The semilocal functional underneath; a learned one shares the seed."""
    cls = registry.functional_class(name)
    if "seed" in inspect.signature(cls).parameters:
        hyperparameters = {"seed": seed} | hyperparameters
    base = registry.create(name, **hyperparameters)
    if not isinstance(base, PointwiseFunctional) or base.xctype != "MGGA" or base.exact_exchange:
        raise ValueError(f"base must be a pointwise meta-GGA without exact exchange, not {name}")
    return base


def _check(arguments: dict[str, Any]) -> None:
    """Raises ValueError for a hyperparameter of the wrong kind or out of range."""
    counts = ("features", "layers", "l_max", "n_radial", "n_message_radial", "reweighting_hidden")
    for name in counts:
        value = arguments[name]
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise ValueError(f"{name} must be a positive whole number, not {value!r}")
    for name in ("cutoff", "message_cutoff", "partition_width"):
        value = arguments[name]
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < float("inf"):
            raise ValueError(f"{name} must be a positive length, not {value!r}")
    for name in ("reweighting", "readout"):
        if not isinstance(arguments[name], bool):
            raise ValueError(f"{name} must be true or false, not {arguments[name]!r}")
    if arguments["partition"] not in geometry.PARTITIONS:
        raise ValueError(f"partition must be one of {', '.join(geometry.PARTITIONS)}")
    if isinstance(arguments["seed"], bool) or not isinstance(arguments["seed"], int):
        raise ValueError(f"seed must be a whole number, not {arguments['seed']!r}")
    if not isinstance(arguments["base"], str) or not isinstance(
        arguments["base_hyperparameters"], dict | None
    ):
        raise ValueError("base must be a registry name and base_hyperparameters its keywords")

"""Equivariant message passing between nuclei: scalars and vectors (or higher tensors), F of each, on every nucleus.

The layers are those of PaiNN (Schuett, Unke, Gastegger, ICML 2021, arXiv:2102.03150), which EG-XC uses: messages
scale the sender's features and the edge's direction by filters of distance and sender; updates mix scalars with
invariants of the tensors. All products of tensors are e3nn's. Everything is smooth in the features: lengths enter
as sqrt(1 + |v|^2) - 1, tensors are scaled by their mean square plus 1, because a nucleus on a symmetry element has
v = 0, where |v| and v/|v| have no derivatives.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator

import torch
from e3nn import o3
from torch import Tensor, nn
from torch.nn.functional import silu

from dixc.functionals.egxc.geometry import Geometry

NORM_FLOOR = 1e-5  # added to variances


@contextlib.contextmanager
def double_precision() -> Iterator[None]:
    """Modules made here, e3nn's too, have weights and constants in double precision."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


def dense(n_in: int, n_out: int) -> nn.Linear:
    """A linear layer with weights of variance 1/n_in and no offset at the start."""
    layer = nn.Linear(n_in, n_out, dtype=torch.float64)
    nn.init.normal_(layer.weight, std=n_in**-0.5)
    nn.init.zeros_(layer.bias)
    return layer


class MLP(nn.Module):
    """Dense layers with SiLU between them: (..., sizes[0]) -> (..., sizes[-1]).

    Args:
        zero_output: start as the zero function.
    """

    def __init__(self, sizes: list[int], zero_output: bool = False):
        super().__init__()
        layers = [dense(a, b) for a, b in itertools.pairwise(sizes)]
        if zero_output:
            nn.init.zeros_(layers[-1].weight)
        self.layers = nn.ModuleList(layers)

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers[:-1]:
            x = silu(layer(x))
        return self.layers[-1](x)


def tensors(features: int, l_max: int) -> o3.Irreps:
    """F copies of each tensor of order 1 to l_max, natural parity."""
    return o3.Irreps([(features, (order, (-1) ** order)) for order in range(1, l_max + 1)])


class ScalarNorm(nn.Module):
    """Layer normalisation over the last axis, of elementary operations.

    The third derivatives of torch's own are wrong (it takes its saved mean and deviation for constants when it is
    differentiated a third time), and the parameter gradient of a Hessian product is a third derivative.
    """

    def __init__(self, features: int):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(features, dtype=torch.float64))
        self.bias = nn.Parameter(torch.zeros(features, dtype=torch.float64))

    def forward(self, s: Tensor) -> Tensor:
        centred = s - s.mean(-1, keepdim=True)
        inverse = torch.rsqrt(centred.square().mean(-1, keepdim=True) + NORM_FLOOR)
        return self.weight * (centred * inverse) + self.bias


class TensorScale(nn.Module):
    """v -> a_f v / sqrt(1 + mean |v|^2) over all tensors of a nucleus."""

    def __init__(self, irreps: o3.Irreps):
        super().__init__()
        self.squares = o3.Norm(irreps, squared=True)
        self.scale = o3.ElementwiseTensorProduct(o3.Irreps(f"{irreps.num_irreps}x0e"), irreps)
        self.weight = nn.Parameter(torch.ones(irreps.num_irreps, dtype=torch.float64))

    def forward(self, v: Tensor) -> Tensor:
        return self.scale(self.weight * torch.rsqrt(1 + self.squares(v).mean(-1, keepdim=True)), v)


class Message(nn.Module):
    """Changes of scalars (A, F) and tensors (A, F dims) by what the neighbours send."""

    def __init__(self, features: int, l_max: int, n_radial: int):
        super().__init__()
        node = o3.Irreps(f"{features}x0e") + tensors(features, l_max)
        edge = o3.Irreps.spherical_harmonics(l_max)
        # scalar times direction, and tensor times nothing: PaiNN's three products for l_max = 1
        paths = [(order, 0, order, "uvu", True) for order in range(l_max + 1)]
        paths += [(0, order, order, "uvu", True) for order in range(1, l_max + 1)]
        self.product = o3.TensorProduct(node, edge, node, paths, internal_weights=False, shared_weights=False)
        self.sender = MLP([features, features, self.product.weight_numel])
        self.filter = dense(n_radial, self.product.weight_numel)
        self.features = features

    def forward(self, s: Tensor, v: Tensor, geometry: Geometry) -> tuple[Tensor, Tensor]:
        filters = self.filter(geometry.edge_radial) * geometry.edge_envelope
        weights = self.sender(s).index_select(0, geometry.senders) * filters
        nodes = torch.cat([s, v], dim=-1)
        sent = self.product(nodes.index_select(0, geometry.senders), geometry.edge_angular, weights)
        received = torch.zeros_like(nodes).index_add(0, geometry.receivers, sent)
        return received[:, : self.features], received[:, self.features :]


class Update(nn.Module):
    """Changes of scalars and tensors of a nucleus by products among its own features."""

    def __init__(self, features: int, l_max: int):
        super().__init__()
        irreps = tensors(features, l_max)
        self.left, self.right = o3.Linear(irreps, irreps), o3.Linear(irreps, irreps)
        self.dot = o3.ElementwiseTensorProduct(irreps, irreps, ["0e"])
        self.scale = o3.ElementwiseTensorProduct(o3.Irreps(f"{irreps.num_irreps}x0e"), irreps)
        sizes = [features, irreps.num_irreps, irreps.num_irreps]
        self.mix = MLP([features + irreps.num_irreps, features, sum(sizes)])
        self.sizes = sizes

    def forward(self, s: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        left, right = self.left(v), self.right(v)
        length = torch.sqrt(1 + self.dot(left, left)) - 1
        own, invariant, tensor = self.mix(torch.cat([s, length], dim=-1)).split(self.sizes, dim=-1)
        inner = (invariant * self.dot(left, right)).unflatten(-1, (-1, s.shape[-1])).sum(-2)
        return own + inner, self.scale(tensor, right)


class Interaction(nn.Module):
    """`layers` rounds of message and update on features of the nuclei.

    Args:
        irreps_in: of the features that come in.
        features: F, scalars and tensors of each order on a nucleus.
    """

    def __init__(self, irreps_in: o3.Irreps, features: int, l_max: int, layers: int, n_radial: int):
        super().__init__()
        irreps = o3.Irreps(f"{features}x0e") + tensors(features, l_max)
        self.features = features
        self.embed, self.output = o3.Linear(irreps_in, irreps), o3.Linear(irreps, irreps)
        self.messages = nn.ModuleList(Message(features, l_max, n_radial) for _ in range(layers))
        self.updates = nn.ModuleList(Update(features, l_max) for _ in range(layers))
        steps = 2 * layers + 1
        self.scalar_norms = nn.ModuleList(ScalarNorm(features) for _ in range(steps))
        self.tensor_norms = nn.ModuleList(TensorScale(tensors(features, l_max)) for _ in range(steps))

    def forward(self, density_features: Tensor, geometry: Geometry) -> tuple[Tensor, Tensor]:
        """Scalars (A, F), and scalars and tensors mixed for the decoder (A, F (l_max + 1)^2)."""
        nodes = self.embed(density_features)
        s, v = nodes[:, : self.features], nodes[:, self.features :]
        norms = zip(self.scalar_norms, self.tensor_norms, strict=True)

        def normalised(s: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
            scalar, tensor = next(norms)
            return scalar(s), tensor(v)

        s, v = normalised(s, v)
        for message, update in zip(self.messages, self.updates, strict=True):
            ds, dv = message(s, v, geometry)
            s, v = normalised(s + ds, v + dv)
            ds, dv = update(s, v)
            s, v = normalised(s + ds, v + dv)
        return s, self.output(torch.cat([s, v], dim=-1))

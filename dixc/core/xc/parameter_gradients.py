"""Parameter gradients of an expanded functional: of its energy, potential and products with its kernel.

A loss of (E, potential, Hessian products) has the gradient of

    energy * E + <slope, e1> + sum_k <left_k, e2 right_k>

with cotangents that are computed without any graph. Only this contraction is differentiated, by the parameters alone.
Here e1 = dE/dx and e2 = d2E/dx2 with the invariants x of `dixc.core.xc.invariants`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from dixc.core.xc.pullbacks import direction_batches, pullbacks
from dixc.functionals.base import Functional


class ExpandedPart(NamedTuple):
    """What was computed on some points of the grid, with its graph.

    Attributes:
        points: of the grid.
        x: invariants (rows, n).
        energy: of these points, hartree.
        e1: dE/dx (rows, n); empty at order 0.
    """

    points: slice
    x: Tensor
    energy: Tensor
    e1: Tensor


class Pairs(NamedTuple):
    """Vectors between which the second derivative is taken.

    Attributes:
        left: (K, rows, N).
        right: (M, rows, N), M <= K.
        which: number of the right that belongs to each left; the product with one that follows itself is made once.
    """

    left: Tensor
    right: Tensor
    which: Sequence[int]


class ParameterGradients:
    """Graphs of one expansion, and the parameter gradients that they give.

    Args:
        functional: the functional that is expanded.

    Attributes:
        parts: of the grid, filled by the expansion.
    """

    def __init__(self, functional: Functional):
        self.functional = functional
        self.parts: list[ExpandedPart] = []
        self._released = False

    def jacobian(
        self,
        energies: Sequence[float],
        slopes: Tensor | None = None,
        pairs: Pairs | None = None,
    ) -> Tensor:
        """Parameter gradients (K, n_parameters) of K quantities energy * E + <slope, e1> + <left, e2 right>, hartree.

        Columns of parameters that are not trained are zero.

        Args:
            energies: cotangents of the energy, K of them.
            slopes: cotangents of e1 = dE/dx, (K, rows, N); slopes need order 1.
            pairs: K pairs of left and right; need order 2.
        """
        rows = [torch.zeros(0)] * len(energies)
        parameters = list(self.functional.parameters())
        trained = [p for p in parameters if p.requires_grad]
        for points, x, e, e1 in self._open():
            products = _Products(e1, x, self.functional.pointwise)
            for k, energy in enumerate(energies):
                total = energy * e if energy else torch.zeros_like(e)
                if slopes is not None:
                    total = total + (slopes[k, :, points] * e1).sum()
                if pairs is not None:
                    number = pairs.which[k]
                    left, right = pairs.left[k, :, points], pairs.right[number, :, points]
                    total = total + products.contraction(left, right, number)
                gradients = torch.autograd.grad(total, trained, retain_graph=True, allow_unused=True)
                by_id = {id(p): g for p, g in zip(trained, gradients, strict=True) if g is not None}
                row = torch.cat([by_id.get(id(p), torch.zeros_like(p)).flatten() for p in parameters])
                rows[k] = rows[k] + row if len(rows[k]) else row
        return torch.stack(rows)

    def of_energy(self) -> Tensor:
        """Gradient of the energy by all parameters, (n_parameters,), hartree: a row of `jacobian`."""
        return self.jacobian([1.0])[0]

    def _open(self) -> list[ExpandedPart]:
        if self._released:
            raise RuntimeError("the graphs of this expansion were released by `backward`")
        return self.parts

    def backward(
        self, energy: float = 0.0, slope: Tensor | None = None, pairs: tuple[Tensor, Tensor] | None = None
    ) -> None:
        """Add to the parameters' `.grad` the gradient of energy * E + <slope, e1> + sum_k <left_k, e2 right_k>.

        The graphs are released with it: no other gradient can be asked for afterwards.

        Args:
            energy: cotangent of the energy.
            slope: cotangent of e1 = dE/dx, (rows, N); needs order 1.
            pairs: left and right (K, rows, N), which need order 2; for a pointwise functional all pairs cost no more
                than `rows` of them.
        """
        parameters = [p for p in self.functional.parameters() if p.requires_grad]
        pointwise, parts = self.functional.pointwise, self._open()
        self.parts, self._released = [], True
        if pairs is not None and pointwise:
            pairs = _by_rows(*pairs)
        for points, x, e, e1 in parts:
            total = energy * e
            if slope is not None:
                total = total + (slope[:, points] * e1).sum()
            for left, right in (
                zip(*(direction_batches(p[:, :, points]) for p in pairs), strict=True)
                if pairs is not None
                else ()
            ):
                rows = pullbacks(e1, x, right, create_graph=True)
                if pointwise:
                    total = total + (left * rows).sum()
                else:  # one graph at a time: all pairs' together are K times the memory
                    _accumulate((left * rows).sum(), parameters, retain_graph=True)
            _accumulate(total, parameters)


class _Products:
    """Products with the second derivative of a part of the grid that have a graph, each made once."""

    def __init__(self, e1: Tensor, x: Tensor, pointwise: bool):
        self.e1, self.x, self.pointwise = e1, x, pointwise
        self._rows: list[Tensor] = []
        self._last: tuple[int, Tensor] | None = None

    def contraction(self, left: Tensor, right: Tensor, number: int) -> Tensor:
        """<left, e2 right>, both (rows, n); `number` tells one right from another."""
        if self.pointwise:
            if not self._rows:
                self._rows = [
                    pullbacks(self.e1, self.x, unit[None], create_graph=True)[0] for unit in _units(self.e1)
                ]
            return sum((left * b * row).sum() for b, row in zip(right, self._rows, strict=True))
        if self._last is None or self._last[0] != number:
            self._last = number, pullbacks(self.e1, self.x, right[None], create_graph=True)[0]
        return (left * self._last[1]).sum()


def _units(like: Tensor) -> Tensor:
    """The directions (rows, rows, N) that have one row alone."""
    unit = torch.eye(len(like), dtype=like.dtype, device=like.device)[:, :, None]
    return unit.expand(-1, -1, like.shape[-1])


def _by_rows(left: Tensor, right: Tensor) -> tuple[Tensor, Tensor]:
    """As many pairs (rows, rows, N) as there are rows, with the same sum of <left, e2 right> where e2 is pointwise."""
    contraction = torch.einsum("kig,kjg->jig", left, right)
    return contraction, _units(left[0])


def _accumulate(total: Tensor, parameters: Sequence[Tensor], retain_graph: bool = False) -> None:
    """`total.backward()` without the way to anything but the parameters, which would be half of the work."""
    if not total.requires_grad:
        return
    gradients = torch.autograd.grad(total, parameters, retain_graph=retain_graph, allow_unused=True)
    for parameter, gradient in zip(parameters, gradients, strict=True):
        if gradient is not None:
            parameter.grad = gradient if parameter.grad is None else parameter.grad + gradient

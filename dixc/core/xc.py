"""Derivatives of exchange-correlation functionals: the one place where functionals are differentiated.

A functional is an energy E(x) of density invariants x (`dixc.functionals.base`). With rho the density rows of
`dixc.core.grid`, x is quadratic in rho (sigma_st = grad n_s . grad n_t, all else linear), so
    dE/drho           = x'(rho)^T e1                                e1 = dE/dx
    d2E/drho2 . drho  = x'(rho)^T e2 x'(rho) drho + x''(drho, .)^T e1    e2 = d2E/dx2
and autograd is only asked for e1 and for products with e2. Densities of either spin case are (..., ns, nvar, N) with
ns = 1 (total density of a closed shell) or 2; all derivatives carry the quadrature weights.

Pointwise functionals have an e2 that is a small matrix at each point: it is computed once and kept. Of any other
functional the graph of e1 is kept, and a product is the derivative of <e1, dx> (e2 is symmetric): less than half the
time of differentiating forward over reverse anew for each product. Both are used through `XCExpansion`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from dixc.functionals.activations import sharing
from dixc.functionals.base import Functional, GridPoints

POINTS_AT_ONCE = {"cpu": 20_000, "cuda": 200_000}  # about: parts are of equal size
# directions of a product with the kernel of a functional that is not pointwise: on a CPU one after the other is twice
# as fast (the arrays of one stay in its cache), a GPU wants much work at once
DIRECTIONS_AT_ONCE = {"cpu": 1, "cuda": 16}


def _spin_pairs(ns: int) -> list[tuple[int, int]]:
    return [(s, t) for s in range(ns) for t in range(s, ns)]


def invariants(rho: Tensor) -> Tensor:
    """Invariants (rows, N) of density rows (ns, nvar, N)."""
    rows = list(rho[:, 0])
    if rho.shape[-2] > 1:
        rows += [(rho[s, 1:4] * rho[t, 1:4]).sum(0) for s, t in _spin_pairs(len(rho))]
    if rho.shape[-2] > 4:
        rows += list(rho[:, 4])
    return torch.stack(rows)


def invariants_jvp(rho: Tensor, drho: Tensor) -> Tensor:
    """First variation (..., rows, N) of the invariants for variations drho (..., ns, nvar, N)."""
    ns = rho.shape[0]
    rows = [drho[..., s, 0, :] for s in range(ns)]
    if rho.shape[-2] > 1:
        a, b = rho[:, 1:4], drho[..., 1:4, :]
        rows += [(a[s] * b[..., t, :, :] + a[t] * b[..., s, :, :]).sum(-2) for s, t in _spin_pairs(ns)]
    if rho.shape[-2] > 4:
        rows += [drho[..., s, 4, :] for s in range(ns)]
    return torch.stack(rows, dim=-2)


def invariants_curvature(drho: Tensor, cotangent: Tensor) -> Tensor:
    """x''(drho, .)^T cotangent, (..., ns, nvar, N): the part of x'^T cotangent that changes with rho (sigma rows)."""
    ns, nvar = drho.shape[-3], drho.shape[-2]
    # torch.broadcast_shapes would import sympy, two seconds of every process
    batch = np.broadcast_shapes(drho.shape[:-3], cotangent.shape[:-2])
    out = cotangent.new_zeros(*batch, ns, nvar, drho.shape[-1])
    if nvar > 1:
        for row, (s, t) in enumerate(_spin_pairs(ns), start=ns):
            c = cotangent[..., row : row + 1, :]
            out[..., s, 1:4, :] += c * drho[..., t, 1:4, :]
            out[..., t, 1:4, :] += c * drho[..., s, 1:4, :]
    return out


def invariants_second_variation(left: Tensor, right: Tensor) -> Tensor:
    """x''(left, right) (rows, N) of variations (ns, nvar, N): sigma is quadratic in rho, all else is linear."""
    result, ns = invariants_jvp(left, right), len(left)
    result[:ns] = 0
    result[ns + len(_spin_pairs(ns)) :] = 0
    return result


def invariants_vjp(rho: Tensor, cotangent: Tensor) -> Tensor:
    """x'(rho)^T cotangent, (..., ns, nvar, N), for cotangent (..., rows, N)."""
    ns = rho.shape[-3]
    out = invariants_curvature(rho, cotangent)
    out[..., 0, :] = cotangent[..., :ns, :]
    if rho.shape[-2] > 4:
        out[..., 4, :] = cotangent[..., -ns:, :]
    return out


def _slices(functional: Functional, x: Tensor) -> Iterator[slice]:
    """Pointwise functionals are evaluated part by part to bound memory; others need the whole grid at once."""
    n_points = x.shape[-1]
    parts = max(1, round(n_points / POINTS_AT_ONCE[x.device.type])) if functional.pointwise else 1
    for part in range(parts):
        yield slice(part * n_points // parts, (part + 1) * n_points // parts)


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


class XCExpansion:
    """Energy, potential and second-derivative products of a functional around one density.

    Args:
        functional: any `Functional`.
        rho: density rows (ns, nvar, N), see module header.
        grid: points and weights.
        order: 0 energy, 1 and potential, 2 and products.
        trainable: keep what `backward` needs.

    Attributes:
        energy: E_xc in hartree.
        potential: dE/drho (ns, nvar, N), weights included (order >= 1).
    """

    def __init__(
        self,
        functional: Functional,
        rho: Tensor,
        grid: GridPoints,
        order: int = 1,
        trainable: bool = False,
    ):
        self.functional, self.rho, self.grid = functional, rho, grid
        self.x = invariants(rho)
        self.energy = 0.0
        rows, n_points = self.x.shape
        self._e1 = self.x.new_zeros(rows, n_points)
        cached = order == 2 and functional.pointwise
        self._e2 = self.x.new_zeros(rows, rows, n_points) if cached else None
        self._slope: tuple[Tensor, Tensor] | None = None
        self._graphs: list[tuple[slice, Tensor, Tensor, Tensor | None]] | None = [] if trainable else None
        with sharing(order == 2 or trainable):
            for points in _slices(functional, self.x):
                self._expand(points, order)
        if order >= 1:
            self.potential = invariants_vjp(rho, self._e1)

    def _expand(self, points: slice, order: int) -> None:
        x = self.x[:, points].detach().requires_grad_(order > 0)
        with torch.set_grad_enabled(order > 0 or self._graphs is not None):
            energy = self.functional(x, self.grid.slice(points))
        self.energy += energy.item()
        if order == 0:
            if self._graphs is not None:
                self._graphs.append((points, x, energy, None))
            return
        (e1,) = torch.autograd.grad(energy, x, create_graph=order == 2 or self._graphs is not None)
        self._e1[:, points] = e1.detach()
        if self._graphs is not None:
            self._graphs.append((points, x, energy, e1))
        if self._e2 is None:
            self._slope = (x, e1) if order == 2 else None
            return
        for i in range(len(x)):
            if not e1.requires_grad:  # linear in x: no second derivative
                break
            (row,) = torch.autograd.grad(e1[i].sum(), x, retain_graph=True, materialize_grads=True)
            self._e2[i, :, points] = row

    def _e2_product(self, dx: Tensor) -> Tensor:
        if self._e2 is not None:
            return torch.einsum("ijg,...jg->...ig", self._e2, dx)
        x, e1 = self._slope
        parts = _batches(dx.reshape(-1, *x.shape))
        return torch.cat([_pullbacks(e1, x, part) for part in parts]).reshape(dx.shape)

    def product(self, drho: Tensor) -> Tensor:
        """d2E/drho2 . drho (..., ns, nvar, N) for variations of the same shape."""
        first = invariants_vjp(self.rho, self._e2_product(invariants_jvp(self.rho, drho)))
        return first + invariants_curvature(drho, self._e1)

    def jacobian(
        self,
        energies: Sequence[float],
        slopes: Tensor | None = None,
        pairs: Pairs | None = None,
    ) -> Tensor:
        """Parameter gradients (K, n_parameters) of K quantities energy * E + <slope, e1> + <left, e2 right>, hartree.

        Columns of parameters that are not trained are zero. Of a trainable expansion, before `backward`, which takes
        its graphs.

        Args:
            energies: cotangents of the energy, K of them.
            slopes: cotangents of e1 = dE/dx, (K, rows, N); slopes need order 1.
            pairs: K pairs of left and right; need order 2.
        """
        rows = [torch.zeros(0)] * len(energies)
        parameters = list(self.functional.parameters())
        trained = [p for p in parameters if p.requires_grad]
        for points, x, e, e1 in self._graphs:
            products = _Products(e1, x, self.functional.pointwise)
            for k, energy in enumerate(energies):
                total = energy * e if energy else 0.0
                if slopes is not None:
                    total = total + (slopes[k, :, points] * e1).sum()
                if pairs is not None:
                    number = pairs.which[k]
                    left, right = pairs.left[k, :, points], pairs.right[number, :, points]
                    total = total + products.contraction(left, right, number)
                found = torch.autograd.grad(total, trained, retain_graph=True, allow_unused=True)
                known = {id(p): g for p, g in zip(trained, found, strict=True) if g is not None}
                row = torch.cat([known.get(id(p), torch.zeros_like(p)).flatten() for p in parameters])
                rows[k] = rows[k] + row if len(rows[k]) else row
        return torch.stack(rows)

    def energy_gradient(self) -> Tensor:
        """Gradient of the energy by all parameters, (n_parameters,), hartree: a row of `jacobian`."""
        return self.jacobian([1.0])[0]

    def backward(
        self, energy: float = 0.0, slope: Tensor | None = None, pairs: tuple[Tensor, Tensor] | None = None
    ) -> None:
        """Add to the parameters' `.grad` the gradient of energy * E + <slope, e1> + sum_k <left_k, e2 right_k>.

        A loss of (E, potential, Hessian products) has exactly this gradient with cotangents that are computed without
        any graph; only this contraction is differentiated, and by the parameters alone. To be called once, on a
        trainable expansion; slope needs order 1, pairs order 2.

        Args:
            energy: cotangent of the energy.
            slope: cotangent of e1 = dE/dx, (rows, N).
            pairs: left and right (K, rows, N); for a pointwise functional all pairs cost no more than `rows` of them.
        """
        parameters = [p for p in self.functional.parameters() if p.requires_grad]
        pointwise, graphs, self._graphs = self.functional.pointwise, self._graphs, None
        if pairs is not None and pointwise:
            pairs = _by_rows(*pairs)
        for points, x, e, e1 in graphs:
            total = energy * e
            if slope is not None:
                total = total + (slope[:, points] * e1).sum()
            for left, right in (
                zip(*(_batches(p[:, :, points]) for p in pairs), strict=True) if pairs is not None else ()
            ):
                rows = _pullbacks(e1, x, right, create_graph=True)
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
                    _pullbacks(self.e1, self.x, unit[None], create_graph=True)[0] for unit in _units(self.e1)
                ]
            return sum((left * b * row).sum() for b, row in zip(right, self._rows, strict=True))
        if self._last is None or self._last[0] != number:
            self._last = number, _pullbacks(self.e1, self.x, right[None], create_graph=True)[0]
        return (left * self._last[1]).sum()


def _units(like: Tensor) -> Tensor:
    """The directions (rows, rows, N) that have one row alone."""
    unit = torch.eye(len(like), dtype=like.dtype, device=like.device)[:, :, None]
    return unit.expand(-1, -1, like.shape[-1])


def _batches(directions: Tensor) -> tuple[Tensor, ...]:
    """Directions (K, rows, N) in batches that are best taken together."""
    return directions.split(DIRECTIONS_AT_ONCE[directions.device.type])


def _pullbacks(e1: Tensor, x: Tensor, directions: Tensor, create_graph: bool = False) -> Tensor:
    """d<e1, direction>/dx of each direction, (k, rows, N); the graph of e1 is kept."""
    if not e1.requires_grad:  # linear in x, and without parameters
        return torch.zeros_like(directions)
    one = len(directions) == 1  # without vmap, which costs a few per cent
    (grad,) = torch.autograd.grad(
        e1,
        x,
        directions[0] if one else directions,
        retain_graph=True,
        create_graph=create_graph,
        allow_unused=True,
        is_grads_batched=not one,
    )
    if grad is None:  # linear in x
        return torch.zeros_like(directions)
    return grad[None] if one else grad


def _by_rows(left: Tensor, right: Tensor) -> tuple[Tensor, Tensor]:
    """As many pairs (rows, rows, N) as there are rows, with the same sum of <left, e2 right> where e2 is pointwise."""
    contraction = torch.einsum("kig,kjg->jig", left, right)
    return contraction, _units(left[0])


def _accumulate(total: Tensor, parameters: list[Tensor], retain_graph: bool = False) -> None:
    """`total.backward()` without the way to anything but the parameters, which would be half of the work."""
    if not total.requires_grad:
        return
    gradients = torch.autograd.grad(total, parameters, retain_graph=retain_graph, allow_unused=True)
    for parameter, gradient in zip(parameters, gradients, strict=True):
        if gradient is not None:
            parameter.grad = gradient if parameter.grad is None else parameter.grad + gradient


def density_kernel(expansion: XCExpansion) -> Tensor:
    """Second derivatives (ns * nvar, ns * nvar, N) of a pointwise functional with respect to density rows."""
    ns, nvar, n_points = expansion.rho.shape
    size = ns * nvar
    unit = torch.eye(size, dtype=expansion.rho.dtype, device=expansion.rho.device).reshape(size, ns, nvar, 1)
    return expansion.product(unit.expand(-1, -1, -1, n_points)).reshape(size, size, n_points)

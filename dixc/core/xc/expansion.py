"""Energy, potential and kernel of a functional around a density: the one place where functionals are differentiated.

A functional is an energy E(x) of density invariants x (`dixc.functionals.base`). With rho the density rows of
`dixc.core.grid`,
    dE/drho           = x'(rho)^T e1                                e1 = dE/dx
    d2E/drho2 . drho  = x'(rho)^T e2 x'(rho) drho + x''(drho, .)^T e1    e2 = d2E/dx2
and autograd is only asked for e1 and for products with e2; the rest is `dixc.core.xc.invariants`. All derivatives carry
the quadrature weights.

Pointwise functionals have an e2 that is a small matrix at each point: it is computed once and kept. Of any other
functional the graph of e1 is kept, and a product is the derivative of <e1, dx> (e2 is symmetric): less than half the
time of differentiating forward over reverse anew for each product. Both are used through `XCExpansion`.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from dixc.core.xc.invariants import invariants, invariants_curvature, invariants_jvp, invariants_vjp
from dixc.core.xc.parameter_gradients import ExpandedPart, ParameterGradients
from dixc.core.xc.pullbacks import direction_batches, pullbacks
from dixc.functionals.activations import sharing
from dixc.functionals.base import Functional, GridPoints

POINTS_AT_ONCE = {"cpu": 20_000, "cuda": 200_000}  # about: parts are of equal size


def _slices(functional: Functional, x: Tensor) -> Iterator[slice]:
    """Pointwise functionals are evaluated part by part to bound memory; others need the whole grid at once."""
    n_points = x.shape[-1]
    parts = max(1, round(n_points / POINTS_AT_ONCE[x.device.type])) if functional.pointwise else 1
    for part in range(parts):
        yield slice(part * n_points // parts, (part + 1) * n_points // parts)


class XCExpansion:
    """Energy, potential and second-derivative products of a functional around one density.

    Args:
        functional: any `Functional`.
        rho: density rows (ns, nvar, N), see module header.
        grid: points and weights.
        order: 0 energy, 1 and potential, 2 and products.
        trainable: keep the graphs that parameter gradients need.

    Attributes:
        energy: E_xc in hartree.
        potential: dE/drho (ns, nvar, N), weights included (order >= 1).
        gradients: parameter gradients of what is expanded here; None if not trainable.
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
        self.gradients = ParameterGradients(functional) if trainable else None
        with sharing(order == 2 or trainable):
            for points in _slices(functional, self.x):
                self._expand(points, order)
        if order >= 1:
            self.potential = invariants_vjp(rho, self._e1)

    def _expand(self, points: slice, order: int) -> None:
        x = self.x[:, points].detach().requires_grad_(order > 0)
        with torch.set_grad_enabled(order > 0 or self.gradients is not None):
            energy = self.functional(x, self.grid.slice(points))
        self.energy += energy.item()
        if order == 0:
            self._keep(ExpandedPart(points, x, energy, x.new_zeros(0)))
            return
        (e1,) = torch.autograd.grad(energy, x, create_graph=order == 2 or self.gradients is not None)
        self._e1[:, points] = e1.detach()
        self._keep(ExpandedPart(points, x, energy, e1))
        if self._e2 is None:
            self._slope = (x, e1) if order == 2 else None
            return
        for i in range(len(x)):
            if not e1.requires_grad:  # linear in x: no second derivative
                break
            (row,) = torch.autograd.grad(e1[i].sum(), x, retain_graph=True, materialize_grads=True)
            self._e2[i, :, points] = row

    def _keep(self, part: ExpandedPart) -> None:
        if self.gradients is not None:
            self.gradients.parts.append(part)

    def _e2_product(self, dx: Tensor) -> Tensor:
        if self._e2 is not None:
            return torch.einsum("ijg,...jg->...ig", self._e2, dx)
        assert self._slope is not None, "products need an expansion of second order"
        x, e1 = self._slope
        batches = direction_batches(dx.reshape(-1, *x.shape))
        return torch.cat([pullbacks(e1, x, batch) for batch in batches]).reshape(dx.shape)

    def product(self, drho: Tensor) -> Tensor:
        """d2E/drho2 . drho (..., ns, nvar, N) for variations of the same shape."""
        first = invariants_vjp(self.rho, self._e2_product(invariants_jvp(self.rho, drho)))
        return first + invariants_curvature(drho, self._e1)


def density_kernel(expansion: XCExpansion) -> Tensor:
    """Second derivatives (ns * nvar, ns * nvar, N) of a pointwise functional with respect to density rows."""
    ns, nvar, n_points = expansion.rho.shape
    size = ns * nvar
    unit = torch.eye(size, dtype=expansion.rho.dtype, device=expansion.rho.device).reshape(size, ns, nvar, 1)
    return expansion.product(unit.expand(-1, -1, -1, n_points)).reshape(size, size, n_points)

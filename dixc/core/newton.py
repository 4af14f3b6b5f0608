"""Newton steps with an approximate Hessian: truncated conjugate gradients and secant corrections.

Pure linear algebra on kappa arrays (n_vir, n_occ), see `dixc.grassmann`; energies in hartree, rotations in radians.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from dixc.core.arrays import Array

Product = Callable[[Array], Array]


@dataclass(frozen=True)
class Step:
    """Solution of H kappa = -g, or a descent direction where there is none.

    Attributes:
        kappa: (n_vir, n_occ).
        products: Hessian products spent.
        solved: False if negative curvature was met or the products ran out.
    """

    kappa: Array
    products: int
    solved: bool


def truncated_cg(
    product: Product, gradient: Array, diagonal: Array, rtol: float = 3e-2, max_products: int = 40
) -> Step:
    """H kappa = -g by preconditioned conjugate gradients that never leave the descent directions.

    Where a direction d has no positive curvature, the step ends with kappa + d, as if H were the preconditioner there
    (after Dembo and Steihaug, Math. Program. 26, 190 (1983)); it is for the caller to bound its length.

    Args:
        product: Hessian product.
        gradient: g, (n_vir, n_occ), hartree.
        diagonal: positive preconditioner D, hartree.
        rtol: residual, in the norm (r . D^-1 r)^1/2, relative to that of g.
        max_products: most Hessian products.
    """
    kappa, residual = np.zeros_like(gradient), -gradient
    direction = scaled = residual / diagonal
    error = start = float(np.vdot(residual, scaled))
    for products in range(1, max_products + 1):
        image = product(direction)
        curvature = float(np.vdot(direction, image))
        if curvature <= 0:
            return Step(kappa + direction, products, False)
        length = error / curvature
        kappa, residual = kappa + length * direction, residual - length * image
        scaled = residual / diagonal
        before, error = error, float(np.vdot(residual, scaled))
        if error <= rtol**2 * start:
            return Step(kappa, products, True)
        direction = scaled + error / before * direction
    return Step(kappa, max_products, False)


def bounded(kappa: Array, radius: float) -> Array:
    """`kappa` scaled so that no element exceeds `radius` (radians): a bound that does not tighten with size."""
    return kappa * min(1.0, radius / max(float(np.abs(kappa).max()), 1e-300))


class Secants:
    """BFGS corrections of an inverse Hessian by what the true gradient did on earlier steps.

    The pairs (s, y) = (step, change of gradient) are kept in coordinates of the moving orbital frame: rotating C by
    exp(K) carries tangent vectors along the geodesic without changing their coordinates, so no pair ever has to be
    transformed. With no pair the correction is the identity. (Nocedal, Math. Comp. 35, 773 (1980), with the
    approximate Hessian's inverse in place of its scaled identity.)
    """

    def __init__(self, max_pairs: int = 6):
        self.max_pairs = max_pairs
        self._pairs: list[tuple[Array, Array]] = []

    def add(self, step: Array, change: Array) -> None:
        """Remember a step and the change of the gradient along it; pairs without positive curvature are dropped."""
        if self.max_pairs and np.vdot(step, change) > 1e-8 * np.linalg.norm(step) * np.linalg.norm(change):
            self._pairs = [*self._pairs, (step, change)][-self.max_pairs :]

    def clear(self) -> None:
        """Forget all pairs: the frame has changed."""
        self._pairs = []

    def apply(self, inverse: Product, gradient: Array) -> Array:
        """The corrected inverse on a gradient; `inverse` (approximate H^-1) is applied once."""
        residual, weights = gradient.copy(), []
        for step, change in reversed(self._pairs):
            weights.append(np.vdot(step, residual) / np.vdot(step, change))
            residual -= weights[-1] * change
        result = inverse(residual)
        for (step, change), weight in zip(self._pairs, reversed(weights), strict=True):
            result = result + step * (weight - np.vdot(change, result) / np.vdot(step, change))
        return result

"""What happens to the residuals of a term: one gradient of half their square, or rows of their Jacobian.

Each term of the loss is half the square of residuals r, and hands over directions u in their space with the cotangents
of u . r. `GradientSink` wants one direction, r itself, which gives the gradient of the term. `JacobianSink` wants a few
rows of the Jacobian: that along r, which is exact, and those along random directions orthogonal to it, scaled so that
the sum of their squares is what all of them would have on average. They say how fast r could change elsewhere, where it
is zero now: curvature that a step has to reckon with.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import numpy as np
import torch
from torch import Tensor

from dixc.core.arrays import Array
from dixc.core.xc.expansion import XCExpansion
from dixc.core.xc.parameter_gradients import Pairs, ParameterGradients

if TYPE_CHECKING:
    from dixc.training.terms.term import Cotangents


class Sink(Protocol):
    """Takes residuals and the cotangents of which they are made."""

    def directions(self, residuals: Array, count: int | None = None) -> tuple[Array, Array]:
        """Directions u (K, ...) in the space of residuals (...), and u . r of each, (K,).

        Args:
            residuals: r.
            count: K, where it is to differ from the usual.
        """

    def add(self, expansion: XCExpansion, cotangents: Cotangents, pairs: Pairs | None = None) -> None:
        """Take K residuals with their cotangents, those of second derivatives in `pairs`."""


class GradientSink:
    """Adds the gradient of half the square to the parameters' `.grad`."""

    def directions(self, residuals: Array, count: int | None = None) -> tuple[Array, Array]:
        """As of `Sink`; here it is one in any case."""
        return residuals[None], np.ones(1)

    def add(self, expansion: XCExpansion, cotangents: Cotangents, pairs: Pairs | None = None) -> None:
        """As of `Sink`."""
        factors = torch.as_tensor(cotangents.residuals, device=expansion.rho.device)
        slopes = cotangents.slopes
        slope = None if slopes is None else torch.einsum("k,k...->...", factors, slopes)
        both = None
        if pairs is not None:
            both = factors[:, None, None] * pairs.left, pairs.right[list(pairs.which)]
        energy = float(np.dot(cotangents.residuals, cotangents.energies))
        gradients_of(expansion).backward(energy=energy, slope=slope, pairs=both)


class JacobianSink:
    """Collects rows of the Jacobian of all residuals.

    Args:
        count: rows of a term.
        rng: of the random directions.
    """

    def __init__(self, count: int, rng: np.random.Generator):
        self.count, self.rng = count, rng
        self._rows: list[Tensor] = []
        self._residuals: list[Array] = []

    def directions(self, residuals: Array, count: int | None = None) -> tuple[Array, Array]:
        """As of `Sink`, the first along the residuals."""
        flat, count = residuals.ravel(), count or self.count
        norm = np.linalg.norm(flat)
        others = self.rng.standard_normal((min(count, flat.size) - 1, flat.size))
        first = flat / norm if norm > 0 else np.eye(1, flat.size)[0]
        orthogonal, _ = np.linalg.qr(np.vstack([first, others]).T)
        directions = orthogonal.T * np.sqrt((flat.size - 1) / max(1, len(others)))
        directions[0] = first
        values = np.zeros(len(directions))
        values[0] = norm
        return directions.reshape(-1, *residuals.shape), values

    def add(self, expansion: XCExpansion, cotangents: Cotangents, pairs: Pairs | None = None) -> None:
        """As of `Sink`."""
        rows = gradients_of(expansion).jacobian(cotangents.energies, cotangents.slopes, pairs)
        self._rows.append(rows.detach().cpu())
        self._residuals.append(np.asarray(cotangents.residuals, dtype=float))

    def collected(self) -> tuple[Tensor, Tensor]:
        """Rows (K, n_parameters) and residuals (K,), float64, of all terms so far."""
        return torch.cat(self._rows), torch.from_numpy(np.concatenate(self._residuals))


def gradients_of(expansion: XCExpansion) -> ParameterGradients:
    """Parameter gradients of an expansion that was made trainable."""
    if expansion.gradients is None:
        raise RuntimeError("parameter gradients of an expansion that was made without `trainable`")
    return expansion.gradients

"""What happens to the residuals of a term: one gradient of half their square, or rows of their Jacobian.

Each term of the loss is half the square of residuals r, and hands over directions u in their space with the cotangents
of u . r. `Accumulated` wants one direction, r itself, which gives the gradient of the term. `Sketch` wants a few rows
of the Jacobian: that along r, which is exact, and those along random directions orthogonal to it, scaled so that the
sum of their squares is what all of them would have on average. They say how fast r could change elsewhere, where it is
zero now: curvature that a step has to reckon with.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dixc.core.xc import Pairs, XCExpansion


class Accumulated:
    """Adds the gradient of half the square to the parameters' `.grad`."""

    def of(self, residuals: NDArray, count: int | None = None) -> tuple[NDArray, NDArray]:
        """Directions (K, ...) in the space of residuals (...), and u . r of each (K,); here one in any case."""
        return residuals[None], np.ones(1)

    def add(
        self,
        expansion: XCExpansion,
        residuals: NDArray,
        energies: Sequence[float],
        slopes: Tensor | None = None,
        pairs: Pairs | None = None,
    ) -> None:
        """Take K residuals and the cotangents of which they are made, see `XCExpansion.jacobian`."""
        factors = torch.as_tensor(residuals, device=expansion.rho.device)
        slope = None if slopes is None else torch.einsum("k,k...->...", factors, slopes)
        both = None
        if pairs is not None:
            both = factors[:, None, None] * pairs.left, pairs.right[list(pairs.which)]
        expansion.backward(energy=float(np.dot(residuals, energies)), slope=slope, pairs=both)


class Sketch:
    """Collects rows of the Jacobian of all residuals.

    Args:
        count: rows of a term.
        rng: of the random directions.
    """

    def __init__(self, count: int, rng: np.random.Generator):
        self.count, self.rng = count, rng
        self._rows: list[Tensor] = []
        self._residuals: list[NDArray] = []

    def of(self, residuals: NDArray, count: int | None = None) -> tuple[NDArray, NDArray]:
        """As `Accumulated.of`, the first along the residuals; `count` of them where it is to differ from the usual."""
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

    def add(
        self,
        expansion: XCExpansion,
        residuals: NDArray,
        energies: Sequence[float],
        slopes: Tensor | None = None,
        pairs: Pairs | None = None,
    ) -> None:
        """As `Accumulated.add`."""
        self._rows.append(expansion.jacobian(energies, slopes, pairs).detach().cpu())
        self._residuals.append(np.asarray(residuals, dtype=float))

    def collected(self) -> tuple[Tensor, Tensor]:
        """Rows (K, n_parameters) and residuals (K,), float64, of all terms so far."""
        return torch.cat(self._rows), torch.from_numpy(np.concatenate(self._residuals))


def chosen(backward: bool, sketch: Sketch | None) -> Accumulated | Sketch | None:
    """Who takes the residuals of a term: a sketch, `.grad`, or nobody."""
    return sketch or (Accumulated() if backward else None)

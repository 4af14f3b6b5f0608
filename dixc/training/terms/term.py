"""What a term of the loss is: a value, and residuals of which half the square is what a step reduces.

A pseudo-Huber term has the gradient of half the square of a reweighted error: `huber_weight` gives the weight.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from dixc.core.arrays import Array


@dataclass(frozen=True)
class TermValue:
    """A term's value before and after its weight; `raw` in `unit`."""

    name: str
    raw: float
    weighted: float
    unit: str


@dataclass(frozen=True)
class Cotangents:
    """Combinations u . r of a term's residuals, as linear forms of what an expansion has.

    Attributes:
        residuals: values of u . r, (K,).
        energies: cotangents of the energy, (K,).
        slopes: cotangents of e1 = dE/dx, (K, rows, N); None for zero.
    """

    residuals: Array
    energies: Sequence[float]
    slopes: Tensor | None = None


def merged(cotangents: Sequence[Cotangents], x: Tensor) -> Cotangents:
    """All of them as one, in their order; x are the invariants (rows, N) of their expansion."""
    slopes = []
    for form in cotangents:
        count = len(form.residuals)
        slopes.append(x.new_zeros(count, *x.shape) if form.slopes is None else form.slopes)
    return Cotangents(
        np.concatenate([form.residuals for form in cotangents]),
        [energy for form in cotangents for energy in form.energies],
        torch.cat(slopes),
    )


def pseudo_huber(error: Any, delta: float) -> tuple[Any, Any]:
    """delta (sqrt(1 + (error/delta)^2) - 1), quadratic below delta and linear above, and its slope."""
    root = np.sqrt(1 + (error / delta) ** 2)
    return delta * (root - 1), error / (delta * root)


def huber_weight(error: Any, weight: float, delta: float) -> Any:
    """w with 1/2 (w error)^2 having the slope of weight * pseudo_huber(error, delta) if w is held fixed."""
    return np.sqrt(weight / (delta * np.sqrt(1 + (error / delta) ** 2)))

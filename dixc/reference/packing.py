"""Symmetric matrices as their lower triangles in single precision, which is how they are stored."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def pack(matrix: NDArray) -> NDArray:
    """Lower triangle of a symmetric matrix in float32."""
    return matrix[np.tril_indices(len(matrix))].astype(np.float32)


def unpack(triangle: NDArray) -> NDArray:
    """The symmetric float64 matrix whose lower triangle `pack` made."""
    size = int((np.sqrt(8 * len(triangle) + 1) - 1) / 2)
    matrix = np.zeros((size, size))
    matrix[np.tril_indices(size)] = triangle
    return matrix + np.tril(matrix, -1).T

"""Exact exchange in the monopole approximation: an exchange response for where a crude one will do.

In symmetrically orthogonalised orbitals the two-electron integrals are replaced by (mn|kl) = d_mn d_kl G_mk, so
exchange is a product by elements: K[D]_mk = G_mk D_mk. (Zero differential overlap; simplified TDA makes the same step
for its exchange integrals, S. Grimme, J. Chem. Phys. 138, 244104 (2013).) G_mk = (mm|kk) of the atomic orbitals
themselves is taken from density-fitted integrals, which hold it as a product of two thin matrices. Cost N^3, without
any integral.
"""

from __future__ import annotations

import numpy as np
import scipy.linalg
from numpy.typing import NDArray


class MonopoleExchange:
    """Approximate exchange matrices of one molecule.

    Args:
        overlap: (nao, nao).
        with_df: PySCF density-fitting object.
    """

    def __init__(self, overlap: NDArray, with_df):
        values, vectors = scipy.linalg.eigh(overlap)
        self.root = (vectors * np.sqrt(np.maximum(values, 0.0))) @ vectors.T
        index = np.arange(len(overlap))
        packed = index * (index + 1) // 2 + index
        self.repulsion = np.zeros_like(overlap)
        for block in with_df.loop():
            self.repulsion += block[:, packed].T @ block[:, packed]

    def __call__(self, dm: NDArray) -> NDArray:
        """K (..., nao, nao), hartree, of symmetric density matrices of the same shape."""
        return self.root @ (self.repulsion * (self.root @ dm @ self.root)) @ self.root

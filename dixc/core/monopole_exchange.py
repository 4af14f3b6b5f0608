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
from pyscf import df

from dixc.core.arrays import Array


class MonopoleExchange:
    """Approximate exchange matrices of one molecule, an `Exchange` (`dixc.core.two_electron`).

    Args:
        overlap: (nao, nao).
        with_df: PySCF density-fitting object.
        coefficient: fraction of this exchange in the functional.
    """

    def __init__(self, overlap: Array, with_df: df.DF, coefficient: float):
        self.coefficient = coefficient
        values, vectors = scipy.linalg.eigh(overlap)
        self.root = (vectors * np.sqrt(np.maximum(values, 0.0))) @ vectors.T
        index = np.arange(len(overlap))
        packed = index * (index + 1) // 2 + index
        self.repulsion = np.zeros_like(overlap)
        for block in with_df.loop():
            self.repulsion += block[:, packed].T @ block[:, packed]

    def get_k(self, dm: Array, hermi: int = 1) -> Array:
        """K (..., nao, nao), hartree, of density matrices of the same shape; symmetry is kept, whatever it is."""
        return self.root @ (self.repulsion * (self.root @ dm @ self.root)) @ self.root

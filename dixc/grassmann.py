"""Orbital rotations of a mean field: energy, gradient and Hessian products on the manifold of density matrices.

The public face of `dixc.core.state`, which has the equations, for a closed shell of PySCF or dixc.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dixc.errors import InputError
from dixc.pyscf.hamiltonian import state_of


class OrbitalRotations:
    """Energy, gradient and Hessian products for a PySCF or dixc closed-shell RKS/RHF, converged or not.

    Rows and columns of kappa follow mo_coeff's columns as mo_occ marks them; mo_energy is never used. Everything is
    evaluated at the orbitals the mean field had when this object was made.

    Args:
        mf: mean field with `mo_coeff` and `mo_occ`.

    Attributes:
        state: the orbitals on the mean field's Hamiltonian (`dixc.core.state.State`).

    Raises:
        InputError: no orbitals yet, or not a closed-shell restricted mean field.
    """

    def __init__(self, mf):
        if mf.mo_coeff is not None and np.ndim(mf.mo_coeff) != 2:
            raise InputError("orbital rotations need a restricted mean field (RKS or RHF)")
        self.mf, self.state = mf, state_of(mf)

    @property
    def orbo(self) -> NDArray:
        """Occupied orbitals (nao, n_occ)."""
        return self.state.orbo

    @property
    def orbv(self) -> NDArray:
        """Virtual orbitals (nao, n_vir)."""
        return self.state.orbv

    def energy(self, kappa: ArrayLike) -> float:
        """Total energy E(kappa) in hartree at C exp(K)."""
        return self.state.rotated(np.asarray(kappa, dtype=float)).energy

    def gradient(self) -> NDArray:
        """dE/dkappa, (n_vir, n_occ), hartree."""
        return self.state.gradient()

    def hvp(self, kappa: ArrayLike) -> NDArray:
        """Hessian product H kappa, same shape as kappa (..., n_vir, n_occ), hartree."""
        return self.state.hvp(np.asarray(kappa, dtype=float))

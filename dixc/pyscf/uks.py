"""Unrestricted Kohn-Sham mean field of PySCF on a dixc functional, for open shells and even-electron molecules alike.

An ordinary `pyscf.dft.uks.UKS`, with the NumInt and the response of `dixc.pyscf.rks`. Spin is the leading axis of the
arrays; nothing here asks for the molecule's spin.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from pyscf.dft import uks

from dixc.errors import InputError
from dixc.pyscf.mean_field import KohnSham
from dixc.pyscf.rks import RKS


class UKS(KohnSham, uks.UKS):
    """Unrestricted Kohn-Sham with a dixc functional; arguments as of `dixc.pyscf.RKS`, any molecule."""

    def to_uks(self, xc=None):
        """A copy; with another functional if one is named."""
        return self._as(UKS, UKS, xc)

    def to_rks(self, xc=None):
        """The restricted mean field with the alpha orbitals of this solution, on the same functional or another one.

        Raises:
            InputError: open shell.
        """
        if self.mol.spin != 0:
            raise InputError(f"an open shell (spin {self.mol.spin}) has no closed-shell RKS")
        mf = self._as(UKS, RKS, xc)
        if mf.mo_coeff is not None:
            mf.mo_coeff, mf.mo_energy, mf.mo_occ = mf.mo_coeff[0], mf.mo_energy[0], 2 * mf.mo_occ[0]
        return mf

    def gen_response(
        self, mo_coeff=None, mo_occ=None, with_j=True, hermi=0, max_memory=None, with_nlc=True
    ) -> Callable[[NDArray], NDArray]:
        """First-order change (2, ..., nao, nao) of the Fock matrices for one of the density matrices, PySCF's contract.

        Args:
            with_j: whether the Coulomb matrix responds.
            hermi: symmetry of the density matrices to come: 1 symmetric, 0 none, 2 antisymmetric.

        Raises:
            InputError: fractional occupations.
        """
        xc = None
        if hermi != 2:
            mo_coeff = self.mo_coeff if mo_coeff is None else mo_coeff
            mo_occ = np.asarray(self.mo_occ if mo_occ is None else mo_occ)
            if not np.isin(mo_occ, (0, 1)).all():
                raise InputError("the response needs occupations 0 and 1 (no smearing)")
            occupied = [c[:, occ > 0] for c, occ in zip(mo_coeff, mo_occ, strict=True)]
            grid, expansion = self._numint.spin_expansion(self.mol, self.grids, occupied)

            def xc(dm1: NDArray) -> NDArray:
                rho1 = grid.density(dm1).movedim(0, -3)
                return grid.potential_matrix(expansion.product(rho1).movedim(-3, 0))

        return self._response(xc, hermi, coulomb=with_j)

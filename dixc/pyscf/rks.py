"""Closed-shell Kohn-Sham mean field of PySCF on a dixc functional.

An ordinary `pyscf.dft.rks.RKS`: SCF, second-order SCF, density fitting, TDA/TDDFT (singlet and triplet), scanners and
checkpoints are PySCF's own. Two things differ: the NumInt (`dixc.pyscf.numint`), and the response function, which
comes from the same expansion of the functional that every derivative in dixc uses.
"""

from __future__ import annotations

from collections.abc import Callable
from os import PathLike

import numpy as np
import torch
from numpy.typing import NDArray
from pyscf.dft import rks

from dixc.core.orbitals import split_orbitals
from dixc.core.xc.expansion import XCExpansion
from dixc.functionals.base import Functional
from dixc.models import DEFAULT
from dixc.pyscf.cautions import require_closed_shell
from dixc.pyscf.mean_field import KohnSham


class RKS(KohnSham, rks.RKS):
    """Restricted Kohn-Sham with a dixc functional.

    Args:
        mol: PySCF molecule with a closed shell.
        xc: what `KohnSham` takes.

    Raises:
        InputError: open shell, or as `KohnSham`.
    """

    def __init__(self, mol, xc: Functional | str | PathLike[str] = DEFAULT):
        require_closed_shell(mol)
        super().__init__(mol, xc)

    def build(self, mol=None):
        require_closed_shell(self.mol if mol is None else mol)
        return super().build(mol)

    def to_rks(self, xc=None):
        """A copy; with another functional if one is named."""
        return self._as(RKS, RKS, xc)

    def to_uks(self, xc=None):
        """The unrestricted mean field of this solution, on the same functional or another one."""
        from dixc.pyscf.uks import UKS

        mf = self._as(RKS, UKS, xc)
        if mf.mo_coeff is not None:
            mf.mo_coeff, mf.mo_energy = np.stack([mf.mo_coeff] * 2), np.stack([mf.mo_energy] * 2)
            mf.mo_occ = np.stack([mf.mo_occ / 2] * 2)
        return mf

    def gen_response(
        self, mo_coeff=None, mo_occ=None, singlet=None, hermi=0, max_memory=None, with_nlc=True
    ) -> Callable[[NDArray], NDArray]:
        """First-order change of the Fock matrix as a function of that of the density matrix, PySCF's contract.

        Args:
            singlet: None or True for singlet, False for triplet excitations.
            hermi: symmetry of the density matrices to come: 1 symmetric, 0 none, 2 antisymmetric.
        """
        mo_coeff = self.mo_coeff if mo_coeff is None else mo_coeff
        orbo, _ = split_orbitals(np.asarray(mo_coeff), self.mo_occ if mo_occ is None else mo_occ)
        triplet = singlet is False
        xc = None
        if hermi != 2:
            grid, expansion = self._numint.expansion(self.mol, self.grids, orbo, spin_resolved=triplet)

            def xc(dm1: NDArray) -> NDArray:
                return grid.potential_matrix(closed_shell_change(expansion, grid.density(dm1)))

        return self._response(xc, hermi, coulomb=not triplet)


def closed_shell_change(expansion: XCExpansion, rho1: torch.Tensor) -> torch.Tensor:
    """Change of the XC potential rows (..., nvar, N) for a change rho1 (..., nvar, N) of the total density.

    A spin-resolved expansion (ns = 2) gives the triplet response: rho1/2 is added to one spin and taken from the other.
    """
    if len(expansion.rho) == 1:
        return expansion.product(rho1.unsqueeze(-3))[..., 0, :, :]
    opposite = torch.stack([rho1, -rho1], dim=-3) / 2
    return expansion.product(opposite)[..., 0, :, :]

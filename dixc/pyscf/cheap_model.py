"""The cheap functional behind an accelerated mean field: its own SCF, and its Hessian at any orbitals.

It shares the one-electron Hamiltonian of the mean field that it serves, so external fields, effective core potentials
and relativistic corrections are the same. Coulomb matrices are density-fitted and the grid is a coarse one by default:
both only enter the starting point and the Hessian, never the energy or gradient of the answer.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from pyscf import df

from dixc.functionals.base import Functional
from dixc.grassmann import OrbitalHessian, split_orbitals
from dixc.pyscf.rks import RKS
from dixc.response import expansion_response

CONV_TOL, CONV_TOL_GRAD = 1e-5, 1e-3  # far below the distance between the two functionals' solutions


class CheapModel:
    """A dixc functional on the molecule of a mean field.

    Args:
        mf: the mean field to be accelerated.
        functional: the cheap functional.
        grid_level: PySCF level of its grid; that of `mf` if None.
        fit_coulomb: density-fitted instead of exact Coulomb matrices.

    Attributes:
        fock_builds: Fock builds of the functional so far.
        mf: its mean field.
    """

    def __init__(self, mf, functional: Functional, grid_level: int | None, fit_coulomb: bool):
        cheap = RKS(mf.mol, xc=functional)
        cheap.verbose, cheap.stdout, cheap.max_memory = max(0, mf.verbose - 2), mf.stdout, mf.max_memory
        cheap.chkfile, cheap.init_guess, cheap.max_cycle = None, mf.init_guess, mf.max_cycle
        cheap.conv_tol, cheap.conv_tol_grad, cheap.conv_check = CONV_TOL, CONV_TOL_GRAD, False
        cheap.small_rho_cutoff = 0
        if grid_level is not None:
            cheap.grids.level = grid_level
        elif hasattr(mf, "grids"):
            cheap.grids = mf.grids
        fitted = getattr(mf, "with_df", None)
        if fitted is not None or fit_coulomb:
            cheap = _density_fitted(cheap, fitted)
        else:
            cheap._eri, cheap.direct_scf = mf._eri, mf.direct_scf
        self.hcore = np.asarray(mf.get_hcore())
        cheap.get_hcore = lambda *args: self.hcore
        self.mf, self.functional, self.fock_builds = cheap, functional, 0

    def orbitals(self, dm0: NDArray | None = None) -> tuple[NDArray, NDArray] | None:
        """Occupied and virtual orbitals of the functional's own SCF, from `dm0` or PySCF's guess.

        None if that SCF does not converge.
        """
        try:
            self.mf.kernel(dm0=dm0)
        except (ValueError, np.linalg.LinAlgError):  # how an infinite Fock matrix shows
            return None
        finally:
            self.fock_builds += getattr(self.mf, "cycles", 0) + 1
        return split_orbitals(self.mf.mo_coeff, self.mf.mo_occ) if self.mf.converged else None

    def hessian(self, orbo: NDArray, orbv: NDArray) -> OrbitalHessian:
        """The functional's Hessian at these orbitals; one Fock build without exact exchange."""
        self.fock_builds += 1
        cheap, hybrid = self.mf, self.functional.exact_exchange
        grid, expansion = cheap._numint.expansion(cheap.mol, cheap.grids, orbo)
        vj, vk = cheap.get_jk(dm=2 * orbo @ orbo.T, hermi=1, with_k=hybrid != 0)
        coulomb = vj if hybrid == 0 else vj - 0.5 * hybrid * vk
        fock = self.hcore + coulomb + grid.potential_matrix(expansion.potential[0])
        response = expansion_response(grid, expansion, orbo, cheap.get_jk, hybrid)
        return OrbitalHessian(orbo, orbv, fock, response)


def _density_fitted(cheap: RKS, fitted):
    """`cheap` on the fitted integrals that exist already, or on PySCF's Coulomb-fitting basis for this molecule."""
    if fitted is not None:
        return cheap.density_fit(with_df=fitted)
    cheap = cheap.density_fit(auxbasis=df.make_auxbasis(cheap.mol, xc="pbe"))
    cheap.with_df.build()  # else PySCF makes the integrals again for every Coulomb matrix
    return cheap

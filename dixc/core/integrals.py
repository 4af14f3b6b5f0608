"""Two-electron integrals in memory: exact ones, and density-fitted ones made exact at a reference density.

Whatever stays near a known density P0 needs no four-centre integrals. With J' and K' of density fitting and the
differences dJ = J[P0] - J'[P0], dK likewise, the energy

    E_J[P] = 1/2 Tr P J'[P] + Tr (P - P0/2) dJ          (a functional with exact exchange a: dJ - a/2 dK for dJ)

has the exact value and gradient at P0, and is off by the fitting error of P - P0 elsewhere: less than a microhartree
at the densities of other functionals. The additional terms are a one-electron operator and a constant.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from pyscf import df, lib
from pyscf.df import df_jk
from pyscf.gto import Mole
from pyscf.lib import pack_tril
from pyscf.scf import hf

from dixc.core.arrays import Array

# Coulomb and exchange matrices
JK = tuple[Array | None, Array | None]

ERROR_NAMES = ("coulomb_error", "exchange_error")  # datasets of a reference record


class ExactIntegrals:
    """Coulomb and exchange matrices from four-centre integrals."""

    def __init__(self, mol: Mole):
        self._eri = mol.intor("int2e", aosym="s8")

    def get_jk(self, dm: Array, hermi: int = 1, with_j: bool = True, with_k: bool = False) -> JK:
        """J and K of density matrices (..., nao, nao), hartree; None for what is not wanted."""
        return hf.dot_eri_dm(self._eri, dm, hermi=hermi, with_j=with_j, with_k=with_k)


class FittedIntegrals:
    """Coulomb and exchange matrices in PySCF's Coulomb- and exchange-fitting basis for a molecule.

    Args:
        mol: PySCF molecule.
        fitting: PySCF's density-fitting object, if there is one already, in whatever basis.

    Attributes:
        df: the density-fitting object, built.
    """

    def __init__(self, mol: Mole, fitting: df.DF | None = None):
        self.df = fitting or df.DF(mol, auxbasis=df.make_auxbasis(mol, xc="hf")).build()

    def get_jk(self, dm: Array, hermi: int = 1, with_j: bool = True, with_k: bool = False) -> JK:
        """J' and K' of density matrices (..., nao, nao), hartree; None for what is not wanted."""
        return df_jk.get_jk(self.df, np.asarray(dm), hermi=hermi, with_j=with_j, with_k=with_k)

    def pairs(self, orbo: Array, orbv: Array) -> Array:
        """(ai|bj) over pairs (a, i) of virtual (nao, nvir) and occupied (nao, nocc) orbitals, hartree."""
        size = orbo.shape[1] * orbv.shape[1]
        return np.asarray(self.df.ao2mo((orbv, orbo, orbv, orbo), compact=False)).reshape(size, size)

    def megabytes(self) -> float:
        """Size of the fitted integrals."""
        nao = self.df.mol.nao
        return 8e-6 * self.df.get_naoaux() * nao * (nao + 1) / 2

    def errors(self, dm: Array, vj: Array, vk: Array) -> dict[str, Array]:
        """dJ and dK of a density matrix whose exact J and K are given: lower triangles in float32, hartree."""
        exact_and_fitted = zip((vj, vk), self.get_jk(dm, with_k=True), strict=True)
        errors = [pack_tril(exact - fitted).astype(np.float32) for exact, fitted in exact_and_fitted]
        return dict(zip(ERROR_NAMES, errors, strict=True))


def coulomb_fitting(mol: Mole) -> df.DF:
    """Integrals in PySCF's Coulomb-fitting basis, built: two thirds of the functions of `FittedIntegrals`."""
    with lib.temporary_env(mol, verbose=0):  # it is no news that a basis has no fitting basis of its own
        fitting = df.DF(mol, auxbasis=df.make_auxbasis(mol, xc="pbe"))
        return fitting.build()  # else PySCF makes the integrals again for every Coulomb matrix


def on_fitted_integrals(mf: Any, integrals: FittedIntegrals, operator: Array, constant: float) -> Any:
    """A mean field on fitted integrals with the terms that make it exact at a reference density.

    Args:
        mf: PySCF or dixc mean field.
        operator: one-electron operator (nao, nao), hartree.
        constant: hartree.
    """
    hcore, energy_nuc = mf.get_hcore() + operator, mf.energy_nuc() + constant
    mf = mf.density_fit(with_df=integrals.df)
    mf.get_hcore = lambda *args: hcore
    mf.energy_nuc = lambda *args: energy_nuc
    return mf

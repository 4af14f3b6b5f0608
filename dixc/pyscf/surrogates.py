"""What stands for a mean field between two of its exact Fock builds.

After one exact build at orbitals C the energy E and the Fock matrix F are known there. A surrogate has the same energy
and the same Fock matrix at C, and is cheap elsewhere, so its minimum is near that of the mean field:

    E_s[P] = E'[P] + (E - E'[P0]) + Tr (F - F'[P0]) (P - P0)

for any other energy E'[P]; P0 is the density matrix of C. What is lost is E - E' beyond first order in P - P0.

- `FittedSurrogate`: E' is the mean field's own energy with density-fitted integrals on a coarse grid. Its SCF is
  PySCF's.
- `FunctionalSurrogate`: E' is that of a functional, to second order: E - 1/2 g . H^-1 g with the functional's Hessian H
  (`dixc.pyscf.cheap_model`). No exchange matrix but the exact one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from pyscf import df, lib
from pyscf.dft import gen_grid, numint, rks
from pyscf.lib import logger

from dixc.core.integrals import coulomb_fitting
from dixc.core.newton import bounded, truncated_cg
from dixc.core.orbitals import canonical_orbitals, rotate, split_orbitals
from dixc.core.state import LEAST_DIAGONAL, State
from dixc.pyscf.cheap_model import CheapModel
from dixc.pyscf.exchange import range_separation
from dixc.pyscf.hybrid_steps import MAX_ROTATION
from dixc.pyscf.numint import GridNumInt

# of a surrogate's own minimum: this share of the correction that the point's gradient foretells, within these bounds
CONV_SHARE, TIGHTEST, LOOSEST = 1e-5, 1e-12, 1e-9  # hartree
MAX_CYCLE = 50
RTOL = 3e-3  # of conjugate gradients: what is left costs a hundred-thousandth of the correction
# names on a mean field that belong to its exact builds or to a run
NOT_SHARED = ("get_veff", "callback", "chkfile", "_chkfile", "_eri")


@dataclass(frozen=True)
class Minimum:
    """Where a surrogate's energy is least.

    Attributes:
        energy: total energy there, hartree.
        mo_energy, mo_coeff, mo_occ: canonical orbitals of the surrogate's Fock matrix, occupied ones first.
        found: whether it was found; if not, the last orbitals are given.
    """

    energy: float
    mo_energy: NDArray
    mo_coeff: NDArray
    mo_occ: NDArray
    found: bool

    @property
    def orbitals(self) -> tuple[NDArray, NDArray]:
        """Occupied and virtual orbitals."""
        return split_orbitals(self.mo_coeff, self.mo_occ)


class Surrogate(Protocol):
    """A cheap energy that is exact to first order at a point.

    Attributes:
        products: Hessian products of a functional spent.
    """

    products: int

    def minimum(self, point: State) -> Minimum:
        """The minimum of the surrogate of this point."""


class FittedVeff:
    """Mixin in front of a fitted mean field: a two-electron potential of its own.

    The mean field's class may have a get_veff that counts exact builds, or somebody's changes of it; the surrogate has
    their effect to first order, and its own builds are none of theirs.
    """

    def get_veff(self, mol=None, dm=None, dm_last=0, vhf_last=0, hermi=1):
        """PySCF's potential of a Kohn-Sham or Hartree-Fock mean field, and that of a solvent."""
        mol = self.mol if mol is None else mol
        dm = self.make_rdm1() if dm is None else dm
        if isinstance(self, rks.KohnShamDFT):
            vhf = rks.get_veff(self, mol, dm, dm_last, vhf_last, hermi)
        else:
            vj, vk = self.get_jk(mol, dm, hermi)
            vhf = vj - 0.5 * vk
        solvent = getattr(self, "with_solvent", None)
        if solvent is None:
            return vhf
        if not solvent.frozen:
            solvent.e, solvent.v = solvent.kernel(dm)
        return lib.tag_array(vhf, e_solvent=solvent.e, v_solvent=solvent.v)


class FittedSurrogate:
    """A mean field on density-fitted integrals and a coarse grid, exact to first order at a point.

    Args:
        mf: the plain mean field.
        with_df: PySCF's density-fitting object; a Coulomb-fitting basis will do.
        grid_level: PySCF's grid level, or None: the mean field's own grid, which is also taken if it is as coarse.
            Range-separated functionals and meta-GGAs get level 1 at least.
    """

    def __init__(self, mf, with_df: df.DF, grid_level: int | None):
        fitted = mf.undo_sgx() if hasattr(mf, "undo_sgx") else mf.copy()
        for name in NOT_SHARED:
            fitted.__dict__.pop(name, None)
        fitted._eri = fitted.chkfile = None
        if getattr(fitted, "with_solvent", None) is not None:
            fitted.with_solvent = fitted.with_solvent.copy()
        if hasattr(fitted, "grids"):
            if grid_level is not None and max(grid_level, _least_level(mf)) < mf.grids.level:
                grid_level = max(grid_level, _least_level(mf))
                fitted.grids = gen_grid.Grids(fitted.mol)
                fitted.grids.level, fitted.grids.verbose = grid_level, 0
            fitted._numint = _on_kept_orbitals(fitted._numint)
        if getattr(fitted, "with_df", None) is None:
            fitted = fitted.density_fit(with_df=with_df)
        fitted.only_dfj = False
        fitted = lib.set_class(fitted, (FittedVeff, fitted.__class__))
        fitted.conv_tol, fitted.conv_tol_grad, fitted.conv_check = LOOSEST, LOOSEST**0.5 / 3, False
        fitted.max_cycle = MAX_CYCLE
        fitted.verbose = 0  # PySCF's checks would complain of the operator that is put on it
        self.mf, self.hcore, self.energy_nuc = fitted, mf.get_hcore(), mf.energy_nuc()
        self.products = 0

    def start(self, dm0: NDArray) -> tuple[NDArray, NDArray]:
        """Occupied and virtual orbitals of the fitted mean field's own SCF from a density matrix (nao, nao)."""
        self.mf.kernel(dm0=dm0)
        return split_orbitals(self.mf.mo_coeff, self.mf.mo_occ)

    def minimum(self, point: State) -> Minimum:
        mf = self.mf
        self._shift(np.zeros_like(point.fock), 0.0)
        dm = point.expansion.dm
        vhf = mf.get_veff(mf.mol, dm)
        energy = mf.energy_tot(dm, self.hcore, vhf)
        operator = point.fock - np.asarray(mf.get_fock(self.hcore, vhf=vhf, dm=dm))
        self._shift(operator, point.energy - float(energy) - float(np.vdot(operator, dm)))
        mf.conv_tol = float(np.clip(CONV_SHARE * point.second_order, TIGHTEST, LOOSEST))
        mf.conv_tol_grad = mf.conv_tol**0.5 / 3
        mf.kernel(dm0=dm)
        order = np.argsort(-mf.mo_occ, kind="stable")
        return Minimum(
            float(mf.e_tot), mf.mo_energy[order], mf.mo_coeff[:, order], mf.mo_occ[order], bool(mf.converged)
        )

    def _shift(self, operator: NDArray, constant: float) -> None:
        hcore, energy_nuc = self.hcore + operator, self.energy_nuc + constant
        self.mf.get_hcore = lambda *args: hcore
        self.mf.energy_nuc = lambda *args: energy_nuc


class FunctionalSurrogate:
    """A functional's Hessian at a point, with the exact energy and gradient there.

    Args:
        model: the functional.
    """

    def __init__(self, model: CheapModel):
        self.model, self.products = model, 0

    def minimum(self, point: State) -> Minimum:
        hessian = self.model.hessian(point.orbo, point.orbv, point.fock)
        diagonal = np.maximum(hessian.diagonal(), LEAST_DIAGONAL)
        step = truncated_cg(hessian.hvp, point.gradient(), diagonal, RTOL)
        self.products += step.products
        finite = bool(np.isfinite(step.kappa).all())
        kappa = bounded(step.kappa, MAX_ROTATION) if finite else np.zeros_like(step.kappa)
        found = step.solved and finite and np.abs(kappa).max() < MAX_ROTATION
        energy = point.energy + 0.5 * float(np.vdot(point.gradient(), kappa))
        orbo, orbv = rotate(point.orbo, point.orbv, kappa)
        return Minimum(energy, *canonical_orbitals(point.fock, orbo, orbv), bool(found))


def kind_of(mf) -> str:
    """What a mean field asks of a surrogate: "hartree-fock", "range-separated" or "full-range"."""
    if not isinstance(mf, rks.KohnShamDFT):
        return "hartree-fock"
    return "range-separated" if range_separation(mf) else "full-range"


def _least_level(mf) -> int:
    return int(kind_of(mf) == "range-separated" or mf._numint._xc_type(mf.xc) == "MGGA")


def _on_kept_orbitals(integration: numint.NumInt) -> numint.NumInt:
    """PySCF's integration of libxc with dixc's kept orbitals on the grid; any other as it is."""
    if type(integration) is not numint.NumInt or set(vars(integration)) - {"omega"}:
        return integration if not isinstance(integration, GridNumInt) else _fresh(integration)
    kept = GridNumInt()
    kept.omega = integration.omega
    return kept


def _fresh(integration: GridNumInt) -> GridNumInt:
    copied = lib.view(integration, type(integration))
    copied._grid = None
    return copied


def fitting_of(mf, model: CheapModel) -> df.DF:
    """The fitted integrals that a mean field or its cheap functional has, else new ones in a Coulomb-fitting basis."""
    for holder in (mf, model.mf):
        if isinstance(getattr(holder, "with_df", None), df.DF):
            return holder.with_df
    logger.debug(mf, "fitted integrals are made for the surrogate")
    return coulomb_fitting(mf.mol)

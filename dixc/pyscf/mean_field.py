"""What restricted and unrestricted mean fields on a dixc functional share."""

from __future__ import annotations

from collections.abc import Callable
from os import PathLike

import numpy as np
from numpy.typing import NDArray
from pyscf import df, lib
from pyscf.df import addons, df_jk
from pyscf.dft import uks
from pyscf.soscf.newton_ah import _CIAH_SOSCF

from dixc.core.two_electron import TwoElectron
from dixc.errors import InputError
from dixc.functionals.base import Functional
from dixc.functionals.files import resolve
from dixc.functionals.identity import display_name, is_learned
from dixc.functionals.probe import accepted
from dixc.models import DEFAULT
from dixc.pyscf.cautions import require_molecule, warn_of, warn_of_elements
from dixc.pyscf.numint import NumInt

# functionals of PySCF that stand for a dixc functional where it asks libxc which fitting basis is wanted
WITH_EXCHANGE, WITHOUT_EXCHANGE = "b3lyp", "pbe"


class KohnSham:
    """Mixin of PySCF's Kohn-Sham classes: a functional in the NumInt, and PySCF's response contract on top of it.

    Args:
        mol: PySCF molecule.
        xc: a `Functional`, a registered name or import path, the name of a shipped model, or the path of a model file
            (a name wins over a file). The default is the shipped model that `dixc scf` takes, too.

    Raises:
        InputError: `xc` is none of these; a periodic cell, a model without atoms, or too few orbitals.
    """

    def __init__(self, mol, xc: Functional | str | PathLike[str] = DEFAULT):
        require_molecule(mol)
        functional = as_functional(xc)
        self._numint = numint = NumInt(functional)
        super().__init__(mol, xc=display_name(functional))
        self._numint = numint  # PySCF's constructor leaves one for libxc
        warn_of(functional, mol)

    @property
    def functional(self) -> Functional:
        """The functional that this mean field runs on."""
        return self._numint.functional

    @property
    def xc(self) -> str:
        """Name of the functional. A name, file or `Functional` may be assigned: it replaces the functional."""
        return display_name(self.functional)

    @xc.setter
    def xc(self, xc: Functional | str | PathLike[str]) -> None:
        if isinstance(xc, str) and xc == self.xc:
            return
        functional = as_functional(xc)
        warn_of(functional, self.mol)
        self._numint = NumInt(functional)

    def build(self, mol=None):
        mol = self.mol if mol is None else mol
        require_molecule(mol)
        if getattr(self, "irrep_nelec", None):
            raise InputError("irrep_nelec: dixc's mean fields do not fix the electrons of irreps")
        warn_of_elements(self.functional, mol)  # the molecule may be another one than at the beginning
        return super().build(mol)

    def density_fit(self, auxbasis=None, with_df=None, only_dfj=False):
        """The same mean field on fitted integrals; PySCF's default fitting basis for its amount of exact exchange."""
        with_df = fitted_integrals(self, auxbasis) if with_df is None else with_df
        fitted = df_jk.density_fit(self, auxbasis, with_df, only_dfj)
        if isinstance(fitted, FittedKohnSham):
            return fitted
        return lib.set_class(fitted, (FittedKohnSham, fitted.__class__), fitted.__class__.__name__)

    def COSX(self, auxbasis=None, with_df=None, pjs=False):
        """The same mean field with seminumerical exchange; PySCF's default fitting basis, as in `density_fit`."""
        from pyscf import sgx  # adds methods to PySCF's classes

        with_df = fitted_integrals(self, auxbasis, sgx.SGX) if with_df is None else with_df
        return sgx.sgx_fit(self, auxbasis, with_df, pjs)

    def newton(self):
        """PySCF's second-order SCF."""
        solver = super().newton()
        if isinstance(solver, SecondOrderKohnSham):
            return solver
        return lib.set_class(solver, (SecondOrderKohnSham, solver.__class__), solver.__class__.__name__)

    def do_nlc(self) -> bool:
        """Nonlocal correlation: none.

        Raises:
            InputError: it is asked for.
        """
        if self.nlc:
            raise InputError(f"nlc = {self.nlc!r}: dixc's mean fields have no nonlocal correlation")
        return False

    def do_disp(self, disp=None) -> bool:
        """Whether a dispersion correction is asked for by `disp`; the name of the functional never does.

        Raises:
            InputError: `disp` names no functional whose parameters a learned one could take.
        """
        wanted = disp or self.disp
        if wanted and is_learned(self.functional) and ":" not in str(wanted):
            raise InputError(
                f"disp = {wanted!r}: there are no dispersion parameters for {self.xc}; those of another functional are "
                f"taken by its name, such as {str(wanted) + ':b3lyp'!r}"
            )
        return bool(wanted) and super().do_disp(disp)

    def nuc_grad_method(self):
        """PySCF's nuclear gradients; with the response of the grid where the functional is learned.

        Without it they are off by some millihartree a bohr on PySCF's default grid: networks vary faster in space
        than classical functionals.

        Raises:
            InputError: the functional is not pointwise.
        """
        require_nuclear_derivatives(self)
        return with_grid_response(super().nuc_grad_method())

    Gradients = nuc_grad_method

    def Hessian(self):
        """PySCF's second derivatives with respect to the nuclei, which leave out the response of the grid.

        Raises:
            InputError: the functional is not pointwise.
        """
        require_nuclear_derivatives(self)
        return super().Hessian()

    def to_gks(self, xc=None):
        raise InputError("dixc's functionals are for collinear spins: no GKS; take dixc.pyscf.UKS")

    def to_ghf(self):
        """Hartree-Fock with generalised orbitals from this solution."""
        return self.to_uhf().to_ghf()

    def to_gpu(self):
        raise InputError("dixc's mean fields run on the CPU: no to_gpu")

    def _as(self, old: type, new: type, xc: Functional | str | PathLike[str] | None):
        """This object with `new` for `old` among its classes: settings, fitted integrals, solvent and fields stay.

        Second-order SCF is left behind, as in PySCF.
        """
        source = self.undo_soscf() if isinstance(self, _CIAH_SOSCF) else self
        converted = new(self.mol, self.functional if xc is None else xc)
        numint = converted._numint
        converted.__dict__.update(source.__dict__)
        converted.__class__ = lib.replace_class(source.__class__, old, new)
        if xc is not None:
            converted._numint, converted.converged = numint, False
        return converted

    def two_electron(self) -> TwoElectron:
        """Coulomb and exchange of this mean field."""
        return TwoElectron(self.get_jk, self.functional.exact_exchange)

    def _response(
        self,
        xc: Callable[[NDArray], NDArray] | None,
        hermi: int,
        coulomb: bool = True,
    ) -> Callable[[NDArray], NDArray]:
        """PySCF's response function: change of the Fock matrix for changes dm1 (..., nao, nao) of the density matrix.

        Args:
            xc: XC matrices for symmetric dm1; None if there are none.
            hermi: symmetry of dm1: 1 symmetric, 0 none, 2 antisymmetric (no change of the density).
            coulomb: whether the Coulomb matrix responds.
        """
        two_electron = self.two_electron()

        def vind(dm1: NDArray) -> NDArray:
            dm1 = np.asarray(dm1)
            by_spin = dm1 if isinstance(self, uks.UKS) else dm1[None]
            v1 = two_electron.potential(by_spin, hermi, coulomb).reshape(dm1.shape)
            return v1 if xc is None else v1 + xc((dm1 + dm1.swapaxes(-1, -2)) / 2)

        return vind


class FittedKohnSham:
    """Mixin in front of PySCF's density fitting, which has nuclear derivatives of its own."""

    def nuc_grad_method(self):
        """As `KohnSham.nuc_grad_method`, with the derivatives of the fitted integrals."""
        require_nuclear_derivatives(self)
        return with_grid_response(super().nuc_grad_method())

    Gradients = nuc_grad_method

    def Hessian(self):
        """As `KohnSham.Hessian`, with the derivatives of the fitted integrals."""
        require_nuclear_derivatives(self)
        return super().Hessian()


class SecondOrderKohnSham:
    """Mixin in front of PySCF's second-order SCF, whose density fitting is for its Hessian only."""

    def approx_hessian(self, auxbasis=None, with_df=None, only_dfj=False):
        """The same solver with fitted integrals in its Hessian; fitting basis as in `KohnSham.density_fit`."""
        with_df = fitted_integrals(self, auxbasis) if with_df is None else with_df
        return super().approx_hessian(auxbasis, with_df, only_dfj)

    def undo_soscf(self):
        """The mean field without second-order SCF."""
        plain = super().undo_soscf()
        return lib.view(plain, lib.drop_class(plain.__class__, SecondOrderKohnSham))

    undo_newton = undo_soscf


def fitted_integrals(mf: KohnSham, auxbasis=None, kind: type = df.DF):
    """An object of PySCF's for fitted integrals; by default with its fitting basis for as much exact exchange.

    PySCF itself would ask libxc for the functional's name.
    """
    if auxbasis is None:
        stand_in = WITH_EXCHANGE if mf.functional.exact_exchange else WITHOUT_EXCHANGE
        auxbasis = addons.predefined_auxbasis(mf.mol, mf.mol.basis, stand_in)
    integrals = kind(mf.mol, auxbasis=auxbasis)
    integrals.max_memory, integrals.stdout, integrals.verbose = mf.max_memory, mf.stdout, mf.verbose
    return integrals


def require_nuclear_derivatives(mf: KohnSham) -> None:
    """Refuses derivatives that PySCF takes point by point of a functional that is not pointwise.

    Raises:
        InputError: with the functional's name.
    """
    if not mf.functional.pointwise:
        raise InputError(
            f"{mf.xc}: no nuclear derivatives, because its energy depends on the nuclei themselves"
        )


def with_grid_response(gradients):
    """A gradient object of PySCF that takes the grid's response where its functional is learned."""
    if is_learned(gradients.base.functional):
        gradients.grid_response = True
    return gradients


def as_functional(xc: Functional | str | PathLike[str]) -> Functional:
    """A functional as it is, checked if its class is not dixc's, or by name or file (see `resolve`).

    Raises:
        InputError: neither, or as `accepted` and `resolve`.
    """
    if isinstance(xc, Functional):
        return accepted(xc)
    if not isinstance(xc, str | PathLike) or not str(xc).strip():
        raise InputError(f"xc = {xc!r}: a functional, its name or a model file is needed")
    return resolve(xc)

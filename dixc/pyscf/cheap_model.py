"""The cheap functional behind an accelerated mean field: its own SCF, and its Hessian at any orbitals.

It shares the one-electron Hamiltonian of the mean field that it serves, so external fields, effective core potentials
and relativistic corrections are the same. Coulomb matrices are density-fitted and the grid is a coarse one by default:
both only enter the starting point and the Hessian, never the energy or gradient of the answer.

A functional without exact exchange misjudges the Hessian of a hybrid in a systematic way, which is corrected in part: a
share of the hybrid's own Fock matrix goes into the diagonal blocks, the same share of its exchange response in the
monopole approximation, and the functional's kernel is scaled down. Share and scale are fitted to the contraction on
validation molecules with B3LYP and looked over with Hartree-Fock (see docs/accelerate.md).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pyscf import df

from dixc.core.hamiltonian import BySpin, FunctionalHamiltonian, ResponseExpansion, ScaledResponse
from dixc.core.integrals import coulomb_fitting
from dixc.core.monopole_exchange import MonopoleExchange
from dixc.core.orbitals import split_orbitals
from dixc.core.state import State
from dixc.core.two_electron import TwoElectron
from dixc.functionals.base import Functional
from dixc.pyscf.exchange import full_range_exchange
from dixc.pyscf.rks import RKS

CONV_TOL, CONV_TOL_GRAD = 1e-5, 1e-3  # far below the distance between the two functionals' solutions
MAX_CYCLE = 50

# share of the hybrid's Fock blocks and exchange response, and loss of the kernel, for a fraction a of exact exchange:
SHARE, SHARE_SLOPE, KERNEL_LOSS = 0.3, 0.5, 0.8  # 0.3 + 0.5 a, 1 - 0.8 a


class CheapKohnSham(RKS):
    """A mean field with another one's one-electron Hamiltonian.

    Args:
        hcore: (nao, nao), hartree.
    """

    _keys = frozenset({"hcore"})

    def __init__(self, mol, functional: Functional, hcore: NDArray):
        super().__init__(mol, xc=functional)
        self.hcore = hcore

    def get_hcore(self, mol=None) -> NDArray:
        return self.hcore


class CheapModel:
    """A dixc functional on the molecule of a mean field.

    Args:
        mf: the mean field to be accelerated.
        functional: the cheap functional.
        grid_level: PySCF level of its grid; that of `mf` if None.
        fit_coulomb: density-fitted instead of exact Coulomb matrices.
        exchange: correct the Hessian for exact exchange that the functional lacks; needs fitted integrals.

    Attributes:
        fock_builds: Fock builds of the functional so far.
        mf: its mean field.
        missing: fraction of exact exchange that the functional lacks.
        exchange: what stands for a share of the missing exchange in the Hessian; None if it is not corrected.
    """

    def __init__(self, mf, functional: Functional, grid_level: int | None, fit_coulomb: bool, exchange: bool):
        cheap = CheapKohnSham(mf.mol, functional, np.asarray(mf.get_hcore()))
        cheap.verbose, cheap.stdout, cheap.max_memory = max(0, mf.verbose - 2), mf.stdout, mf.max_memory
        cheap.chkfile, cheap.max_cycle = None, MAX_CYCLE
        cheap.conv_tol, cheap.conv_tol_grad, cheap.conv_check = CONV_TOL, CONV_TOL_GRAD, False
        cheap.small_rho_cutoff = 0
        if grid_level is not None:
            cheap.grids.level = grid_level
        elif hasattr(mf, "grids"):
            cheap.grids = mf.grids
        fitted = getattr(mf, "with_df", None)
        if isinstance(fitted, df.DF) or fit_coulomb:
            cheap = _density_fitted(cheap, fitted)
        else:
            cheap._eri, cheap.direct_scf = mf._eri, mf.direct_scf
        self.mf, self.functional, self.fock_builds = cheap, functional, 0
        self.missing = full_range_exchange(mf) if functional.exact_exchange == 0 else 0.0
        self.exchange: MonopoleExchange | None = None
        if exchange and self.missing and hasattr(cheap, "with_df"):
            self.exchange = MonopoleExchange(mf.get_ovlp(), cheap.with_df, self._share * self.missing)

    @property
    def _share(self) -> float:
        return SHARE + SHARE_SLOPE * self.missing

    def orbitals(self, dm0: NDArray) -> tuple[NDArray, NDArray] | None:
        """Occupied and virtual orbitals of the functional's own SCF from a density matrix (nao, nao).

        None if that SCF does not converge.
        """
        try:
            self.mf.kernel(dm0=dm0)
        except (ValueError, np.linalg.LinAlgError):  # how an infinite Fock matrix shows
            return None
        finally:
            self.fock_builds += getattr(self.mf, "cycles", 0) + 1
        return split_orbitals(self.mf.mo_coeff, self.mf.mo_occ) if self.mf.converged else None

    def state(self, orbo: NDArray, orbv: NDArray) -> State:
        """These orbitals on the functional's own Hamiltonian; one Fock build."""
        self.fock_builds += 1
        mf, functional = self.mf, self.functional
        grid = mf._numint.ao_grid(mf.mol, mf.grids, functional.xctype)
        hamiltonian = FunctionalHamiltonian(mf.hcore, mf.energy_nuc(), mf.two_electron(), functional, grid)
        return State(hamiltonian, orbo, orbv)

    def hessian(self, orbo: NDArray, orbv: NDArray, fock: NDArray) -> State:
        """A state with the functional's Hessian at these orbitals, corrected; one Fock build without exact exchange.

        Args:
            fock: Fock matrix (nao, nao) of the mean field at these orbitals.
        """
        own = self.state(orbo, orbv)
        if self.exchange is None:
            return own
        two_electron = TwoElectron(self.mf.get_jk, others=[self.exchange])
        corrected = CorrectedHamiltonian(own, fock, self._share, two_electron, 1 - KERNEL_LOSS * self.missing)
        return State(corrected, orbo, orbv)


@dataclass
class CorrectedHamiltonian:
    """A functional's Hamiltonian with a share of another Fock matrix, and another response.

    Attributes:
        own: a state on the functional's own Hamiltonian; there is no expansion at other orbitals.
        fock: the other Fock matrix at these orbitals, (nao, nao), hartree.
        share: of the other Fock matrix.
        two_electron: of the response.
        kernel_scale: factor of the functional's response.
    """

    own: State
    fock: NDArray
    share: float
    two_electron: TwoElectron
    kernel_scale: float

    def expand(
        self, orbo: BySpin, orbv: BySpin, order: int = 2, trainable: bool = False
    ) -> CorrectedExpansion:
        """As of `dixc.core.hamiltonian.Hamiltonian`."""
        return CorrectedExpansion(self, orbo, orbv)


class CorrectedExpansion(ResponseExpansion):
    """A `CorrectedHamiltonian` at its orbitals; see `dixc.core.hamiltonian.Expansion`."""

    def __init__(self, corrected: CorrectedHamiltonian, orbo: BySpin, orbv: BySpin):
        own = corrected.own.expansion
        super().__init__(
            orbo, orbv, corrected.two_electron, ScaledResponse(own.local, corrected.kernel_scale)
        )
        self.energy = own.energy
        self.fock = (own.fock[0] + corrected.share * (corrected.fock - own.fock[0]),)

    def fock_vo(self) -> BySpin:
        """As of `Expansion`."""
        return (self.orbv[0].T @ self.fock[0] @ self.orbo[0],)


def _density_fitted(cheap: RKS, fitted):
    """`cheap` on the fitted integrals that exist already, or on PySCF's Coulomb-fitting basis for this molecule."""
    return cheap.density_fit(with_df=fitted if isinstance(fitted, df.DF) else coulomb_fitting(cheap.mol))

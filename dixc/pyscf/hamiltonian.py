"""A mean field of PySCF or dixc as a Hamiltonian: energy, Fock matrix and response are those of its own methods.

Whatever changes these methods (solvent, fields, somebody's get_veff) is therefore in the derivatives too, and every
Fock build goes through `mf.get_veff`.
"""

from __future__ import annotations

from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from pyscf import lib

from dixc.core.hamiltonian import BySpin, LocalXC, PairCouplings, ResponseExpansion, occupation
from dixc.core.orbitals import split_orbitals
from dixc.core.state import Spins, State
from dixc.errors import InputError
from dixc.pyscf.mean_field import KohnSham


class MeanFieldHamiltonian:
    """The energy of a mean field.

    Args:
        mf: any RHF, RKS, UHF or UKS of PySCF, or one of dixc.

    Attributes:
        hcore, overlap: (nao, nao), the former in hartree.
    """

    def __init__(self, mf):
        self.mf = mf
        self._matrices: tuple[NDArray, NDArray] | None = None

    @property
    def hcore(self) -> NDArray:
        return self._one_electron()[0]

    @property
    def overlap(self) -> NDArray:
        return self._one_electron()[1]

    def _one_electron(self) -> tuple[NDArray, NDArray]:
        if self._matrices is None:
            self._matrices = self.mf.get_hcore(), self.mf.get_ovlp()
        return self._matrices

    def expand(
        self, orbo: BySpin, orbv: BySpin, order: int = 2, trainable: bool = False
    ) -> MeanFieldExpansion:
        """As of `dixc.core.hamiltonian.Hamiltonian`; nothing here has parameters to train."""
        return MeanFieldExpansion(self, orbo, orbv)

    def build(self, orbo: Spins, orbv: Spins, last: State | None = None) -> State:
        """A state whose energy and Fock matrix are built now.

        Args:
            orbo, orbv: orbitals (nao, nocc), (nao, nvir).
            last: a state of this Hamiltonian: on integrals made on the fly PySCF builds the difference from it only.
        """
        state = State(self, orbo, orbv)
        expansion = state.expansion
        expansion.build(None if last is None else last.expansion)
        _ = expansion.energy, expansion.fock
        return state


class MeanFieldExpansion:
    """A mean field around some orbitals; see `dixc.core.hamiltonian.Expansion`."""

    def __init__(self, hamiltonian: MeanFieldHamiltonian, orbo: BySpin, orbv: BySpin):
        self.hamiltonian, self.mf = hamiltonian, hamiltonian.mf
        self.orbo, self.orbv = orbo, orbv
        self._veff = None

    @cached_property
    def mo_coeff(self) -> NDArray:
        """Occupied orbitals first, as PySCF has them: (nao, nmo), or (2, nao, nmo)."""
        frames = [np.hstack(pair) for pair in zip(self.orbo, self.orbv, strict=True)]
        return frames[0] if len(frames) == 1 else np.stack(frames)

    @cached_property
    def mo_occ(self) -> NDArray:
        """Occupations in that order: (nmo,), or (2, nmo)."""
        w = float(occupation(self.orbo))
        rows = [
            np.repeat([w, 0.0], [o.shape[1], v.shape[1]]) for o, v in zip(self.orbo, self.orbv, strict=True)
        ]
        return rows[0] if len(rows) == 1 else np.stack(rows)

    @cached_property
    def dm(self) -> NDArray:
        """Density matrix (nao, nao), or (2, nao, nao), as PySCF tags it."""
        return self.mf.make_rdm1(self.mo_coeff, self.mo_occ)

    def build(self, last: MeanFieldExpansion | None = None) -> NDArray:
        """The two-electron potential, built at the first call: as a difference from that of `last` if there is one."""
        if self._veff is None:
            mf, before = self.mf, () if last is None else (last.dm, last.veff)
            self._veff = mf.get_veff(mf.mol, self.dm, *before)
        return self._veff

    @property
    def veff(self) -> NDArray:
        """The two-electron potential, as PySCF tags it, hartree."""
        return self.build()

    @cached_property
    def energy(self) -> float:
        return float(self.mf.energy_tot(self.dm, self.hamiltonian.hcore, self.veff))

    @cached_property
    def fock(self) -> BySpin:
        matrices = np.asarray(
            self.mf.get_fock(self.hamiltonian.hcore, self.hamiltonian.overlap, self.veff, self.dm)
        )
        return (matrices,) if matrices.ndim == 2 else tuple(matrices)

    def fock_vo(self) -> BySpin:
        """As of `Expansion`."""
        return tuple(v.T @ f @ o for v, f, o in zip(self.orbv, self.fock, self.orbo, strict=True))

    def coupling(self, kappa: BySpin) -> BySpin:
        """As of `Expansion`."""
        return self._response.coupling(kappa)

    def coupling_imaginary(self, kappa: BySpin) -> BySpin:
        """As of `Expansion`."""
        return self._coupled(kappa, -1, self._vind(2))

    def pair_couplings(self) -> PairCouplings | None:
        """As of `Expansion`: there are none."""
        return None

    @cached_property
    def _response(self) -> ResponseExpansion | _GeneratedResponse:
        mf = self.mf
        if isinstance(mf, KohnSham) and getattr(mf, "with_solvent", None) is None:
            # dixc's functionals work on occupied orbitals directly
            grid = mf._numint.ao_grid(mf.mol, mf.grids, mf.functional.xctype)
            xc = LocalXC(mf.functional, grid, self.orbo)
            return ResponseExpansion(self.orbo, self.orbv, mf.two_electron(), xc)
        return _GeneratedResponse(self)

    def _vind(self, hermi: int):
        mf, solvent = self.mf, getattr(self.mf, "with_solvent", None)
        more = {} if len(self.orbo) == 2 else {"singlet": None}
        vind = mf.gen_response(self.mo_coeff, self.mo_occ, hermi=hermi, **more)
        if solvent is None or hermi == 2:
            return vind

        def with_reaction_field(dm1: NDArray) -> NDArray:
            # the energy has a solvent in equilibrium with the density, which PySCF's response leaves out unless asked
            with lib.temporary_env(solvent, equilibrium_solvation=not solvent.frozen):
                return vind(dm1)

        return with_reaction_field

    def _coupled(self, kappa: BySpin, sign: int, vind) -> BySpin:
        """C_v^T dF C_o by a response function of PySCF."""
        w, halves = occupation(self.orbo), []
        for k, o, v in zip(kappa, self.orbo, self.orbv, strict=True):
            halves.append((w * v @ k) @ o.T)
        changes = [half + sign * half.transpose(0, 2, 1) for half in halves]
        dfock = vind(changes[0])[None] if len(changes) == 1 else vind(np.stack(changes))
        return tuple(v.T @ (f @ o) for v, f, o in zip(self.orbv, dfock, self.orbo, strict=True))


class _GeneratedResponse:
    """The response function that PySCF generates for a mean field."""

    def __init__(self, expansion: MeanFieldExpansion):
        self.expansion, self.vind = expansion, expansion._vind(1)

    def coupling(self, kappa: BySpin) -> BySpin:
        return self.expansion._coupled(kappa, 1, self.vind)


def state_of(mf) -> State:
    """The state of a mean field's orbitals, as mo_occ marks them; mo_energy is not used.

    Args:
        mf: restricted or unrestricted mean field with `mo_coeff` and `mo_occ`.

    Raises:
        InputError: no orbitals, or fractional occupations.
    """
    if mf.mo_coeff is None or mf.mo_occ is None:
        raise InputError("orbital rotations need a mean field with mo_coeff and mo_occ: run kernel() first")
    hamiltonian = MeanFieldHamiltonian(mf)
    mo_coeff, mo_occ = np.array(mf.mo_coeff), np.array(mf.mo_occ)
    if mo_coeff.ndim == 2:
        return State(hamiltonian, *split_orbitals(mo_coeff, mo_occ))
    if not np.isin(mo_occ, (0, 1)).all():
        raise InputError("orbital rotations need occupations 0 and 1 of unrestricted orbitals")
    occupied = tuple(c[:, occ == 1] for c, occ in zip(mo_coeff, mo_occ, strict=True))
    virtual = tuple(c[:, occ == 0] for c, occ in zip(mo_coeff, mo_occ, strict=True))
    return State(hamiltonian, occupied, virtual)

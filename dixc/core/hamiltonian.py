"""Hamiltonians: what gives orbitals an energy, a Fock matrix and a response.

A `Hamiltonian` expands its energy around a density; `dixc.core.state.State` makes gradients and Hessians of that. Here
is the Hamiltonian of dixc's own parts,

    E[P] = constant + Tr h P + 1/2 Tr v[P] P + E_xc[P]

with v Coulomb and exchange (`dixc.core.two_electron`) and E_xc a functional on a grid (`LocalXC`). That of a whole
PySCF mean field is in `dixc.pyscf.hamiltonian`.

Orbitals come by spin: a tuple of one array for a closed shell, of two (alpha, beta) else. Densities and their changes
are those of w C C^T, with w electrons in an orbital: 2 in a closed shell, 1 in a spin channel.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple, Protocol, TypeVar

import numpy as np
import torch
from torch import Tensor

from dixc.core.arrays import Array
from dixc.core.grid import AOGrid, OrbitalValues
from dixc.core.two_electron import TwoElectron
from dixc.core.xc.expansion import XCExpansion
from dixc.functionals.base import Functional

BySpin = tuple[Array, ...]


class Expansion(Protocol):
    """An energy around the density of some orbitals."""

    @property
    def energy(self) -> float:
        """Total energy, hartree."""

    @property
    def fock(self) -> BySpin:
        """Fock matrices (nao, nao), hartree."""

    def fock_vo(self) -> BySpin:
        """C_v^T F C_o, (nvir, nocc), hartree."""

    def coupling(self, kappa: BySpin) -> BySpin:
        """C_v^T dF C_o, (K, nvir, nocc), for the change dP = w (C_v kappa C_o^T + transpose)."""

    def coupling_imaginary(self, kappa: BySpin) -> BySpin:
        """C_v^T dF C_o, (K, nvir, nocc), for the change dP = w (C_v kappa C_o^T - transpose)."""

    def pair_couplings(self) -> PairCouplings | None:
        """Both couplings as matrices over pairs of a closed shell, where they are cheaper than products; else None."""


AnyExpansion = TypeVar("AnyExpansion", bound=Expansion, covariant=True)


class Hamiltonian(Protocol[AnyExpansion]):
    """An energy of orbitals."""

    def expand(self, orbo: BySpin, orbv: BySpin, order: int, trainable: bool) -> AnyExpansion:
        """The energy around occupied (nao, nocc) and virtual (nao, nvir) orbitals of each spin.

        Args:
            order: highest derivative that is asked for later: 1 or 2.
            trainable: keep what gradients by the functional's parameters need.
        """


class PairCouplings(NamedTuple):
    """Couplings over pairs (a, i), i fastest, (n_pairs, n_pairs), hartree.

    At canonical orbitals A + B = (e_a - e_i) + real, A - B = (e_a - e_i) + imaginary.
    """

    real: Array
    imaginary: Array


@dataclass
class KnownDensity:
    """What is kept of one density between expansions: those of exactly these orbitals need not compute it.

    Attributes:
        orbo: occupied orbitals (nao, nocc) of a closed shell.
        two_electron: v, (1, nao, nao), hartree.
        values: the orbitals on the grid.
        rho: density rows (nvar, N).
    """

    orbo: Array
    two_electron: Array
    values: OrbitalValues
    rho: Tensor


class ResponseXC(Protocol):
    """The XC part of a response alone."""

    def response(self, left: BySpin) -> BySpin:
        """dV_xc C_o, (K, nao, nocc), for the change left C_o^T + C_o left^T, left (K, nao, nocc)."""


class LocalXC:
    """A functional on a grid around the density of some orbitals.

    Args:
        functional: the functional.
        grid: orbitals on grid points.
        orbo: occupied orbitals (nao, nocc) by spin.
        order, trainable: as of `Hamiltonian.expand`.
        known: what is there already of these orbitals.

    Attributes:
        values: the occupied orbitals on the grid, by spin.
        expansion: of the functional.
    """

    def __init__(
        self,
        functional: Functional,
        grid: AOGrid,
        orbo: BySpin,
        order: int = 2,
        trainable: bool = False,
        known: KnownDensity | None = None,
    ):
        self.grid = grid
        if known is None:
            self.values = tuple(grid.values(c) for c in orbo)
            rho = torch.stack([grid.density_of_orbitals(values) for values in self.values])
            rho = rho if len(orbo) == 1 else rho / 2  # the grid counts two electrons an orbital
        else:
            self.values, rho = (known.values,), known.rho[None]
        self.expansion = XCExpansion(functional, rho, grid.points, order, trainable)

    @property
    def energy(self) -> float:
        """E_xc, hartree."""
        return self.expansion.energy

    def matrix(self, spin: int) -> Array:
        """XC potential matrix (nao, nao), hartree."""
        return self.grid.potential_matrix(self.expansion.potential[spin])

    def on_occupied(self, spin: int) -> Array:
        """V_xc C_o, (nao, nocc), without the matrix."""
        return self.grid.potential_on_orbitals(self.expansion.potential[spin], self.values[spin])

    def response(self, left: BySpin) -> BySpin:
        """As of `ResponseXC`."""
        rows = [self.grid.density_of_pairs(x, v) for x, v in zip(left, self.values, strict=True)]
        drho = rows[0].unsqueeze(-3) if len(rows) == 1 else torch.stack(rows, dim=-3)
        change = self.expansion.product(drho)
        return tuple(
            self.grid.potential_on_orbitals(change[..., spin, :, :], values)
            for spin, values in enumerate(self.values)
        )


@dataclass
class ScaledResponse:
    """Another response times a factor."""

    xc: ResponseXC
    scale: float

    def response(self, left: BySpin) -> BySpin:
        """As of `ResponseXC`."""
        return tuple(self.scale * change for change in self.xc.response(left))


class FixedKernel:
    """The response of a closed shell by a kernel of density rows that was computed once.

    Args:
        grid: orbitals on grid points.
        fxc: second derivatives (nvar, nvar, N), weights included.
        orbo: occupied orbitals (nao, nocc).
    """

    def __init__(self, grid: AOGrid, fxc: Tensor, orbo: Array):
        self.grid, self.fxc, self.values = grid, fxc, grid.values(orbo)

    def response(self, left: BySpin) -> BySpin:
        """As of `ResponseXC`."""
        drho = self.grid.density_of_pairs(left[0], self.values)
        change = torch.einsum("xyg,kyg->kxg", self.fxc, drho)
        return (self.grid.potential_on_orbitals(change, self.values),)


class ResponseExpansion:
    """The second-order part of an expansion: couplings of pairs by integrals and a functional.

    Args:
        orbo, orbv: orbitals by spin.
        two_electron: Coulomb and exchange; None where `pairs` has them.
        xc: the functional's part; None without one.
        pairs: further couplings, as matrices.
    """

    def __init__(
        self,
        orbo: BySpin,
        orbv: BySpin,
        two_electron: TwoElectron | None,
        xc: ResponseXC | None,
        pairs: PairCouplings | None = None,
    ):
        self.orbo, self.orbv, self.two_electron, self.xc, self.pairs = orbo, orbv, two_electron, xc, pairs

    def coupling(self, kappa: BySpin) -> BySpin:
        """As of `Expansion`."""
        left = tuple(occupation(self.orbo) * c @ k for c, k in zip(self.orbv, kappa, strict=True))
        changes = [np.zeros(x.shape) for x in left]
        if self.two_electron is not None:
            v = self.two_electron.potential(self._matrices(left, 1))
            changes = [c + v_s @ o for c, v_s, o in zip(changes, v, self.orbo, strict=True)]
        if self.xc is not None:
            changes = [c + xc for c, xc in zip(changes, self.xc.response(left), strict=True)]
        coupled = tuple(v.T @ c for v, c in zip(self.orbv, changes, strict=True))
        return coupled if self.pairs is None else (coupled[0] + _on_pairs(kappa[0], self.pairs.real),)

    def coupling_imaginary(self, kappa: BySpin) -> BySpin:
        """As of `Expansion`."""
        coupled = tuple(np.zeros(k.shape) for k in kappa)
        if self.two_electron is not None and self.two_electron.has_exchange:
            left = tuple(occupation(self.orbo) * c @ k for c, k in zip(self.orbv, kappa, strict=True))
            v = self.two_electron.potential(self._matrices(left, -1), hermi=2)
            coupled = tuple(a.T @ v_s @ o for a, v_s, o in zip(self.orbv, v, self.orbo, strict=True))
        return coupled if self.pairs is None else (coupled[0] + _on_pairs(kappa[0], self.pairs.imaginary),)

    def pair_couplings(self) -> PairCouplings | None:
        """As of `Expansion`: only where nothing else is coupled."""
        return self.pairs if self.two_electron is None and self.xc is None else None

    def _matrices(self, left: BySpin, sign: int) -> Array:
        """left C_o^T + sign * transpose, (ns, K, nao, nao)."""
        halves = np.stack([x @ c.T for x, c in zip(left, self.orbo, strict=True)])
        return halves + sign * halves.swapaxes(-1, -2)


class FunctionalExpansion(ResponseExpansion):
    """A `FunctionalHamiltonian` around some orbitals; see `Expansion`."""

    def __init__(
        self, hamiltonian: FunctionalHamiltonian, orbo: BySpin, orbv: BySpin, order: int, trainable: bool
    ):
        known = hamiltonian.known
        self._known = known if known is not None and orbo[0] is known.orbo else None
        self.local = LocalXC(hamiltonian.functional, hamiltonian.grid, orbo, order, trainable, self._known)
        super().__init__(orbo, orbv, hamiltonian.two_electron, self.local)
        self.hamiltonian, self.order = hamiltonian, order

    @cached_property
    def dms(self) -> Array:
        """Density matrices (ns, nao, nao)."""
        return np.stack([occupation(self.orbo) * c @ c.T for c in self.orbo])

    @cached_property
    def potential(self) -> Array:
        """Two-electron potentials (ns, nao, nao), hartree."""
        return (
            self.hamiltonian.two_electron.potential(self.dms)
            if self._known is None
            else self._known.two_electron
        )

    @cached_property
    def energy(self) -> float:
        hcore, one_and_two = self.hamiltonian.hcore, 0.0
        for dm, v in zip(self.dms, self.potential, strict=True):
            one_and_two += np.vdot(dm, hcore + 0.5 * v)
        return float(self.hamiltonian.constant + one_and_two + self.local.energy)

    @cached_property
    def fock(self) -> BySpin:
        hcore = self.hamiltonian.hcore
        return tuple(hcore + v + self.local.matrix(spin) for spin, v in enumerate(self.potential))

    def fock_vo(self) -> BySpin:
        """As of `Expansion`; of first order no matrix of the functional is made."""
        if self.order > 1:
            return tuple(v.T @ f @ o for v, f, o in zip(self.orbv, self.fock, self.orbo, strict=True))
        hcore = self.hamiltonian.hcore
        return tuple(
            self.orbv[s].T @ ((hcore + v) @ self.orbo[s] + self.local.on_occupied(s))
            for s, v in enumerate(self.potential)
        )


@dataclass
class FunctionalHamiltonian:
    """A dixc functional on integrals and a grid.

    Attributes:
        hcore: one-electron operator (nao, nao), hartree.
        constant: what the energy has besides, such as the nuclei's, hartree.
        two_electron: Coulomb and exchange.
        functional: the functional.
        grid: orbitals on grid points.
        known: a density of which something is kept.
    """

    hcore: Array
    constant: float
    two_electron: TwoElectron
    functional: Functional
    grid: AOGrid
    known: KnownDensity | None = None

    def expand(
        self, orbo: BySpin, orbv: BySpin, order: int = 2, trainable: bool = False
    ) -> FunctionalExpansion:
        """As of `Hamiltonian`."""
        return FunctionalExpansion(self, orbo, orbv, order, trainable)


@dataclass
class ResponseHamiltonian:
    """Couplings of a closed shell alone: where orbital energies, or the Fock matrix, are known.

    Attributes:
        two_electron: Coulomb and exchange; None where `pairs` has them.
        xc: the functional's part; None without one.
        pairs: further couplings, as matrices.
        fock: Fock matrix (nao, nao), hartree.
    """

    two_electron: TwoElectron | None = None
    xc: ResponseXC | None = None
    pairs: PairCouplings | None = None
    fock: Array | None = None

    def expand(
        self, orbo: BySpin, orbv: BySpin, order: int = 2, trainable: bool = False
    ) -> KnownFockExpansion:
        """As of `Hamiltonian`; there is no energy."""
        return KnownFockExpansion(self, orbo, orbv)


class KnownFockExpansion(ResponseExpansion):
    """A `ResponseHamiltonian` at its orbitals; see `Expansion`."""

    def __init__(self, hamiltonian: ResponseHamiltonian, orbo: BySpin, orbv: BySpin):
        super().__init__(orbo, orbv, hamiltonian.two_electron, hamiltonian.xc, hamiltonian.pairs)
        self._fock = hamiltonian.fock

    @property
    def energy(self) -> float:
        raise RuntimeError("a response alone has no energy")

    @property
    def fock(self) -> BySpin:
        if self._fock is None:
            raise RuntimeError("the Fock matrix of a response alone is not known: give orbital energies")
        return (self._fock,)

    def fock_vo(self) -> BySpin:
        """As of `Expansion`."""
        return (self.orbv[0].T @ self.fock[0] @ self.orbo[0],)


def occupation(orbo: Sequence[Array]) -> int:
    """Electrons in an occupied orbital: 2 in a closed shell, 1 in a spin channel."""
    return 2 // len(orbo)


def _on_pairs(kappa: Array, matrix: Array) -> Array:
    """Products (K, nvir, nocc) of a matrix over pairs with kappa of the same shape."""
    return (kappa.reshape(len(kappa), -1) @ matrix).reshape(kappa.shape)

"""What training needs of a molecule, built from its reference record and kept while memory lasts.

Near a known density fitted integrals are enough (`dixc.core.integrals`); exact ones are made where a functional has
exact exchange. Everything but the record and its derivatives can be made again, and is after `drop`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, TypeVar

import numpy as np
import torch
from pyscf.scf import hf

from dixc.core.arrays import Array
from dixc.core.grid import NEGLIGIBLE_ELECTRONS, AOGrid, OrbitalValues
from dixc.core.hamiltonian import FunctionalExpansion, FunctionalHamiltonian, KnownDensity
from dixc.core.integrals import ExactIntegrals, FittedIntegrals
from dixc.core.orbitals import split_orbitals
from dixc.core.state import State
from dixc.core.two_electron import TwoElectron
from dixc.functionals.base import Functional
from dixc.reference.record import ReferenceRecord
from dixc.training.guide import Guide
from dixc.training.reference_derivatives import ReferenceDerivatives, Singlets

GridKind = Literal["main", "hessian"]
Made = TypeVar("Made")


class TrainingMolecule:
    """One molecule: integrals, grids, reference orbitals, and reference derivatives where they are given.

    Args:
        record: the reference.
        derivatives: datasets of the derivative stage, or an empty dict.
        grid_level: grid of energy, density and gradient terms.
        hessian_grid_level: grid of the Hessian terms.
        xctype: which density rows the functional wants.
        device: torch device of grid arrays.
        dtype: of orbitals on the grids. With float32 parameter gradients keep five digits, in half the memory.

    Attributes:
        orbo_ref, orbv_ref: the reference's occupied (nao, n_occ) and virtual (nao, n_vir) orbitals.
        metric_diagonal: D = 4 (e_a - e_i), (n_vir, n_occ), hartree: the metric of gradient and Hessian errors.
    """

    def __init__(
        self,
        record: ReferenceRecord,
        derivatives: dict[str, Array],
        grid_level: int,
        hessian_grid_level: int,
        xctype: str = "MGGA",
        device: str | torch.device = "cpu",
        dtype: torch.dtype = torch.float64,
    ):
        self.record, self.mol, self.xctype = record, record.mol, xctype
        self.device, self.dtype = device, dtype
        self._levels: dict[str, int] = {"main": grid_level, "hessian": hessian_grid_level}
        self.orbo_ref, self.orbv_ref = split_orbitals(record.mo_coeff, record.mo_occ)
        energy = record.mo_energy
        self.metric_diagonal = 4 * (energy[record.mo_occ == 0][:, None] - energy[record.mo_occ == 2])
        self._derivatives = ReferenceDerivatives(record.name, derivatives, self.metric_diagonal)
        self._kept: dict[Any, Any] = {}

    @property
    def shape(self) -> tuple[int, int]:
        """(n_vir, n_occ)."""
        n_vir, n_occ = self.metric_diagonal.shape
        return n_vir, n_occ

    def _keep(self, key: Any, make: Callable[[], Made]) -> Made:
        if key not in self._kept:
            self._kept[key] = make()
        return self._kept[key]

    def drop(self) -> None:
        """Forget everything that can be made again from the record."""
        self._kept.clear()
        self._derivatives.drop()

    @property
    def is_loaded(self) -> bool:
        """Whether anything is kept that `drop` would forget."""
        return bool(self._kept)

    @property
    def overlap(self) -> Array:
        """Overlap of atomic orbitals (nao, nao)."""
        return self._keep("overlap", lambda: self.mol.intor_symmetric("int1e_ovlp"))

    @property
    def fitted_integrals(self) -> FittedIntegrals:
        """Density-fitted two-electron integrals."""
        return self._keep("fitted", lambda: FittedIntegrals(self.mol))

    def _two_electron(self, exact_exchange: float) -> TwoElectron:
        """Coulomb and exchange of a functional: from exact integrals if it has exact exchange, else fitted."""
        if exact_exchange:
            exact = self._keep("exact", lambda: ExactIntegrals(self.mol))
            return TwoElectron(exact.get_jk, exact_exchange)
        return TwoElectron(self.fitted_integrals.get_jk)

    def _one_electron(self, exact_exchange: float) -> tuple[Array, float]:
        """Core Hamiltonian (nao, nao) and nuclear energy, hartree.

        They make up for what `_two_electron` leaves out at the reference density.
        """
        hcore = self._keep("hcore", lambda: hf.get_hcore(self.mol))
        if exact_exchange:
            return hcore, self.mol.energy_nuc()
        operator, constant = self.record.fitting_correction(exact_exchange)
        return hcore + operator, self.mol.energy_nuc() + constant

    def grid(self, kind: GridKind = "main") -> AOGrid:
        """Orbitals on the "main" or the "hessian" grid (one object if the levels are equal)."""
        level = self._levels[kind]
        return self._keep(("grid", level), lambda: self._ao_grid(level))

    def _ao_grid(self, level: int) -> AOGrid:
        points = self.record.grid(level)
        whole = AOGrid(self.mol, points.coords, points.weights, "LDA", max_cache_mb=0)
        electrons = np.abs(points.weights) * whole.density(self.record.dm)[0].numpy()
        kept = electrons > NEGLIGIBLE_ELECTRONS
        return AOGrid(
            self.mol, points.coords[kept], points.weights[kept], self.xctype, np.inf, self.device, self.dtype
        )

    @property
    def rho_ref(self) -> torch.Tensor:
        """Reference density rows on the main grid, (nvar, N)."""
        return self._on_grid("main")[1]

    def _on_grid(self, kind: GridKind) -> tuple[OrbitalValues, torch.Tensor]:
        """Occupied reference orbitals, and density rows (nvar, N), on a grid."""

        def make() -> tuple[OrbitalValues, torch.Tensor]:
            grid = self.grid(kind)
            values = grid.values(self.orbo_ref)
            return values, grid.density_of_orbitals(values)

        return self._keep(("reference", self._levels[kind]), make)

    def hamiltonian(self, functional: Functional, kind: GridKind = "main") -> FunctionalHamiltonian:
        """The model's Hamiltonian, exact at the reference density and off by the fitting error of a change else."""
        hcore, constant = self._one_electron(functional.exact_exchange)
        two_electron = self._two_electron(functional.exact_exchange)
        return FunctionalHamiltonian(hcore, constant, two_electron, functional, self.grid(kind))

    def reference_state(
        self, functional: Functional, kind: GridKind, order: int, trainable: bool = False
    ) -> State[FunctionalExpansion]:
        """The reference orbitals on the model's Hamiltonian; arguments as of `dixc.core.state.State`."""
        hamiltonian = self.hamiltonian(functional, kind)
        values, rho = self._on_grid(kind)
        dm = 2 * self.orbo_ref @ self.orbo_ref.T
        potential = self._keep(
            ("potential", functional.exact_exchange), lambda: hamiltonian.two_electron.potential(dm[None])
        )
        hamiltonian.known = KnownDensity(self.orbo_ref, potential, values, rho)
        return State(hamiltonian, self.orbo_ref, self.orbv_ref, order, trainable)

    def guide_inverse(self, vector: Array) -> Array:
        """A classical functional's inverse Hessian times (n_vir, n_occ), see `dixc.training.guide`."""
        return self._keep("guide", lambda: Guide(self)).inverse(vector)

    @property
    def hessian_ref(self) -> Array | None:
        """As of `ReferenceDerivatives.hessian`."""
        return self._derivatives.hessian

    @property
    def states(self) -> Singlets:
        """As of `ReferenceDerivatives.singlets`."""
        return self._derivatives.singlets

    def metric_root(self, vectors: Array, metric: str, transposed: bool = False) -> Array:
        """As of `ReferenceDerivatives.metric_root`."""
        return self._derivatives.metric_root(vectors, metric, transposed)

    def probes(self, count: int, metric: str, rng: np.random.Generator) -> tuple[Array, Array]:
        """As of `ReferenceDerivatives.probes`."""
        return self._derivatives.probes(count, metric, rng)

    def megabytes(self) -> float:
        """Estimated memory of a molecule in use: integrals, orbitals on grids, Hessian and its factor."""
        points = sum(self.grid(kind).n_points for kind in self._kinds)
        pairs = self.metric_diagonal.size if self._derivatives.is_dense else 0
        numbers = 2 * pairs**2 + self.metric_diagonal.size**2
        orbitals = self.mol.nao + self.shape[1]  # atomic orbitals, and the reference's own
        on_grids = self.dtype.itemsize * 4 * orbitals * points
        return self.fitted_integrals.megabytes() + 1e-6 * (8 * numbers + on_grids)

    @property
    def _kinds(self) -> tuple[GridKind, ...]:
        """Grids that differ."""
        return ("main",) if len(set(self._levels.values())) == 1 else ("main", "hessian")

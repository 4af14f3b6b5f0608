"""What training needs of a molecule, built once from its reference record and kept while memory lasts.

Cheap to recompute (integrals, orbitals on grids) is recomputed from the record when a molecule comes back after it was
dropped; the model's last SCF orbitals are kept for good, they are what makes the next SCF short.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from functools import cached_property
from typing import NamedTuple

import numpy as np
import scipy.linalg
import torch
from numpy.typing import NDArray
from pyscf.scf import hf

from dixc.core.grid import AOGrid, OrbitalValues
from dixc.core.integrals import ExactIntegrals, FittedIntegrals
from dixc.core.xc import XCExpansion, density_kernel
from dixc.errors import InputError
from dixc.excitations import kernel_matrix
from dixc.excitations.matrices import NEGLIGIBLE_ELECTRONS
from dixc.functionals import registry
from dixc.grassmann import split_orbitals
from dixc.reference.packing import unpack
from dixc.reference.record import ReferenceRecord

GUIDE_COLUMN = 3e-3  # smaller columns of the guide cost a third of its time, and save no iteration
STATE_NAMES = ("tddft_energies", "tddft_amplitudes", "tddft_conjugates")
HESSIAN_NAMES = ("a_plus_b", "probes", "hessian_probes")  # the first, or the other two
DERIVATIVE_NAMES = (*HESSIAN_NAMES, *STATE_NAMES)  # what the loss terms use


class States(NamedTuple):
    """Lowest singlets of the reference, (X+Y)^T (X-Y) = 1.

    Attributes:
        energies: (n,), hartree.
        sums: X + Y, (n, n_vir, n_occ).
        differences: X - Y, likewise.
    """

    energies: NDArray
    sums: NDArray
    differences: NDArray


class TrainingMolecule:
    """One molecule: integrals, grids, reference orbitals, and reference derivatives where they are given.

    Args:
        record: the reference.
        derivatives: datasets of the derivative stage, or an empty dict.
        grid_level: grid of energy, density and gradient terms.
        hessian_grid_level: grid of the Hessian term.
        xctype: which density rows the functional wants.
        device: torch device of grid arrays.
        dtype: of orbitals on the grids. With float32 parameter gradients keep five digits, in half the memory.
    """

    def __init__(
        self,
        record: ReferenceRecord,
        derivatives: dict[str, NDArray],
        grid_level: int,
        hessian_grid_level: int,
        xctype: str = "MGGA",
        device: str | torch.device = "cpu",
        dtype: torch.dtype = torch.float64,
    ):
        self.record, self.mol, self.xctype = record, record.mol, xctype
        self.device, self.dtype = device, dtype
        self._derivatives = derivatives
        self._levels = {"main": grid_level, "hessian": hessian_grid_level}
        self.orbo_ref, self.orbv_ref = split_orbitals(record.mo_coeff, record.mo_occ)
        energy = record.mo_energy
        # D = 4 (e_a - e_i): the metric of gradient and Hessian errors, hartree
        self.metric_diagonal = 4 * (energy[record.mo_occ == 0][:, None] - energy[record.mo_occ == 2])

    @property
    def shape(self) -> tuple[int, int]:
        """(n_vir, n_occ)."""
        return self.metric_diagonal.shape

    @cached_property
    def overlap(self) -> NDArray:
        return self.mol.intor_symmetric("int1e_ovlp")

    @cached_property
    def _fitted(self) -> FittedIntegrals:
        return FittedIntegrals(self.mol)

    @cached_property
    def _exact(self) -> ExactIntegrals:
        return ExactIntegrals(self.mol)

    def integrals(self, exact_exchange: float) -> FittedIntegrals | ExactIntegrals:
        """Two-electron integrals for a functional: exact ones for exact exchange, else fitted Coulomb integrals.

        They belong to `one_electron`, which makes the fitted ones exact at the reference density.
        """
        return self._exact if exact_exchange else self._fitted

    @cached_property
    def _bare_core(self) -> NDArray:
        return hf.get_hcore(self.mol)

    def one_electron(self, exact_exchange: float) -> tuple[NDArray, float]:
        """Core Hamiltonian (nao, nao) and nuclear energy, hartree, with what is missing in `integrals`."""
        if exact_exchange:
            return self._bare_core, self.mol.energy_nuc()
        operator, constant = self.record.fitting_correction(exact_exchange)
        return self._bare_core + operator, self.mol.energy_nuc() + constant

    def grid(self, kind: str = "main") -> AOGrid:
        """Orbitals on the "main" or the "hessian" grid (one object if the levels are equal)."""
        if self._levels[kind] == self._levels["main"]:
            return self._main_grid
        return self._hessian_grid

    def _ao_grid(self, kind: str) -> AOGrid:
        points = self.record.grid(self._levels[kind])
        density = AOGrid(self.mol, points.coords, points.weights, "LDA", max_cache_mb=0).density(
            self.record.dm
        )[0]
        kept = np.abs(points.weights) * density.numpy() > NEGLIGIBLE_ELECTRONS
        return AOGrid(
            self.mol, points.coords[kept], points.weights[kept], self.xctype, np.inf, self.device, self.dtype
        )

    @cached_property
    def _main_grid(self) -> AOGrid:
        return self._ao_grid("main")

    @cached_property
    def _hessian_grid(self) -> AOGrid:
        return self._ao_grid("hessian")

    @cached_property
    def _main_values(self) -> OrbitalValues:
        return self._main_grid.values(self.orbo_ref)

    @cached_property
    def _hessian_values(self) -> OrbitalValues:
        return self._hessian_grid.values(self.orbo_ref)

    def values_ref(self, kind: str = "main") -> OrbitalValues:
        """Occupied reference orbitals on the "main" or the "hessian" grid."""
        return self._main_values if self.grid(kind) is self._main_grid else self._hessian_values

    @cached_property
    def rho_ref(self) -> torch.Tensor:
        """Reference density rows on the main grid, (nvar, N)."""
        return self._main_grid.density_of_orbitals(self._main_values)

    @cached_property
    def rho_ref_hessian(self) -> torch.Tensor:
        """Reference density rows on the Hessian grid, (nvar, N)."""
        if self.grid("hessian") is self._main_grid:
            return self.rho_ref
        return self._hessian_grid.density_of_orbitals(self._hessian_values)

    def fock_without_semilocal(self, exact_exchange: float) -> NDArray:
        """h + J - 1/2 a_x K at the reference density, (nao, nao), for a functional with exact exchange a_x."""
        if exact_exchange not in self._fock:
            dm, get_jk = 2 * self.orbo_ref @ self.orbo_ref.T, self.integrals(exact_exchange).get_jk
            vj, vk = get_jk(dm, with_k=exact_exchange != 0)
            effective = vj - 0.5 * exact_exchange * vk if exact_exchange else vj
            self._fock[exact_exchange] = self.one_electron(exact_exchange)[0] + effective
        return self._fock[exact_exchange]

    @cached_property
    def _fock(self) -> dict[float, NDArray]:
        return {}

    @cached_property
    def _guide_factor(self):
        """Cholesky factor of a classical functional's Hessian at the reference density, on the Hessian grid."""
        grid = self.grid("hessian")
        functional = registry.create(registry.GUIDES[self.xctype]).to(self.device)
        expansion = XCExpansion(functional, self.rho_ref_hessian[None], grid.points, order=2)
        fock = self.fock_without_semilocal(0.0) + grid.potential_matrix(expansion.potential[0])
        orbo, orbv = self.orbo_ref, self.orbv_ref
        pairs = self._fitted.pairs(orbo, orbv)
        pairs += kernel_matrix(grid, density_kernel(expansion), orbo, orbv, GUIDE_COLUMN)
        fock_vv, fock_oo = orbv.T @ fock @ orbv, orbo.T @ fock @ orbo
        difference = np.kron(fock_vv, np.eye(self.shape[1])) - np.kron(np.eye(self.shape[0]), fock_oo)
        return scipy.linalg.cho_factor(4 * difference + 16 * pairs)

    def guide_inverse(self, vector: NDArray) -> NDArray:
        """A classical functional's inverse Hessian times (n_vir, n_occ): the preconditioner of everything below.

        It has no parameters and sees no reference derivative; it steers how fast the model's SCF and response equations
        are solved, not where they lead.
        """
        return scipy.linalg.cho_solve(self._guide_factor, vector.ravel()).reshape(self.shape)

    @cached_property
    def hessian_ref(self) -> NDArray | None:
        """Dense reference Hessian 4 (A + B) over pairs, hartree; None above the dense size."""
        triangle = self._derivatives.get("a_plus_b")
        return None if triangle is None else 4 * unpack(triangle)

    @cached_property
    def _hessian_factor(self) -> NDArray:
        """Lower Cholesky factor of the dense reference Hessian; what is above its diagonal means nothing."""
        return scipy.linalg.cho_factor(self.hessian_ref, lower=True)[0]

    def metric_root(self, vectors: NDArray, metric: str, transposed: bool = False) -> NDArray:
        """R v (or R^T v) for vectors (..., n_vir, n_occ), where R^T R = M is that of the gradient loss 1/2 g^T M g.

        "inverse_hessian" (where the molecule has a dense Hessian, else its diagonal) and "diagonal" give a loss in
        hartree that estimates E_rho; "plain" has M = 1.
        """
        if metric == "plain":
            return vectors
        if metric == "inverse_hessian" and self.hessian_ref is not None:
            flat = vectors.reshape(-1, self.metric_diagonal.size).T
            root = scipy.linalg.solve_triangular(
                self._hessian_factor, flat, lower=True, trans="T" if transposed else "N", check_finite=False
            )
            return np.ascontiguousarray(root.T).reshape(vectors.shape)
        return vectors / np.sqrt(self.metric_diagonal)

    def probes(self, count: int, metric: str, rng: np.random.Generator) -> tuple[NDArray, NDArray]:
        """Probe directions v and reference products H_ref v, each (count, n_vir, n_occ).

        Fresh D^-1/2 z (or plain z) where the Hessian is dense; a fresh choice of the stored ones elsewhere.
        """
        if self.hessian_ref is None:
            stored = self._derivatives["probes"]
            chosen = rng.choice(len(stored), size=min(count, len(stored)), replace=False)
            probes, products = (
                array[chosen].astype(float) for array in (stored, self._derivatives["hessian_probes"])
            )
            scale = 1.0 if metric == "diagonal" else np.sqrt(self.metric_diagonal.mean())
            return probes * scale, products * scale
        probes = rng.standard_normal((count, *self.shape))
        if metric == "diagonal":
            probes /= np.sqrt(self.metric_diagonal)
        products = probes.reshape(count, -1) @ self.hessian_ref
        return probes, products.reshape(probes.shape)

    @cached_property
    def states(self) -> States:
        """The lowest singlets that the derivative stage found.

        Their amplitudes are rounded to float32; scaled anew, they give the reference's energies to a microhartree.

        Raises:
            InputError: its derivatives have none.
        """
        if not set(STATE_NAMES) <= set(self._derivatives):
            raise InputError(
                f"{self.record.name}: its derivatives have no amplitudes of excitations "
                "(an older dixc made them: run the stage again, or set training.excitation.weight to 0)"
            )
        energies, sums, differences = (self._derivatives[name].astype(float) for name in STATE_NAMES)
        scale = np.sqrt(np.einsum("kai,kai->k", sums, differences))[:, None, None]
        return States(energies, sums / scale, differences / scale)

    def drop(self) -> None:
        """Forget everything that can be rebuilt from the record."""
        for name in [n for n, v in vars(type(self)).items() if isinstance(v, cached_property)]:
            self.__dict__.pop(name, None)

    def megabytes(self) -> float:
        """Estimated memory of a molecule in use: integrals, orbitals on grids, Hessian and its factor."""
        points = self.grid().n_points
        if self.grid("hessian") is not self.grid():
            points += self.grid("hessian").n_points
        pairs = self.metric_diagonal.size if "a_plus_b" in self._derivatives else 0
        numbers = 2 * pairs**2 + self.metric_diagonal.size**2
        orbitals = self.mol.nao + self.shape[1]  # atomic orbitals, and the reference's own
        return self._fitted.megabytes() + 1e-6 * (8 * numbers + self.dtype.itemsize * 4 * orbitals * points)


class MoleculeCache:
    """Hands out molecules and drops the least recently used ones when together they exceed a limit.

    Args:
        molecules: by name; one that is dropped is asked for again there.
        cache_gb: limit in GB; the molecule in use is always kept.
    """

    def __init__(self, molecules: Mapping[str, TrainingMolecule], cache_gb: float):
        self.molecules, self.cache_gb = molecules, cache_gb
        self._in_memory: OrderedDict[str, tuple[TrainingMolecule, float]] = OrderedDict()

    def get(self, name: str) -> TrainingMolecule:
        """The molecule of a name."""
        if name not in self._in_memory:
            molecule = self.molecules[name]
            self._in_memory[name] = molecule, molecule.megabytes()
        self._in_memory.move_to_end(name)
        while self._megabytes() > 1000 * self.cache_gb and len(self._in_memory) > 1:
            self._in_memory.popitem(last=False)[1][0].drop()
        return self._in_memory[name][0]

    def _megabytes(self) -> float:
        return sum(megabytes for _, megabytes in self._in_memory.values())

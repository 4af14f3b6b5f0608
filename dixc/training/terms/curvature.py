"""Terms of the model's Hessians at the reference density: along random probes, and along the lowest singlets.

    hessian     mean over probes of |D^-1/2 (H_ML v - H_ref v)|^2 per pair, v = D^-1/2 z   1 (plain: hartree^2)
    excitation  mean over the lowest singlets of pseudo-Huber of w_ML - w_ref              eV

Excitation energies are those of the model's Hessians at P_ref to first order. Along imaginary rotations i kappa the
Hessian is 4 (A - B), along real ones 4 (A + B), and the energy of a singlet is stationary (D. J. Thouless 1961) in

    w = 1/2 (X+Y)^T (A+B) (X+Y) + 1/2 (X-Y)^T (A-B) (X-Y),    (X+Y)^T (X-Y) = 1

so that the reference's amplitudes give the model's energies but for the square of their change. Probes see all pairs
of orbitals alike; this term says which few matter. A semilocal functional enters A - B by its orbital energies alone.

A term first names the directions along which it wants products, so that those of all terms are made at once. What it
gives back are combinations of left_k . (H right_k), whose parameter gradients are contractions of the mixed second
variation of P along (left, right), and of the pair of first variations.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np
from torch import Tensor

from dixc.core.arrays import Array
from dixc.core.hamiltonian import FunctionalExpansion
from dixc.core.state import State
from dixc.core.xc.invariants import invariants_jvp, invariants_second_variation
from dixc.core.xc.parameter_gradients import Pairs
from dixc.excitations import HARTREE_EV
from dixc.functionals.base import Functional
from dixc.training.molecule import TrainingMolecule
from dixc.training.sinks import Sink
from dixc.training.terms.term import Cotangents, TermValue, huber_weight, pseudo_huber

if TYPE_CHECKING:
    from dixc.config.training import Training

LEFTS_OF_A_PROBE = 2  # rows of a sketch: along the residual of the product, and one at random


@dataclass(frozen=True)
class Forms:
    """Combinations of residuals that are left_k . (H right_k), imaginary ones added to real ones.

    Attributes:
        residuals: their values, (K,).
        left: (K, n_vir, n_occ).
        which: number of the direction that is right_k, among the term's own.
        imaginary_left: of imaginary rotations (K, n_vir, n_occ), or None; right_k is then the k-th direction.
    """

    residuals: Array
    left: Array
    which: Sequence[int]
    imaginary_left: Array | None = None


class CurvatureTerm(Protocol):
    """A term of Hessian products at the reference, for one molecule and one step.

    `real` are directions of real rotations, `imaginary` those of imaginary ones, if it has any.
    """

    @property
    def real(self) -> Array:
        """(K, n_vir, n_occ)."""

    @property
    def imaginary(self) -> Array | None:
        """(K, n_vir, n_occ)."""

    def residuals(
        self, products: Array, imaginary_products: Array | None, sink: Sink | None
    ) -> tuple[TermValue, Forms | None]:
        """Its value from the products along its directions, hartree, and what a sink is to take."""


class HessianTerm:
    """Products along fresh probes.

    Args:
        molecule: has the reference's products.
        settings: of the training.
        rng: of the probes.
    """

    def __init__(self, molecule: TrainingMolecule, settings: Training, rng: np.random.Generator):
        self.settings, metric = settings.hessian, settings.hessian.metric
        self.real, self._target = molecule.probes(self.settings.probes, metric, rng)
        self.imaginary: Array | None = None
        self._root = np.sqrt(molecule.metric_diagonal) if metric == "diagonal" else 1.0
        self._norm = len(self.real) * molecule.metric_diagonal.size
        self._unit = "1" if metric == "diagonal" else "hartree2"

    def residuals(
        self, products: Array, imaginary_products: Array | None, sink: Sink | None
    ) -> tuple[TermValue, Forms | None]:
        """As of `CurvatureTerm`."""
        errors = (products - self._target) / self._root
        value = float(np.vdot(errors, errors)) / self._norm
        weight = self.settings.weight
        term = TermValue("hessian", value, weight * value, self._unit)
        if sink is None or weight <= 0:
            return term, None
        scale = np.sqrt(2 * weight / self._norm)
        left, residuals, which = [], [], []
        for number, error in enumerate(errors):
            directions, values = sink.directions(scale * error, count=LEFTS_OF_A_PROBE)
            left += [scale * direction / self._root for direction in directions]
            residuals += list(values)
            which += [number] * len(values)
        return term, Forms(np.array(residuals), np.stack(left), which)


class ExcitationTerm:
    """Energies of the lowest singlets to first order.

    Args:
        molecule: has the reference's singlets.
        settings: of the training.

    Raises:
        InputError: it has none.
    """

    def __init__(self, molecule: TrainingMolecule, settings: Training):
        self.settings, self._states = settings.excitation, molecule.states
        self.real, self.imaginary = self._states.sums, self._states.differences

    def residuals(
        self, products: Array, imaginary_products: Array | None, sink: Sink | None
    ) -> tuple[TermValue, Forms | None]:
        """As of `CurvatureTerm`; products are 4 (A+B)(X+Y) and 4 (A-B)(X-Y)."""
        assert imaginary_products is not None
        pairs = (self.real, products), (self.imaginary, imaginary_products)
        energies = sum(np.einsum("kai,kai->k", v, hv) for v, hv in pairs) / 8
        error = HARTREE_EV * (energies - self._states.energies)
        weight, delta = self.settings.weight, self.settings.huber_eV
        term = TermValue(
            "excitation",
            float(np.abs(error).mean()),
            weight * float(pseudo_huber(error, delta)[0].mean()),
            "eV",
        )
        if sink is None:
            return term, None
        factor = huber_weight(error, weight / len(error), delta)
        per_form = (factor * HARTREE_EV / 8)[:, None, None]
        return term, Forms(factor * error, per_form * self.real, range(len(error)), per_form * self.imaginary)


def evaluate(
    terms: Sequence[CurvatureTerm], molecule: TrainingMolecule, functional: Functional, sink: Sink | None
) -> list[TermValue]:
    """Values of terms from one expansion at the reference density; their cotangents go to the sink at once."""
    state = molecule.reference_state(functional, "hessian", order=2, trainable=sink is not None)
    directions = np.concatenate([term.real for term in terms])
    starts = np.cumsum([0, *(len(term.real) for term in terms)])
    products = state.hvp(directions)
    values, forms = [], []
    for term, start, end in zip(terms, starts[:-1], starts[1:], strict=True):
        imaginary = None if term.imaginary is None else state.hvp_imaginary(term.imaginary)
        value, of_term = term.residuals(products[start:end], imaginary, sink)
        values.append(value)
        if of_term is not None:
            forms.append((of_term, term, int(start)))
    if sink is not None and forms:
        residuals = np.concatenate([of_term.residuals for of_term, _, _ in forms])
        slopes, pairs = _mixed_variation(state, directions, forms)
        cotangents = Cotangents(residuals, [0.0] * len(residuals), slopes)
        sink.add(state.expansion.local.expansion, cotangents, pairs)
    return values


def _mixed_variation(
    state: State[FunctionalExpansion], directions: Array, forms: Sequence[tuple[Forms, CurvatureTerm, int]]
) -> tuple[Tensor, Pairs]:
    """Cotangents of e1 (K, rows, N) and e2 in all forms left_k . (H right_k).

    Imaginary rotations leave the density as it is to first order: only the Fock matrix sees them.
    """
    orbo, orbv = state.orbo, state.orbv
    vv_forms, oo_forms, which = [], [], []
    for form, term, start in forms:
        numbers = [start + number for number in form.which]
        right = directions[numbers]
        vv_form = np.einsum("kai,kbi->kab", form.left, right)
        oo_form = np.einsum("kai,kaj->kij", form.left, right)
        if form.imaginary_left is not None and term.imaginary is not None:
            vv_form += np.einsum("kai,kbi->kab", form.imaginary_left, term.imaginary)
            oo_form += np.einsum("kai,kaj->kij", form.imaginary_left, term.imaginary)
        vv_forms.append(vv_form)
        oo_forms.append(oo_form)
        which += numbers
    vv, oo = np.concatenate(vv_forms), np.concatenate(oo_forms)
    second = 2 * (orbv @ (vv + vv.transpose(0, 2, 1)) @ orbv.T - orbo @ (oo + oo.transpose(0, 2, 1)) @ orbo.T)
    local, left = state.expansion.local, np.concatenate([form.left for form, _, _ in forms])
    grid, rho = local.grid, local.expansion.rho
    rho_left, rho_right = (
        grid.density_of_pairs(2 * orbv @ v, local.values[0])[:, None] for v in (left, directions)
    )
    x_left, x_right = (invariants_jvp(rho, rows) for rows in (rho_left, rho_right))
    slopes = invariants_jvp(rho, grid.density(second)[:, None])
    # the second variation of the invariants adds to that of the density matrix
    for k, number in enumerate(which):
        slopes[k] += invariants_second_variation(rho_left[k], rho_right[number])
    return slopes, Pairs(x_left, x_right, which)

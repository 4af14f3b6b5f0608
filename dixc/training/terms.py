"""The terms of the loss. Each computes its value and cotangents without a graph, then adds its parameter gradient.

    energy    pseudo-Huber of E_ML[P*] - E_ref                                           mEh
    density   int (rho* - rho_ref)^2 / N_electrons                                       bohr^-3
    gradient  1/2 g^T M g at P_ref, M = H_ref^-1, its diagonal, or 1                     mEh (plain: hartree^2)
    hessian   mean over probes of |D^-1/2 (H_ML v - H_ref v)|^2 per pair, v = D^-1/2 z   1 (plain: hartree^2)
    excitation  mean over the lowest singlets of pseudo-Huber of w_ML - w_ref            eV

P* is the model's own SCF solution. The energy needs no response there (envelope theorem); for the density
dL/dtheta = -lambda . dg/dtheta with H_ML lambda = dL/dkappa. `base` sees energy and density only. How energies are
trained with Adam is said in `dixc.training.energies`.

Each term is half the square of residuals (a pseudo-Huber term: of reweighted ones, which have its gradient), and hands
directions in their space over to whoever trains (`dixc.training.directions`).

Excitation energies are those of the model's Hessians at P_ref to first order. Along imaginary rotations i kappa the
Hessian is 4 (A - B), along real ones 4 (A + B), and the energy of a singlet is stationary (D. J. Thouless 1961) in

    w = 1/2 (X+Y)^T (A+B) (X+Y) + 1/2 (X-Y)^T (A-B) (X-Y),    (X+Y)^T (X-Y) = 1

so that the reference's amplitudes give the model's energies but for the square of their change. Probes see all pairs
of orbitals alike; this term says which few matter. A semilocal functional enters A - B by its orbital energies alone.

All parameter gradients are contractions of dE/dx and d2E/dx2 with constants (`dixc.core.xc.XCExpansion.backward`):
    lambda . dg/dtheta             first variation of P along lambda
    u . d(H v)/dtheta              mixed second variation of P along (u, v), and the pair of first variations
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from dixc.core.grid import AOGrid
from dixc.core.response import expansion_response
from dixc.core.xc import Pairs, XCExpansion, invariants_jvp, invariants_second_variation
from dixc.excitations import HARTREE_EV
from dixc.functionals.base import Functional
from dixc.grassmann import OrbitalHessian
from dixc.training.data import States, TrainingMolecule
from dixc.training.directions import Sketch, chosen
from dixc.training.model_scf import SCFPoint

if TYPE_CHECKING:
    from dixc.config.training import Training

LEFTS_OF_A_PROBE = 2  # rows of a sketch: along the residual of the product, and one at random
TERMS_OF_LOSS = {
    "base": ("energy", "density"),
    "grad": ("energy", "density", "gradient"),
    "hess": ("energy", "density", "gradient", "hessian", "excitation"),
}


@dataclass
class TermValue:
    """A term's value before and after its weight; `raw` in `unit`."""

    name: str
    raw: float
    weighted: float
    unit: str


def pseudo_huber(error, delta: float):
    """delta (sqrt(1 + (error/delta)^2) - 1), quadratic below delta and linear above, and its slope."""
    root = np.sqrt(1 + (error / delta) ** 2)
    return delta * (root - 1), error / (delta * root)


def huber_weight(error, weight: float, delta: float):
    """w with 1/2 (w error)^2 having the slope of weight * pseudo_huber(error, delta) if w is held fixed."""
    return np.sqrt(weight / (delta * np.sqrt(1 + (error / delta) ** 2)))


def energy_error(molecule: TrainingMolecule, point: SCFPoint) -> float:
    """E_ML[P*] - E_ref, mEh."""
    return 1000 * (point.energy - molecule.record.e_tot)


def energy_and_density(
    molecule: TrainingMolecule,
    functional: Functional,
    point: SCFPoint,
    settings: Training,
    backward: bool = True,
    sketch: Sketch | None = None,
) -> list[TermValue]:
    """The two terms at the model's own SCF solution."""
    error = energy_error(molecule, point)
    value, _ = pseudo_huber(error, settings.energy.huber_mEh)
    energy = TermValue("energy", abs(error), settings.energy.weight * value, "mEh")

    grid, expansion = molecule.grid(), point.expansion
    n_electrons, weights = molecule.record.n_electrons, grid.points.weights
    difference = expansion.rho[0, 0] - molecule.rho_ref[0]
    value = float((weights * difference) @ difference) / n_electrons
    density = TermValue("density", value, settings.density.weight * value, "per_bohr3")
    into = chosen(backward, sketch)
    if into is not None:
        energies, slopes, errors = [], [], []
        if settings.trains_energies_in_the_sum and settings.energy.weight > 0:
            factor = huber_weight(error, settings.energy.weight, settings.energy.huber_mEh)
            energies.append(1000 * factor)
            errors.append(factor * error)
            slopes.append(torch.zeros_like(expansion.x))
        if settings.density.weight > 0:
            # a quadrature weight may be negative: its residual then has the other sign of its cotangent
            roots = (2 * settings.density.weight / n_electrons * weights.abs()).sqrt()
            directions, values = into.of((roots * weights.sign() * difference).cpu().numpy())
            slopes += _density_slopes(
                molecule, point, roots * torch.as_tensor(directions, device=roots.device), settings
            )
            energies += [0.0] * len(directions)
            errors += list(values)
        if errors:
            into.add(expansion, np.array(errors), energies, torch.stack(slopes))
    return [energy, density]


def _density_slopes(
    molecule: TrainingMolecule, point: SCFPoint, cotangents: torch.Tensor, settings: Training
) -> list[torch.Tensor]:
    """Cotangents of e1 (rows, N) from those of the SCF density (K, N), by its response to the potential.

    The first is exact; the others, which measure curvature, make do with a classical functional's response.
    """
    grid = molecule.grid()
    rows = cotangents.new_zeros(len(cotangents), grid.nvar, cotangents.shape[-1])
    rows[:, 0] = cotangents
    kappa_slopes = 4 * point.orbv.T @ grid.potential_on_orbitals(rows, point.values)
    exact, _ = point.hessian.solve(
        kappa_slopes[0], rtol=settings.density.cg_tol, precondition=molecule.guide_inverse
    )
    adjoints = np.stack([exact, *map(molecule.guide_inverse, kappa_slopes[1:])])
    rho_adjoints = grid.density_of_pairs(2 * point.orbv @ adjoints, point.values)
    return list(-invariants_jvp(point.expansion.rho, rho_adjoints[:, None]))


def gradient(
    molecule: TrainingMolecule,
    functional: Functional,
    settings: Training,
    backward: bool = True,
    sketch: Sketch | None = None,
) -> TermValue:
    """Gradient of the model's energy at the reference density, in the chosen metric."""
    grid, metric = molecule.grid(), settings.gradient.metric
    into = chosen(backward, sketch)
    expansion = XCExpansion(
        functional, molecule.rho_ref[None], grid.points, order=1, trainable=into is not None
    )
    half = grid.potential_on_orbitals(expansion.potential[0], molecule.values_ref())
    fock = molecule.fock_without_semilocal(functional.exact_exchange)
    g = 4 * molecule.orbv_ref.T @ (fock @ molecule.orbo_ref + half)
    unit, factor = ("hartree2", 1.0) if metric == "plain" else ("mEh", 1000.0)
    scale = np.sqrt(factor * settings.gradient.weight)
    residuals = molecule.metric_root(g, metric)
    value = 0.5 * factor * float(np.vdot(residuals, residuals))
    if into is not None:
        directions, values = into.of(scale * residuals)
        cotangents = scale * molecule.metric_root(directions, metric, transposed=True)
        rho_directions = grid.density_of_pairs(2 * molecule.orbv_ref @ cotangents, molecule.values_ref())
        slopes = invariants_jvp(expansion.rho, rho_directions[:, None])
        into.add(expansion, values, [0.0] * len(values), slopes)
    return TermValue("gradient", value, settings.gradient.weight * value, unit)


def hessian_and_excitations(
    molecule: TrainingMolecule,
    functional: Functional,
    settings: Training,
    rng: np.random.Generator,
    backward: bool = True,
    sketch: Sketch | None = None,
) -> list[TermValue]:
    """Two terms of the model's Hessians at the reference density: along fresh probes, and along the lowest singlets.

    The second is left out where its weight is zero.
    """
    metric, into = settings.hessian.metric, chosen(backward, sketch)
    probes, target = molecule.probes(settings.hessian.probes, metric, rng)
    states = molecule.states if settings.excitation.weight > 0 else None
    directions = probes if states is None else np.concatenate([probes, states.sums])
    grid, expansion, operator = _reference_hessian(molecule, functional, into is not None)
    products = operator.hvp(directions)
    root = np.sqrt(molecule.metric_diagonal) if metric == "diagonal" else 1.0
    residuals = (products[: len(probes)] - target) / root
    norm = len(probes) * molecule.metric_diagonal.size
    value = float(np.vdot(residuals, residuals)) / norm
    unit = "1" if metric == "diagonal" else "hartree2"
    values = [TermValue("hessian", value, settings.hessian.weight * value, unit)]
    scale = np.sqrt(2 * settings.hessian.weight / norm)
    lefts, which, errors, imaginary = [], [], [], None
    if into is not None and settings.hessian.weight > 0:
        for number, residual in enumerate(residuals):
            found = into.of(scale * residual, count=LEFTS_OF_A_PROBE)
            lefts += [scale * direction / root for direction in found[0]]
            errors += list(found[1])
            which += [number] * len(found[1])
    if states is not None:
        along_differences = _imaginary_products(molecule, functional, operator, states.differences)
        value, error, factor = _excitations(states, products[len(probes) :], along_differences, settings)
        values.append(value)
        per_form = (factor * HARTREE_EV / 8)[:, None, None]
        lefts += list(per_form * states.sums)
        errors += list(factor * error)
        which += range(len(probes), len(directions))
        imaginary = per_form * states.differences, states.differences
    if into is not None and lefts:
        slopes, pairs = _mixed_variation(
            molecule, grid, expansion, (np.stack(lefts), directions, which), imaginary
        )
        into.add(expansion, np.array(errors), [0.0] * len(errors), slopes, pairs)
    return values


def _excitations(
    states: States, along_sums: NDArray, along_differences: NDArray, settings: Training
) -> tuple[TermValue, NDArray, NDArray]:
    """The excitation term from 4 (A+B)(X+Y) and 4 (A-B)(X-Y), each (n, n_vir, n_occ).

    Returns:
        Its value, and the error (n,), eV, and weight (n,) of each state, whose products are residuals.
    """
    pairs = (states.sums, along_sums), (states.differences, along_differences)
    energies = sum(np.einsum("kai,kai->k", v, hv) for v, hv in pairs) / 8
    error = HARTREE_EV * (energies - states.energies)
    each, _ = pseudo_huber(error, settings.excitation.huber_eV)
    weight = settings.excitation.weight
    value = TermValue("excitation", float(np.abs(error).mean()), weight * float(each.mean()), "eV")
    return value, error, huber_weight(error, weight / len(error), settings.excitation.huber_eV)


def _reference_hessian(molecule: TrainingMolecule, functional: Functional, trainable: bool):
    """The model's Hessian operator at the reference orbitals, on the Hessian grid."""
    grid = molecule.grid("hessian")
    expansion = XCExpansion(functional, molecule.rho_ref_hessian[None], grid.points, 2, trainable)
    hybrid = functional.exact_exchange
    fock = molecule.fock_without_semilocal(hybrid) + grid.potential_matrix(expansion.potential[0])
    values = molecule.values_ref("hessian")
    get_jk = molecule.integrals(hybrid).get_jk
    response = expansion_response(grid, expansion, molecule.orbo_ref, get_jk, hybrid, values)
    return grid, expansion, OrbitalHessian(molecule.orbo_ref, molecule.orbv_ref, fock, response)


def _imaginary_products(
    molecule: TrainingMolecule, functional: Functional, operator: OrbitalHessian, kappa: NDArray
) -> NDArray:
    """4 (A - B) kappa at the reference orbitals for kappa (K, n_vir, n_occ), hartree."""
    product = operator.fock_vv @ kappa - kappa @ operator.fock_oo
    if functional.exact_exchange:
        dm = molecule.orbv_ref @ kappa @ molecule.orbo_ref.T
        get_jk = molecule.integrals(functional.exact_exchange).get_jk
        _, vk = get_jk(dm - dm.transpose(0, 2, 1), hermi=2, with_k=True)
        product = product - functional.exact_exchange * (molecule.orbv_ref.T @ vk @ molecule.orbo_ref)
    return 4 * product


def _mixed_variation(
    molecule: TrainingMolecule,
    grid: AOGrid,
    expansion: XCExpansion,
    real: tuple[NDArray, NDArray, Sequence[int]],
    imaginary: tuple[NDArray, NDArray] | None = None,
) -> tuple[torch.Tensor, Pairs]:
    """Cotangents of e1 (K, rows, N) and e2 in left_k . (H_ML right_which[k]), for left (K, n_vir, n_occ).

    Imaginary rotations leave the density as it is to first order: only the Fock matrix sees them. Those of `imaginary`
    (left and right, n of each) belong to the last n of the K.
    """
    orbo, orbv = molecule.orbo_ref, molecule.orbv_ref
    left, directions, which = real
    right = directions[list(which)]
    vv, oo = np.einsum("kai,kbi->kab", left, right), np.einsum("kai,kaj->kij", left, right)
    if imaginary is not None:
        vv[-len(imaginary[0]) :] += np.einsum("kai,kbi->kab", *imaginary)
        oo[-len(imaginary[0]) :] += np.einsum("kai,kaj->kij", *imaginary)
    second = 2 * (orbv @ (vv + vv.transpose(0, 2, 1)) @ orbv.T - orbo @ (oo + oo.transpose(0, 2, 1)) @ orbo.T)
    values = molecule.values_ref("hessian")
    rho_left, rho_right = (grid.density_of_pairs(2 * orbv @ v, values)[:, None] for v in (left, directions))
    x_left, x_right = (invariants_jvp(expansion.rho, rho) for rho in (rho_left, rho_right))
    slopes = invariants_jvp(expansion.rho, grid.density(second)[:, None])
    # the second variation of the invariants adds to that of the density matrix
    for k, number in enumerate(which):
        slopes[k] += invariants_second_variation(rho_left[k], rho_right[number])
    return slopes, Pairs(x_left, x_right, which)

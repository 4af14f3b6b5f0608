"""The terms of the loss. Each computes its value and cotangents without a graph, then adds its parameter gradient.

    energy    pseudo-Huber of E_ML[P*] - E_ref                                           mEh
    density   int (rho* - rho_ref)^2 / N_electrons                                       bohr^-3
    gradient  1/2 g^T M g at P_ref, M = H_ref^-1, its diagonal, or 1                     mEh (plain: hartree^2)
    hessian   mean over probes of |D^-1/2 (H_ML v - H_ref v)|^2 per pair, v = D^-1/2 z   1 (plain: hartree^2)
    excitation  mean over the lowest singlets of pseudo-Huber of w_ML - w_ref            eV

P* is the model's own SCF solution. The energy needs no response there (envelope theorem); for the density
dL/dtheta = -lambda . dg/dtheta with H_ML lambda = dL/dkappa. `base` sees energy and density only. How energies are
trained is said in `dixc.training.energies`; with `training.energy.method` "gradient" they are a term like the others.

Excitation energies are those of the model's Hessians at P_ref to first order. Along imaginary rotations i kappa the
Hessian is 4 (A - B), along real ones 4 (A + B), and the energy of a singlet is stationary (D. J. Thouless 1961) in

    w = 1/2 (X+Y)^T (A+B) (X+Y) + 1/2 (X-Y)^T (A-B) (X-Y),    (X+Y)^T (X-Y) = 1

so that the reference's amplitudes give the model's energies but for the square of their change. Probes see all pairs
of orbitals alike; this term says which few matter. A semilocal functional enters A - B by its orbital energies alone.

All parameter gradients are contractions of dE/dx and d2E/dx2 with constants (`dixc.xc.XCExpansion.backward`):
    lambda . dg/dtheta             first variation of P along lambda
    u . d(H v)/dtheta              mixed second variation of P along (u, v), and the pair of first variations
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from dixc.excitations import HARTREE_EV
from dixc.functionals.base import Functional
from dixc.grassmann import OrbitalHessian
from dixc.response import expansion_response
from dixc.training.data import States, TrainingMolecule
from dixc.training.model_scf import SCFPoint
from dixc.xc import XCExpansion, invariants_jvp

if TYPE_CHECKING:
    from dixc.config.training import Training

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


def energy_error(molecule: TrainingMolecule, point: SCFPoint) -> float:
    """E_ML[P*] - E_ref, mEh."""
    return 1000 * (point.energy - molecule.record.e_tot)


def energy_and_density(
    molecule: TrainingMolecule,
    functional: Functional,
    point: SCFPoint,
    settings: Training,
    backward: bool = True,
) -> list[TermValue]:
    """The two terms at the model's own SCF solution."""
    error = energy_error(molecule, point)
    value, energy_slope = pseudo_huber(error, settings.energy.huber_mEh)
    energy = TermValue("energy", abs(error), settings.energy.weight * value, "mEh")

    grid, expansion = molecule.grid(), point.expansion
    n_electrons = molecule.record.n_electrons
    difference = expansion.rho[0, 0] - molecule.rho_ref[0]
    weighted = grid.points.weights * difference
    value = float(weighted @ difference) / n_electrons
    density = TermValue("density", value, settings.density.weight * value, "per_bohr3")
    if backward:
        slope = None
        if settings.density.weight > 0:
            cotangent = torch.zeros_like(expansion.rho[0])
            cotangent[0] = 2 * weighted / n_electrons
            kappa_slope = 4 * point.orbv.T @ grid.potential_on_orbitals(cotangent, point.values)
            adjoint, _ = point.hessian.solve(
                kappa_slope, rtol=settings.density.cg_tol, precondition=molecule.guide_inverse
            )
            rho_adjoint = grid.density_of_pairs(2 * point.orbv @ adjoint, point.values)
            slope = -settings.density.weight * invariants_jvp(expansion.rho, rho_adjoint[None])
        in_the_sum = settings.energy.method == "gradient"
        per_hartree = 1000 * settings.energy.weight * energy_slope if in_the_sum else 0.0
        expansion.backward(energy=per_hartree, slope=slope)
    return [energy, density]


def gradient(
    molecule: TrainingMolecule, functional: Functional, settings: Training, backward: bool = True
) -> TermValue:
    """Gradient of the model's energy at the reference density, in the chosen metric."""
    grid, metric = molecule.grid(), settings.gradient.metric
    expansion = XCExpansion(functional, molecule.rho_ref[None], grid.points, order=1, trainable=backward)
    half = grid.potential_on_orbitals(expansion.potential[0], molecule.values_ref())
    fock = molecule.fock_without_semilocal(functional.exact_exchange)
    g = 4 * molecule.orbv_ref.T @ (fock @ molecule.orbo_ref + half)
    scaled = molecule.metric_times(g, metric)
    unit, factor = ("hartree2", 1.0) if metric == "plain" else ("mEh", 1000.0)
    value = 0.5 * factor * float(np.vdot(g, scaled))
    if backward:
        rho_direction = grid.density_of_pairs(2 * molecule.orbv_ref @ scaled, molecule.values_ref())
        slope = settings.gradient.weight * factor * invariants_jvp(expansion.rho, rho_direction[None])
        expansion.backward(slope=slope)
    return TermValue("gradient", value, settings.gradient.weight * value, unit)


def hessian_and_excitations(
    molecule: TrainingMolecule,
    functional: Functional,
    settings: Training,
    rng: np.random.Generator,
    backward: bool = True,
) -> list[TermValue]:
    """Two terms of the model's Hessians at the reference density: along fresh probes, and along the lowest singlets.

    The second is left out where its weight is zero.
    """
    metric = settings.hessian.metric
    probes, target = molecule.probes(settings.hessian.probes, metric, rng)
    states = molecule.states if settings.excitation.weight > 0 else None
    directions = probes if states is None else np.concatenate([probes, states.sums])
    grid, expansion, operator = _reference_hessian(molecule, functional, backward)
    products = operator.hvp(directions)
    residual = products[: len(probes)] - target
    scaled = residual / molecule.metric_diagonal if metric == "diagonal" else residual
    norm = len(probes) * molecule.metric_diagonal.size
    value = float(np.vdot(residual, scaled)) / norm
    unit = "1" if metric == "diagonal" else "hartree2"
    values = [TermValue("hessian", value, settings.hessian.weight * value, unit)]
    left = settings.hessian.weight * 2 / norm * scaled
    imaginary = None
    if states is not None:
        along_differences = _imaginary_products(molecule, functional, operator, states.differences)
        value, cotangent = _excitations(states, products[len(probes) :], along_differences, settings)
        values.append(value)
        left = np.concatenate([left, cotangent * states.sums])
        imaginary = cotangent * states.differences, states.differences
    if backward:
        slope, pairs = _mixed_variation(molecule, grid, expansion, (left, directions), imaginary)
        expansion.backward(slope=slope, pairs=pairs)
    return values


def _excitations(
    states: States, along_sums: NDArray, along_differences: NDArray, settings: Training
) -> tuple[TermValue, NDArray]:
    """The excitation term from 4 (A+B)(X+Y) and 4 (A-B)(X-Y), each (n, n_vir, n_occ).

    Returns:
        Its value, and its slope (n, 1, 1) by the quadratic forms of these.
    """
    pairs = (states.sums, along_sums), (states.differences, along_differences)
    energies = sum(np.einsum("kai,kai->k", v, hv) for v, hv in pairs) / 8
    error = HARTREE_EV * (energies - states.energies)
    each, slope = pseudo_huber(error, settings.excitation.huber_eV)
    weight = settings.excitation.weight
    value = TermValue("excitation", float(np.abs(error).mean()), weight * float(each.mean()), "eV")
    return value, (weight * HARTREE_EV / 8 / len(error) * slope)[:, None, None]


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
    grid,
    expansion: XCExpansion,
    real: tuple[NDArray, NDArray],
    imaginary: tuple[NDArray, NDArray] | None = None,
) -> tuple[torch.Tensor, tuple[torch.Tensor, torch.Tensor]]:
    """Cotangents of e1 and e2 in sum_k left_k . (H_ML right_k), for pairs (left, right) of (K, n_vir, n_occ).

    Imaginary rotations leave the density as it is to first order: only the Fock matrix sees them.
    """
    orbo, orbv = molecule.orbo_ref, molecule.orbv_ref
    both = [real] if imaginary is None else [real, imaginary]
    vv = sum(np.einsum("kai,kbi->ab", left, right) for left, right in both)
    oo = sum(np.einsum("kai,kaj->ij", left, right) for left, right in both)
    second = 2 * (orbv @ (vv + vv.T) @ orbv.T - orbo @ (oo + oo.T) @ orbo.T)
    values = molecule.values_ref("hessian")
    rho_left, rho_right = (grid.density_of_pairs(2 * orbv @ v, values)[:, None] for v in real)
    x_left, x_right = (invariants_jvp(expansion.rho, rho) for rho in (rho_left, rho_right))
    # sigma is quadratic in grad n: its second variation adds to that of the density matrix
    curvature = sum(invariants_jvp(a, b)[1] for a, b in zip(rho_left, rho_right, strict=True))
    slope = invariants_jvp(expansion.rho, grid.density(second)[None])
    slope[1] += curvature
    return slope, (x_left, x_right)

"""Terms at the model's own SCF solution P*: total energy and density.

    energy    pseudo-Huber of E_ML[P*] - E_ref                                           mEh
    density   int (rho* - rho_ref)^2 / N_electrons                                       bohr^-3

The energy needs no response there (envelope theorem). For the density dL/dtheta = -lambda . dg/dtheta with
H_ML lambda = dL/dkappa, where lambda . dg/dtheta is a contraction with the first variation of P along lambda.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import numpy as np
import torch
from torch import Tensor

from dixc.core.xc.invariants import invariants_jvp
from dixc.training.model_scf import ModelSolution
from dixc.training.molecule import TrainingMolecule
from dixc.training.sinks import Sink
from dixc.training.terms.term import Cotangents, TermValue, huber_weight, merged, pseudo_huber

if TYPE_CHECKING:
    from dixc.config.training import Training


class SolutionTerm(Protocol):
    """A term of the SCF solution."""

    def __call__(
        self, molecule: TrainingMolecule, solution: ModelSolution, settings: Training, sink: Sink | None
    ) -> tuple[TermValue, Cotangents | None]:
        """Its value, and cotangents for a sink; None without one, or where there is nothing to train."""


def evaluate(
    terms: list[SolutionTerm],
    molecule: TrainingMolecule,
    solution: ModelSolution,
    settings: Training,
    sink: Sink | None,
) -> list[TermValue]:
    """Values of terms; their cotangents go to the sink at once."""
    values, cotangents = [], []
    for term in terms:
        value, of_term = term(molecule, solution, settings, sink)
        values.append(value)
        if of_term is not None:
            cotangents.append(of_term)
    if sink is not None and cotangents:
        expansion = solution.state.expansion.local.expansion
        sink.add(expansion, merged(cotangents, expansion.x))
    return values


def energy_error(molecule: TrainingMolecule, solution: ModelSolution) -> float:
    """E_ML[P*] - E_ref, mEh."""
    return 1000 * (solution.state.energy - molecule.record.e_tot)


def energy(
    molecule: TrainingMolecule, solution: ModelSolution, settings: Training, sink: Sink | None
) -> tuple[TermValue, Cotangents | None]:
    """Error of the total energy. How energies are trained with Adam is said in `dixc.training.energies`."""
    error, weight, delta = energy_error(molecule, solution), settings.energy.weight, settings.energy.huber_mEh
    value = TermValue("energy", abs(error), weight * pseudo_huber(error, delta)[0], "mEh")
    if sink is None or not settings.trains_energies_in_the_sum or weight <= 0:
        return value, None
    factor = huber_weight(error, weight, delta)
    return value, Cotangents(np.array([factor * error]), [1000 * factor])


def density(
    molecule: TrainingMolecule, solution: ModelSolution, settings: Training, sink: Sink | None
) -> tuple[TermValue, Cotangents | None]:
    """Squared error of the density."""
    expansion = solution.state.expansion.local.expansion
    n_electrons, weights = molecule.record.n_electrons, molecule.grid().points.weights
    difference = expansion.rho[0, 0] - molecule.rho_ref[0]
    raw = float((weights * difference) @ difference) / n_electrons
    weight = settings.density.weight
    value = TermValue("density", raw, weight * raw, "per_bohr3")
    if sink is None or weight <= 0:
        return value, None
    # a quadrature weight may be negative: its residual then has the other sign of its cotangent
    roots = (2 * weight / n_electrons * weights.abs()).sqrt()
    directions, residuals = sink.directions((roots * weights.sign() * difference).cpu().numpy())
    cotangents = roots * torch.as_tensor(directions, device=roots.device)
    slopes = _through_the_scf(molecule, solution, cotangents, settings.density.cg_tol)
    return value, Cotangents(residuals, [0.0] * len(residuals), slopes)


def _through_the_scf(
    molecule: TrainingMolecule, solution: ModelSolution, cotangents: Tensor, cg_tol: float
) -> Tensor:
    """Cotangents of e1 (K, rows, N) from those of the SCF density (K, N), by its response to the potential.

    The first is exact; the others, which measure curvature, make do with a classical functional's response.
    """
    grid, state = molecule.grid(), solution.state
    local = state.expansion.local
    rows = cotangents.new_zeros(len(cotangents), grid.nvar, cotangents.shape[-1])
    rows[:, 0] = cotangents
    kappa_slopes = 4 * state.orbv.T @ grid.potential_on_orbitals(rows, local.values[0])
    exact, _ = state.solve(kappa_slopes[0], rtol=cg_tol, precondition=molecule.guide_inverse)
    adjoints = np.stack([exact, *map(molecule.guide_inverse, kappa_slopes[1:])])
    rho_adjoints = grid.density_of_pairs(2 * state.orbv @ adjoints, local.values[0])
    return -invariants_jvp(local.expansion.rho, rho_adjoints[:, None])

"""The term of the energy's gradient at the reference density, where the reference's own vanishes.

gradient  1/2 g^T M g at P_ref, M = H_ref^-1, its diagonal, or 1                     mEh (plain: hartree^2)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from dixc.core.xc.invariants import invariants_jvp
from dixc.functionals.base import Functional
from dixc.training.molecule import TrainingMolecule
from dixc.training.sinks import Sink
from dixc.training.terms.term import Cotangents, TermValue

if TYPE_CHECKING:
    from dixc.config.training import Training


def gradient(
    molecule: TrainingMolecule, functional: Functional, settings: Training, sink: Sink | None
) -> TermValue:
    """Gradient of the model's energy at the reference density, in the chosen metric."""
    metric = settings.gradient.metric
    state = molecule.reference_state(functional, "main", order=1, trainable=sink is not None)
    unit, factor = ("hartree2", 1.0) if metric == "plain" else ("mEh", 1000.0)
    scale = np.sqrt(factor * settings.gradient.weight)
    residuals = molecule.metric_root(state.gradient(), metric)
    value = 0.5 * factor * float(np.vdot(residuals, residuals))
    if sink is not None:
        local = state.expansion.local
        directions, values = sink.directions(scale * residuals)
        kappa = scale * molecule.metric_root(directions, metric, transposed=True)
        rho_directions = molecule.grid().density_of_pairs(2 * state.orbv @ kappa, local.values[0])
        slopes = invariants_jvp(local.expansion.rho, rho_directions[:, None])
        sink.add(local.expansion, Cotangents(values, [0.0] * len(values), slopes))
    return TermValue("gradient", value, settings.gradient.weight * value, unit)

"""The terms of the loss; `dixc.config.base.TERMS_OF_LOSS` says which loss has which.

    energy      at the model's own SCF solution      `solution`
    density     "                                    "
    gradient    at the reference density             `slope`
    hessian     "                                    `curvature`
    excitation  "                                    "

Each term is half the square of residuals (a pseudo-Huber term: of reweighted ones, which have its gradient). It
computes its value and cotangents without a graph, and hands them over to whoever trains (`dixc.training.sinks`). All
parameter gradients are contractions of dE/dx and d2E/dx2 with constants (`dixc.core.xc.parameter_gradients`).

A new term is a function or class in one of the three modules, an entry of `SOLUTION`, `SLOPE` or `CURVATURE`, its
section of `dixc.config.training`, and its name in the losses that have it. `base` sees energy and density only.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from dixc.functionals.base import Functional
from dixc.training.model_scf import ModelSolution
from dixc.training.molecule import TrainingMolecule
from dixc.training.sinks import Sink
from dixc.training.terms import curvature, slope, solution
from dixc.training.terms.curvature import CurvatureTerm
from dixc.training.terms.solution import SolutionTerm
from dixc.training.terms.term import TermValue

if TYPE_CHECKING:
    from dixc.config.training import Training

SOLUTION: dict[str, SolutionTerm] = {"energy": solution.energy, "density": solution.density}
SLOPE = {"gradient": slope.gradient}
CURVATURE: dict[str, Callable[[TrainingMolecule, Training, np.random.Generator], CurvatureTerm | None]] = {
    "hessian": curvature.HessianTerm,
    "excitation": lambda molecule, settings, rng: (
        curvature.ExcitationTerm(molecule, settings) if settings.excitation.weight > 0 else None
    ),
}


def evaluate(
    names: Sequence[str],
    molecule: TrainingMolecule,
    functional: Functional,
    settings: Training,
    scf: ModelSolution | None = None,
    rng: np.random.Generator | None = None,
    sink: Sink | None = None,
) -> list[TermValue]:
    """Values of the terms of these names, which are those of a loss or some of them.

    Args:
        names: in the order of a loss.
        molecule: with its reference.
        functional: the model.
        settings: weights and what else terms need.
        scf: the model's SCF solution, for terms that are evaluated there.
        rng: of random probes.
        sink: takes residuals and their cotangents; None for the values alone.
    """
    values: list[TermValue] = []
    at_solution = [SOLUTION[name] for name in names if name in SOLUTION]
    if at_solution:
        assert scf is not None
        values += solution.evaluate(at_solution, molecule, scf, settings, sink)
    values += [SLOPE[name](molecule, functional, settings, sink) for name in names if name in SLOPE]
    rng = rng or np.random.default_rng()
    of_curvature = [CURVATURE[name](molecule, settings, rng) for name in names if name in CURVATURE]
    active = [term for term in of_curvature if term is not None]
    return values + (curvature.evaluate(active, molecule, functional, sink) if active else [])

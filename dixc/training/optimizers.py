"""What the training loop asks of an optimizer: what to take from a visit, and how to step.

Both make the same step from the same parts in every process of a training (`dixc.training.parallel`).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch.nn.utils import parameters_to_vector

from dixc.config.training import Training
from dixc.functionals.base import Functional
from dixc.training import terms
from dixc.training.batch import EnergyError, Part, set_mean_gradient, taken_gradient
from dixc.training.data import TrainingMolecule
from dixc.training.directions import Sketch
from dixc.training.energies import EnergyFit
from dixc.training.gauss_newton import GaussNewton
from dixc.training.learning_rates import add_to, learning_rates, parameter_groups
from dixc.training.model_scf import SCFPoint


class GaussNewtonSteps:
    """Rows of Jacobians, and steps on all molecules at once (`dixc.training.gauss_newton`)."""

    def __init__(self, functional: Functional, settings: Training):
        rates = parameter_groups(functional, settings.learning_rate)
        self.directions = settings.gauss_newton.directions
        self.optimizer = GaussNewton(rates, functional.parameters(), settings.gauss_newton.memory)

    def sketch(self, rng: np.random.Generator) -> Sketch | None:
        """What the terms of the loss are to fill; None if they are to accumulate a gradient."""
        return Sketch(self.directions, rng)

    def energy(self, molecule: TrainingMolecule, point: SCFPoint) -> EnergyError | None:
        """What is to be known of the energy besides, before the terms of the loss use up the expansion."""
        return None

    def completed(self, part: Part, sketch: Sketch | None) -> Part:
        """A part of the step, with what the terms have left."""
        return part._replace(rows=sketch.collected())

    def gradient_norm(self, parts: list[Part]) -> float:
        """Norm of the mean gradient of usable parts."""
        gradients = [rows.double().T @ residuals for rows, residuals in (part.rows for part in parts)]
        return float(torch.stack(gradients).mean(0).norm())

    def take(self, parts: list[Part]) -> None:
        """Change the weights by what usable parts have found."""
        for part in parts:
            self.optimizer.learn(part.name, *part.rows)
        self.optimizer.step()

    def state_dict(self) -> dict[str, Any]:
        """For a checkpoint."""
        return self.optimizer.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from `state_dict`."""
        self.optimizer.load_state_dict(state)


class AdamSteps:
    """Adam on the mean gradient, and energies fitted beside it (`dixc.training.energies`)."""

    def __init__(self, functional: Functional, settings: Training):
        self.functional, self.settings = functional, settings
        self.optimizer = torch.optim.Adam(parameter_groups(functional, settings.learning_rate))
        self.energies = EnergyFit(settings.energy.memory)

    def sketch(self, rng: np.random.Generator) -> Sketch | None:
        """As `GaussNewtonSteps.sketch`."""
        return None

    def energy(self, molecule: TrainingMolecule, point: SCFPoint) -> EnergyError | None:
        """As `GaussNewtonSteps.energy`."""
        if self.settings.trains_energies_in_the_sum or self.settings.energy.weight == 0:
            return None
        return EnergyError(
            terms.energy_error(molecule, point), 1000 * point.expansion.energy_gradient().cpu()
        )

    def completed(self, part: Part, sketch: Sketch | None) -> Part:
        """As `GaussNewtonSteps.completed`; the gradient of a molecule alone in a step stays in `.grad`."""
        return part._replace(gradient=taken_gradient(self.functional)) if self.settings.batch > 1 else part

    def gradient_norm(self, parts: list[Part]) -> float:
        """As `GaussNewtonSteps.gradient_norm`, of the gradient that is then in `.grad`, clipped."""
        if self.settings.batch > 1:
            set_mean_gradient(self.functional, parts)
        clip = self.settings.gradient_clip
        return float(torch.nn.utils.clip_grad_norm_(self.functional.parameters(), clip))

    def take(self, parts: list[Part]) -> None:
        """As `GaussNewtonSteps.take`."""
        parameters = list(self.functional.parameters())
        before = parameters_to_vector(parameters).detach().cpu()
        for part in parts:
            if part.energy is not None:
                error = torch.tensor([part.energy.error], dtype=torch.float64)
                self.energies.learn(part.name, part.energy.gradient[None], error, before)
        self.optimizer.step()
        weights = parameters_to_vector(parameters).detach().cpu()
        known = [self.optimizer.state.get(p, {}).get("exp_avg_sq", torch.zeros_like(p)) for p in parameters]
        moments, rates = parameters_to_vector(known).cpu(), learning_rates(self.optimizer, parameters)
        add_to(parameters, self.energies.change(before, weights, moments, rates))

    def state_dict(self) -> dict[str, Any]:
        """For a checkpoint."""
        return {"adam": self.optimizer.state_dict(), "energies": self.energies.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from `state_dict`."""
        self.optimizer.load_state_dict(state["adam"])
        self.energies.load_state_dict(state["energies"])


STEPS = {"gauss_newton": GaussNewtonSteps, "adam": AdamSteps}

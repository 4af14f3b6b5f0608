"""What the training loop asks of an optimizer: what to take from a visit, and how to step.

Both make the same step from the same visits in every process of a training (`dixc.training.parallel`).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import numpy as np
import torch
from torch.nn.utils import parameters_to_vector

from dixc.config.training import Training
from dixc.functionals.base import Functional
from dixc.training.energies import EnergyFit
from dixc.training.gauss_newton import GaussNewton
from dixc.training.learning_rates import add_to, learning_rates, parameter_groups
from dixc.training.model_scf import ModelSolution
from dixc.training.molecule import TrainingMolecule
from dixc.training.sinks import GradientSink, JacobianSink, Sink, gradients_of
from dixc.training.terms.solution import energy_error
from dixc.training.visits import EnergyError, Visit, set_mean_gradient, taken_gradient


class OptimizerSteps(ABC):
    """What a visit is to give an optimizer, and the step that is made of it."""

    optimizer: torch.optim.Optimizer

    @abstractmethod
    def __init__(self, functional: Functional, settings: Training):
        """For the parameters of a functional that is in training."""

    @abstractmethod
    def sink(self, rng: np.random.Generator) -> Sink:
        """What takes the residuals of a visit's terms."""

    @abstractmethod
    def energy(self, molecule: TrainingMolecule, solution: ModelSolution) -> EnergyError | None:
        """What is to be known of the energy besides, before the terms of the loss use up the expansion."""

    @abstractmethod
    def completed(self, visit: Visit, sink: Any) -> Visit:
        """The visit with what the terms have left in the sink."""

    @abstractmethod
    def gradient_norm(self, visits: list[Visit]) -> float:
        """Norm of the mean gradient of usable visits."""

    @abstractmethod
    def take(self, visits: list[Visit]) -> None:
        """Change the weights by what usable visits have given."""

    @abstractmethod
    def state_dict(self) -> dict[str, Any]:
        """For a checkpoint."""

    @abstractmethod
    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from `state_dict`."""


class GaussNewtonSteps(OptimizerSteps):
    """Rows of Jacobians, and steps on all molecules at once (`dixc.training.gauss_newton`)."""

    def __init__(self, functional: Functional, settings: Training):
        rates = parameter_groups(functional, settings.learning_rate)
        self.directions = settings.gauss_newton.directions
        self.optimizer: GaussNewton = GaussNewton(
            rates, functional.parameters(), settings.gauss_newton.memory
        )

    def sink(self, rng: np.random.Generator) -> JacobianSink:
        return JacobianSink(self.directions, rng)

    def energy(self, molecule: TrainingMolecule, solution: ModelSolution) -> EnergyError | None:
        return None

    def completed(self, visit: Visit, sink: JacobianSink) -> Visit:
        return visit._replace(rows=sink.collected())

    def gradient_norm(self, visits: list[Visit]) -> float:
        jacobians = [visit.rows for visit in visits if visit.rows is not None]
        gradients = [rows.double().T @ residuals for rows, residuals in jacobians]
        return float(torch.stack(gradients).mean(0).norm())

    def take(self, visits: list[Visit]) -> None:
        for visit in visits:
            if visit.rows is not None:
                self.optimizer.learn(visit.name, *visit.rows)
        self.optimizer.step()

    def state_dict(self) -> dict[str, Any]:
        return self.optimizer.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.optimizer.load_state_dict(state)


class AdamSteps(OptimizerSteps):
    """Adam on the mean gradient, and energies fitted beside it (`dixc.training.energies`)."""

    def __init__(self, functional: Functional, settings: Training):
        self.functional, self.settings = functional, settings
        self.optimizer = torch.optim.Adam(parameter_groups(functional, settings.learning_rate))
        self.energies = EnergyFit(settings.energy.memory)

    def sink(self, rng: np.random.Generator) -> GradientSink:
        return GradientSink()

    def energy(self, molecule: TrainingMolecule, solution: ModelSolution) -> EnergyError | None:
        if self.settings.trains_energies_in_the_sum or self.settings.energy.weight == 0:
            return None
        expansion = solution.state.expansion.local.expansion
        return EnergyError(energy_error(molecule, solution), 1000 * gradients_of(expansion).of_energy().cpu())

    def completed(self, visit: Visit, sink: GradientSink) -> Visit:
        # the gradient of a molecule alone in a step stays in `.grad`
        return visit._replace(gradient=taken_gradient(self.functional)) if self.settings.batch > 1 else visit

    def gradient_norm(self, visits: list[Visit]) -> float:
        # of the gradient that is then in `.grad`, clipped
        if self.settings.batch > 1:
            set_mean_gradient(self.functional, visits)
        clip = self.settings.gradient_clip
        return float(torch.nn.utils.clip_grad_norm_(self.functional.parameters(), clip))

    def take(self, visits: list[Visit]) -> None:
        parameters = list(self.functional.parameters())
        before = parameters_to_vector(parameters).detach().cpu()
        for visit in visits:
            if visit.energy is not None:
                error = torch.tensor([visit.energy.error], dtype=torch.float64)
                self.energies.learn(visit.name, visit.energy.gradient[None], error, before)
        self.optimizer.step()
        weights = parameters_to_vector(parameters).detach().cpu()
        second_moments = [
            self.optimizer.state.get(p, {}).get("exp_avg_sq", torch.zeros_like(p)) for p in parameters
        ]
        moments, rates = (
            parameters_to_vector(second_moments).cpu(),
            learning_rates(self.optimizer, parameters),
        )
        add_to(parameters, self.energies.change(before, weights, moments, rates))

    def state_dict(self) -> dict[str, Any]:
        return {"adam": self.optimizer.state_dict(), "energies": self.energies.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.optimizer.load_state_dict(state["adam"])
        self.energies.load_state_dict(state["energies"])


STEPS: dict[str, type[OptimizerSteps]] = {"gauss_newton": GaussNewtonSteps, "adam": AdamSteps}

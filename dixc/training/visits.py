"""What one molecule adds to a step, and the step's gradient as the mean over its molecules."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch

from dixc.core.arrays import Array


class EnergyError(NamedTuple):
    """Error of a molecule's total energy at the model's own SCF solution.

    Attributes:
        error: mEh.
        gradient: by all parameters, (n_parameters,), in main memory.
    """

    error: float
    gradient: torch.Tensor


class Visit(NamedTuple):
    """What a visit to a molecule gives.

    Attributes:
        name: of the molecule.
        columns: of the training log.
        converged: whether the model's SCF was.
        builds: evaluations of the functional in it.
        orbitals: where its next SCF starts; None for at the reference.
        gradient: parameter gradient (n_parameters,); None if it is left in `.grad`.
        energy: None if energies are not fitted, or the SCF did not converge.
        rows: of the Jacobian (K, n_parameters), and residuals (K,); None with Adam, or if the SCF did not converge.
    """

    name: str
    columns: dict[str, float]
    converged: bool
    builds: int
    orbitals: tuple[Array, Array] | None
    gradient: torch.Tensor | None = None
    energy: EnergyError | None = None
    rows: tuple[torch.Tensor, torch.Tensor] | None = None

    @property
    def usable(self) -> bool:
        """False for an SCF that did not converge, or a gradient that is not finite."""
        gradients = (self.gradient, self.energy.gradient if self.energy else None, *(self.rows or ()))
        return self.converged and all(g is None or bool(torch.isfinite(g).all()) for g in gradients)


def taken_gradient(functional: torch.nn.Module) -> torch.Tensor:
    """The parameter gradient as one vector in main memory, (n_parameters,); it is removed from the parameters."""
    gradients = []
    for parameter in functional.parameters():
        gradient = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
        gradients.append(gradient.detach().flatten())
        parameter.grad = None
    return torch.cat(gradients).cpu()


def set_mean_gradient(functional: torch.nn.Module, visits: list[Visit]) -> None:
    """Puts the mean gradient of the usable visits into `.grad`, summed in their order; none if there are none."""
    gradients = [visit.gradient for visit in visits if visit.usable and visit.gradient is not None]
    if not gradients:
        return
    total = gradients[0].clone()
    for gradient in gradients[1:]:
        total += gradient
    total /= len(gradients)
    place = 0
    for parameter in functional.parameters():
        size = parameter.numel()
        parameter.grad = total[place : place + size].view_as(parameter).clone().to(parameter.device)
        place += size


def mean_columns(visits: list[Visit]) -> dict[str, float]:
    """Columns of the training log: means over the usable visits; those of the first if there is one visit."""
    if len(visits) == 1:
        return visits[0].columns
    rows = [visit.columns for visit in visits if visit.usable] or [visits[0].columns]
    return {key: float(np.mean([columns[key] for columns in rows])) for key in rows[0]}

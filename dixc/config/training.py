"""The section `training` of config.yaml; the terms themselves are in `dixc.training`."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, JsonValue, model_validator

from dixc.config.base import (
    LOSSES,
    TERMS_OF_LOSS,
    Count,
    GridLevel,
    Loss,
    NotNegative,
    Positive,
    Rate,
    Section,
    Seed,
    Threshold,
    require_unique,
)

ADAM_RATE = 2e-2
DEVICE = r"^(auto|cpu|cuda(:[0-9]{1,2})?)$"
Device = Annotated[str, Field(pattern=DEVICE)]


class EnergyTerm(Section):
    """Total energy at the model's own SCF density."""

    method: Literal["least_squares", "gradient"] = Field(
        default="least_squares",
        description="with adam: least_squares, beside it (docs/training.md), or gradient, a term of its loss",
    )
    memory: Count = Field(
        default=64,
        description="with adam: molecules whose energies are fitted together, those met last",
    )
    weight: NotNegative = Field(
        default=2.0,
        description="weight in the validation score, and of the term in the loss, no unit; 0: no energies are trained",
    )
    huber_mEh: Positive = Field(
        default=3.0,
        description="error at which the pseudo-Huber loss turns linear, millihartree a molecule",
    )


class DensityTerm(Section):
    """Integrated squared density error per electron, at the model's own SCF density."""

    weight: NotNegative = Field(default=2e6, description="weight of the density term, no unit")
    scf_conv_tol_grad: Threshold = Field(
        default=1e-4,
        description="orbital gradient at which the model's SCF in training stops, hartree",
    )
    cg_tol: Threshold = Field(
        default=1e-2, description="relative residual of the response equations, no unit"
    )


class GradientTerm(Section):
    """Orbital gradient of the model at the reference density."""

    weight: NotNegative = Field(default=3.0, description="weight of the gradient term, no unit")
    metric: Literal["inverse_hessian", "diagonal", "plain"] = Field(
        default="inverse_hessian",
        description="norm of the gradient: reference Hessian inverse, its diagonal inverse, or plain",
    )


class HessianTerm(Section):
    """Products of the model's orbital Hessian with fresh random probes, against the reference's."""

    weight: NotNegative = Field(default=2e3, description="weight of the Hessian term, no unit")
    probes: int = Field(default=4, ge=1, le=10_000, description="random directions a step")
    grid_level: GridLevel = Field(
        default=0, description="PySCF grid level of the Hessian products, 0 (coarse) to 9"
    )
    metric: Literal["diagonal", "plain"] = Field(
        default="diagonal", description="norm of probes and residuals: reference diagonal inverse, or plain"
    )


class ExcitationTerm(Section):
    """Lowest singlets of the reference, from the model's Hessians at the reference density."""

    weight: NotNegative = Field(
        default=15.0, description="weight of the excitation term, no unit; 0 leaves it out"
    )
    huber_eV: Positive = Field(
        default=0.3,
        description="error at which the pseudo-Huber loss turns linear, electronvolt a state",
    )


class GaussNewtonStep(Section):
    """Steps of the optimizer `gauss_newton`."""

    directions: int = Field(
        default=8,
        ge=1,
        le=10_000,
        description="rows of the Jacobian of density and gradient that a visit computes",
    )
    memory: Count = Field(
        default=64, description="molecules whose residuals a step takes away together, those met last"
    )


class MetropolisRule(Section):
    """Accept or undo each step by what it did to the loss; for every loss the same."""

    enabled: bool = Field(
        default=False, description="undo steps that raise the loss far beyond its usual scatter"
    )
    temperature: Positive = Field(
        default=1.0,
        description="increase that one in e such steps may make, in scatters of the logarithm of the loss",
    )


class Training(Section):
    """Supervised training; all losses start from one pre-fit of their model and seed."""

    losses: list[Loss] = Field(
        default=list(LOSSES),
        min_length=1,
        description="base: energy + density; grad: base + gradient; hess: grad + Hessian",
    )
    seeds: list[Seed] = Field(
        default=[0],
        min_length=1,
        description="one training each: initial weights, order of molecules, probes",
    )
    steps: Count = Field(
        default=120, description="optimizer steps, `batch` molecules each; the same for every loss"
    )
    batch: Count = Field(default=1, description="molecules in a step (adam averages their gradients)")
    processes: int = Field(
        default=1,
        ge=1,
        le=1024,
        description="processes that share the molecules of a step; `batch` is a multiple of it",
    )
    optimizer: Literal["gauss_newton", "adam"] = Field(
        default="gauss_newton",
        description="gauss_newton: all residuals of the last visits at once (docs/training.md); adam: gradients",
    )
    gauss_newton: GaussNewtonStep = Field(default=GaussNewtonStep(), description="optimizer gauss_newton")
    learning_rate: Rate = Field(
        default=0.2,
        description="about how far a weight may move in a step at the start, no unit (0.02 with adam)",
    )
    final_learning_rate_fraction: float = Field(
        default=0.01,
        ge=0,
        le=1,
        description="step size at the end over that at the start (cosine annealing), no unit",
    )
    gradient_clip: Positive = Field(
        default=1.0, description="with adam: largest norm of the parameter gradient, no unit"
    )
    ema_decay: float = Field(
        default=0.8, ge=0, lt=1, description="decay of the weight average per step, no unit"
    )
    grid_level: GridLevel = Field(
        default=1, description="PySCF grid level of energy, density and gradient terms, 0 to 9"
    )
    precision: Literal["mixed", "double"] = Field(
        default="mixed",
        description="networks and orbitals on grids in single precision, features and sums in double; or all in double",
    )
    device: Device = Field(
        default="cpu",
        description="where the work on grids runs: cpu, cuda (or cuda:1, ...), or auto: CUDA if it is there",
    )
    checkpoint_every: Count = Field(default=50, description="steps from one checkpoint to the next")
    validate_every: Count = Field(default=20, description="steps from one validation to the next")
    cache_gb: NotNegative = Field(
        default=5.0, description="memory for orbitals on grids, kept between steps, GB a job"
    )
    energy: EnergyTerm = Field(default=EnergyTerm(), description="energy term")
    density: DensityTerm = Field(default=DensityTerm(), description="density term")
    gradient: GradientTerm = Field(default=GradientTerm(), description="gradient term (grad, hess)")
    hessian: HessianTerm = Field(default=HessianTerm(), description="Hessian term (hess)")
    excitation: ExcitationTerm = Field(default=ExcitationTerm(), description="excitation term (hess)")
    metropolis: MetropolisRule = Field(
        default=MetropolisRule(), description="rule that undoes steps (docs/training.md)"
    )

    @model_validator(mode="before")
    @classmethod
    def _rate_of_adam(cls, values: Any) -> Any:
        if isinstance(values, dict) and values.get("optimizer") == "adam":
            return {"learning_rate": ADAM_RATE} | values
        return values

    @model_validator(mode="after")
    def _no_repeats(self) -> Training:
        require_unique(self.losses, "losses")
        require_unique(self.seeds, "seeds")
        if self.batch % self.processes:
            raise ValueError(f"batch is {self.batch}, which {self.processes} processes cannot share evenly")
        if self.batch > 1 and self.metropolis.enabled:
            raise ValueError(
                "metropolis judges steps on one molecule each: set batch to 1, or metropolis.enabled to false"
            )
        return self

    @property
    def trains_energies_in_the_sum(self) -> bool:
        """Whether total energies are a term like the others."""
        return self.optimizer == "gauss_newton" or self.energy.method == "gradient"

    @property
    def gpus(self) -> int:
        """GPUs that a training asks a cluster for.

        One for each process; none where `device` may be the CPU.
        """
        return self.processes if self.device.startswith("cuda") else 0

    def settings(self, loss: Loss) -> dict[str, JsonValue]:
        """What decides the weights that come out of one training.

        The lists of losses and seeds, terms that `loss` does not have, rules that are off, and keys
        that only cost or save time are left out: a change of those is no reason to train again.
        """
        terms = {term for of_loss in TERMS_OF_LOSS.values() for term in of_loss}
        unused = terms - set(TERMS_OF_LOSS[loss])
        unused |= {"gradient_clip"} if self.optimizer == "gauss_newton" else {"gauss_newton"}
        unused |= set() if self.metropolis.enabled else {"metropolis"}
        unused |= set() if self.batch > 1 else {"batch"}
        unused |= {"losses", "seeds", "processes", "device", "checkpoint_every", "cache_gb"}
        return self.model_dump(exclude=unused)

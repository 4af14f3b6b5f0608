"""The whole of config.yaml, and the names of files and functionals that follow from it."""

from __future__ import annotations

from typing import NamedTuple, TypeVar

from pydantic import Field, model_validator

from dixc.config.base import RunName, Section, require_unique
from dixc.config.evaluation import Evaluation
from dixc.config.sections import Derivatives, Model, Molecules, Prefit, Reference, Report
from dixc.config.training import Training
from dixc.errors import InputError
from dixc.provenance import hash_of

NO_LOSS = "none"
MAX_CHUNKS = 100_000  # each is a handful of jobs
SectionT = TypeVar("SectionT", bound=Section)


class FunctionalId(NamedTuple):
    """A functional of the run: a trained model, or a baseline with loss "none" and seed 0."""

    model: str
    loss: str
    seed: int

    @property
    def trained(self) -> bool:
        """False for a baseline."""
        return self.loss != NO_LOSS

    def __str__(self) -> str:
        return f"{self.model}-{self.loss}-{self.seed}" if self.trained else self.model


def _with_overrides(section: SectionT, **overrides: float | None) -> SectionT:
    """A section with what a model has of its own."""
    return section.model_copy(update={key: value for key, value in overrides.items() if value is not None})


class Config(Section):
    """All settings of a run, defaults filled in."""

    run: RunName = Field(
        default="default", description="name of the run; everything is written to results/<run>/"
    )
    molecules: Molecules = Field(description="which molecules")
    reference: Reference = Field(default=Reference(), description="SCF of the functional to be distilled")
    derivatives: Derivatives = Field(
        default=Derivatives(), description="second derivatives of the reference energy"
    )
    models: list[Model] = Field(
        default=[Model(name="xcdiff")],
        description="learned functionals; each is trained with every loss and seed",
    )
    prefit: Prefit = Field(default=Prefit(), description="common start of all trainings of a model")
    training: Training = Field(default=Training(), description="supervised training")
    evaluation: Evaluation = Field(default=Evaluation(), description="what is measured")
    report: Report = Field(default=Report(), description="the report")

    @model_validator(mode="after")
    def _consistent(self) -> Config:
        require_unique([model.key for model in self.models], "models")
        # a baseline called like a trained functional would share its files
        require_unique(self.functionals(), "models and evaluation.baselines")
        if not self.functionals():
            raise ValueError("nothing to evaluate: models and evaluation.baselines are both empty")
        for split, size in self.molecules.sizes().items():
            if size > MAX_CHUNKS * self.molecules.chunk_size:
                raise ValueError(
                    f"molecules.{split}: {size} molecules make more than {MAX_CHUNKS} files of "
                    f"{self.molecules.chunk_size}; raise molecules.chunk_size"
                )
        compared, computed = self.evaluation.tddft.n_states, self.derivatives.n_states
        if compared > computed:
            raise ValueError(
                f"evaluation.tddft.n_states is {compared}, more than derivatives.n_states, which is {computed}"
            )
        return self

    @property
    def digest(self) -> str:
        """Hash of all settings, as provenance keeps it."""
        return hash_of(self.model_dump(mode="json"))

    def sizes(self) -> dict[str, int]:
        """Number of molecules by split."""
        return self.molecules.sizes()

    def chunks(self, *splits: str) -> list[str]:
        """Names of the files of some splits, such as "train-000", in their order.

        Raises:
            InputError: no such split.
        """
        return [chunk for split in splits for chunk in self.molecules.chunks(split)]

    def trained(self) -> list[str]:
        """Ids of the trained functionals: every model with every loss and seed, xcdiff-hess-0."""
        return [
            str(FunctionalId(model.key, loss, seed))
            for model in self.models
            for loss in self.training.losses
            for seed in self.training.seeds
        ]

    def functionals(self) -> list[str]:
        """Ids of all functionals to evaluate, baselines first."""
        return [*self.evaluation.baselines, *self.trained()]

    def classes(self) -> list[str]:
        """Names and import paths of the classes that model files of this run may hold."""
        return list(dict.fromkeys(model.name for model in self.models))

    def parse(self, functional: str) -> FunctionalId:
        """Model, loss and seed of a functional's id.

        Raises:
            InputError: the run has no such functional.
        """
        if functional in self.evaluation.baselines:
            return FunctionalId(functional, NO_LOSS, 0)
        if functional in self.trained():
            model, loss, seed = functional.rsplit("-", 2)
            return FunctionalId(model, loss, int(seed))
        raise InputError(
            f"run {self.run} has no functional {functional!r}; it has {', '.join(self.functionals())}"
        )

    def model(self, key: str) -> Model:
        """The model that files and tables call `key`.

        Raises:
            InputError: the run has no such model.
        """
        for entry in self.models:
            if entry.key == key:
                return entry
        names = ", ".join(entry.key for entry in self.models)
        raise InputError(f"model {key} is not in the config's models: {names or 'none'}")

    def prefit_of(self, key: str) -> Prefit:
        """The section `prefit` as it applies to the model that files and tables call `key`.

        Raises:
            InputError: the run has no such model.
        """
        return _with_overrides(self.prefit, steps=self.model(key).prefit_steps)

    def training_of(self, key: str) -> Training:
        """The section `training` as it applies to the model that files and tables call `key`.

        Raises:
            InputError: the run has no such model.
        """
        return _with_overrides(self.training, learning_rate=self.model(key).learning_rate)

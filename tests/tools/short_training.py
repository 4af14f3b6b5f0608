"""A few steps of a training on water, for functionals of any kind."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import torch
from small_references import reference_record

from dixc.config.training import Training
from dixc.functionals.base import Functional
from dixc.training.loop import Trainer
from dixc.training.molecule import TrainingMolecule

_reference = cache(reference_record)


def train(functional: Functional, folder: Path, loss: str = "hess", **settings) -> Trainer:
    """The training when it has ended, as `dixc train` does it; its validation molecule is methane."""
    precision = torch.double if settings.get("precision") == "double" else torch.float32
    options = {"grid_level": 0, "hessian_grid_level": 0, "xctype": functional.xctype, "dtype": precision}
    known = {name: TrainingMolecule(*_reference(name), **options) for name in ("water", "methane")}
    values = {"steps": 4, "validate_every": 2, "grid_level": 0} | settings
    trainer = Trainer(
        functional,
        loss,
        0,
        Training.model_validate(values),
        {"water": known["water"]},
        {"methane": known["methane"]},
        folder / "c.pt",
    )
    trainer.run()
    return trainer

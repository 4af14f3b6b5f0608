"""A few steps of the loss `hess` on water, for functionals of any kind."""

from __future__ import annotations

from pathlib import Path

from conftest import reference_record

from dixc.config.training import Training
from dixc.functionals.base import Functional
from dixc.training.data import TrainingMolecule
from dixc.training.loop import Trainer


def train(functional: Functional, folder: Path, **settings) -> Trainer:
    """The training when it has ended; its validation molecule is methane."""
    known = {
        name: TrainingMolecule(*reference_record(name), grid_level=0, hessian_grid_level=0)
        for name in ("water", "methane")
    }
    values = {"steps": 4, "validate_every": 2, "grid_level": 0} | settings
    options = Training.model_validate(values)
    trainer = Trainer(
        functional,
        "hess",
        0,
        options,
        {"water": known["water"]},
        {"methane": known["methane"]},
        folder / "c.pt",
    )
    trainer.run()
    return trainer

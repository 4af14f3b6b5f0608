"""The stage `train`: one functional, one loss, one seed."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, cast

import pandas as pd
import torch

from dixc import provenance
from dixc.config.base import Loss
from dixc.config.root import FunctionalId
from dixc.config.training import Training
from dixc.functionals import files
from dixc.reference.record import read_settings, training_origin
from dixc.stages.training_files import TrainingInputs, TrainingOutputs
from dixc.store import require_writable, write_csv
from dixc.training import parallel
from dixc.training.chunks import ChunkedMolecules, require_disjoint
from dixc.training.device import chosen_device
from dixc.training.loop import Trainer


def run(
    functional_id: FunctionalId,
    settings: Training,
    inputs: TrainingInputs,
    outputs: TrainingOutputs,
    classes: Sequence[str] = (),
    config_hash: str | None = None,
) -> None:
    """Train from a pre-fitted model file; writes the trained model and its log, both atomically.

    The checkpoint's name carries a hash of everything that defines the run, so that a changed
    setting never resumes stale weights. With `training.processes` above one, so many processes do
    this together.

    Args:
        functional_id: model, loss and seed.
        settings: of the training, as they apply to this model.
        inputs: files to read.
        outputs: files to write.
        classes: import paths of classes outside of dixc that the model file may name.
        config_hash: hash of the run's config, for the provenance.

    Raises:
        InputError: a file that is not what it should be, no such device, or molecules that are in
            training and in validation, or are those of the test.
    """
    team = parallel.Team()
    if team.size < settings.processes:
        arguments = (functional_id, settings, inputs, outputs, classes, config_hash)
        parallel.launch(run, settings.processes, *arguments)
        return
    for path in (outputs.model, outputs.log):
        require_writable(path)
    device = chosen_device(settings.device, team.rank)
    functional = files.load(inputs.start, classes).to(device)
    load = partial(
        ChunkedMolecules,
        grid_level=settings.grid_level,
        hessian_grid_level=settings.hessian.grid_level,
        xctype=functional.xctype,
        device=device,
        dtype=torch.float32 if settings.precision == "mixed" else torch.float64,
    )
    train = load(inputs.train_references, inputs.train_derivatives)
    validation = load(inputs.validation_references, [])
    require_disjoint(train, validation)
    model, seed, loss = functional_id.model, functional_id.seed, cast(Loss, functional_id.loss)
    key = provenance.hash_of([model, loss, seed, settings.settings(loss), inputs.hashes()])
    checkpoint = outputs.checkpoints / f"{functional_id}-{key}.pt"
    trainer = Trainer(functional, loss, seed, settings, train, validation, checkpoint)
    trainer.run()
    if team.rank > 0:
        return
    made_by = provenance.collect() | training_origin(config_hash, inputs.train_references)
    write_csv(outputs.log, pd.DataFrame(trainer.rows), made_by)
    about = {
        "elements": train.elements,
        "model": model,
        "reference": read_settings(inputs.train_references[0]).model_dump(mode="json"),
    }
    metadata = about | _training_metadata(trainer) | {"provenance": made_by}
    files.save(functional.cpu(), outputs.model, metadata)
    checkpoint.unlink(missing_ok=True)


def _training_metadata(trainer: Trainer) -> dict[str, Any]:
    """What a model file tells of its training."""
    return {
        "loss": trainer.loss,
        "seed": trainer.seed,
        "steps": trainer.settings.steps,
        "training_wall_s": round(trainer.wall_s, 1),
        "validation_score": float(trainer.best_score),
        "training": trainer.settings.model_dump(mode="json"),
        "train_molecules": trainer.names,
        "validation_molecules": trainer.validation_names,
    }

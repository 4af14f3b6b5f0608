"""Training stage: one functional, one loss, one seed."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import torch

from dixc import provenance
from dixc.functionals import files
from dixc.reference.record import training_origin
from dixc.store import require_writable, write_csv
from dixc.training import parallel
from dixc.training.chunks import ChunkedMolecules, require_disjoint
from dixc.training.device import chosen_device
from dixc.training.loop import Trainer

if TYPE_CHECKING:
    from dixc.config import Config


def run(
    config: Config,
    model: str,
    loss: str,
    seed: int,
    start: Path,
    train_references: list[Path],
    train_derivatives: list[Path],
    validation_references: list[Path],
    out: Path,
    log: Path,
    checkpoints: Path,
) -> None:
    """Train from a pre-fitted model file; writes the trained model and its log, both atomically.

    The checkpoint's name carries a hash of everything that defines the run, so that a changed setting never resumes
    stale weights. With `training.processes` above one, so many processes do this together.

    Raises:
        InputError: a file that is not what it should be, no such device, or molecules that are in training and in
            validation, or are those of the test.
    """
    team, processes = parallel.Team(), config.training.processes
    if team.size < processes:
        inputs = (start, train_references, train_derivatives, validation_references)
        parallel.launch(run, processes, config, model, loss, seed, *inputs, out, log, checkpoints)
        return
    for path in (out, log):
        require_writable(path)
    settings = config.training_of(model)
    device = chosen_device(settings.device, team.rank)
    functional = files.load(start, config.classes()).to(device)
    load = partial(
        ChunkedMolecules,
        grid_level=settings.grid_level,
        hessian_grid_level=settings.hessian.grid_level,
        xctype=functional.xctype,
        device=device,
        dtype=torch.float32 if settings.precision == "mixed" else torch.float64,
    )
    train, validation = load(train_references, train_derivatives), load(validation_references, [])
    require_disjoint(train, validation)
    inputs = [
        provenance.file_hash(p)
        for p in [start, *train_references, *train_derivatives, *validation_references]
    ]
    key = provenance.hash_of([model, loss, seed, settings.settings(loss), inputs])
    checkpoint = checkpoints / f"{model}-{loss}-{seed}-{key}.pt"
    trainer = Trainer(functional, loss, seed, settings, train, validation, checkpoint)
    trainer.run()
    if team.rank > 0:
        return
    made_by = provenance.collect() | training_origin(config, train_references)
    write_csv(log, pd.DataFrame(trainer.rows), made_by)
    about = {
        "elements": train.elements,
        "model": model,
        "reference": config.reference.model_dump(mode="json"),
    }
    files.save(functional.cpu(), out, about | _training_metadata(trainer) | {"provenance": made_by})
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

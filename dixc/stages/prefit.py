"""The stage `prefit`: a learned functional starts as a copy of a classical one."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from dixc import provenance
from dixc.errors import DixcWarning, InputError
from dixc.functionals import files, registry
from dixc.functionals.base import PointwiseFunctional
from dixc.reference.record import training_origin
from dixc.store import require_writable
from dixc.training.prefit import density_points, fit, sample

if TYPE_CHECKING:
    from dixc.config import Config


def run(config: Config, model: str, seed: int, references: list[Path], out: Path) -> None:
    """Write the pre-fitted model `model` (an entry of `models:`) for one seed.

    Raises:
        InputError: model not in the config, or a target that is not pointwise.
    """
    entry = config.model(model)
    seeded = {"seed": seed} if "seed" in registry.hyperparameters(entry.name) else {}
    functional = registry.create(entry.name, **(seeded | entry.hyperparameters))
    settings = config.prefit_of(model)
    target = registry.create(settings.target)
    require_writable(out)
    if not isinstance(target, PointwiseFunctional):
        raise InputError(f"prefit.target: {settings.target} is not pointwise")
    part = functional.pointwise_part
    records, symbols = sample(references)
    error = None
    if isinstance(part, PointwiseFunctional):
        x, weights = density_points(records)
        error = fit(part, target, x, weights, settings.steps, settings.points, seed)
    else:
        warnings.warn(f"prefit: {model} has no pointwise part: it starts as it is", DixcWarning, stacklevel=2)
    metadata = {
        "model": model,
        "loss": "prefit",
        "seed": seed,
        "prefit": settings.model_dump(mode="json"),
        "prefit_rms_hartree_per_electron": error,
        "elements": symbols,
        "provenance": provenance.collect() | training_origin(config, references),
    }
    files.save(functional, out, metadata)

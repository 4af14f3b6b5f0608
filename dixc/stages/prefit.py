"""The stage `prefit`: a learned functional starts as a copy of a classical one."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path

from dixc import provenance
from dixc.config.sections import Model, Prefit
from dixc.errors import DixcWarning, InputError
from dixc.functionals import files, registry
from dixc.functionals.base import PointwiseFunctional
from dixc.reference.record import training_origin
from dixc.store import require_writable
from dixc.training.prefit import density_points, fit, sample


def run(
    model: Model,
    seed: int,
    settings: Prefit,
    references: Sequence[Path],
    out: Path,
    config_hash: str | None = None,
) -> None:
    """Write the pre-fitted model for one seed.

    Args:
        model: an entry of `models`.
        seed: of its weights.
        settings: of the fit, as they apply to this model.
        references: chunks of the training molecules.
        out: model file to write.
        config_hash: hash of the run's config, for the provenance.

    Raises:
        InputError: a target that is not pointwise.
    """
    seeded = {"seed": seed} if "seed" in registry.hyperparameters(model.name) else {}
    functional = registry.create(model.name, **(seeded | model.hyperparameters))
    target = registry.create(settings.target)
    require_writable(out)
    if not isinstance(target, PointwiseFunctional):
        raise InputError(f"prefit.target: {settings.target} is not pointwise")
    pointwise = functional.pointwise_part
    records, symbols = sample(list(references))
    error = None
    if isinstance(pointwise, PointwiseFunctional):
        x, weights = density_points(records)
        error = fit(pointwise, target, x, weights, settings.steps, settings.points, seed)
    else:
        why = f"prefit: {model.key} has no pointwise part: it starts as it is"
        warnings.warn(why, DixcWarning, stacklevel=2)
    metadata = {
        "model": model.key,
        "loss": "prefit",
        "seed": seed,
        "prefit": settings.model_dump(mode="json"),
        "prefit_rms_hartree_per_electron": error,
        "elements": symbols,
        "provenance": provenance.collect() | training_origin(config_hash, references),
    }
    files.save(functional, out, metadata)

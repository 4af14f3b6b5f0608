"""Settings as text, as rules state them in their params.

Snakemake reruns a job when its text changes.

A change in these texts alone reruns everything that depends on them, in the results of all users.
"""

from __future__ import annotations

import json
from typing import Any

from dixc.config.base import Loss
from dixc.config.root import Config


def of_sections(config: Config, *paths: str) -> str:
    """Sections of the config; a section is a name or a path such as evaluation.scf."""
    values = {}
    for path in paths:
        value: Any = config.model_dump(mode="json")
        for key in path.split("."):
            value = value[key]
        values[path] = value
    return _text(values)


def of_derivatives(config: Config, chunk: str) -> str:
    """The section `derivatives`; the limit for excitations concerns test molecules alone."""
    section = config.derivatives
    if not chunk.startswith("test"):
        section = section.model_copy(update={"states_max_heavy": None})
    return _text({"derivatives": section.model_dump(mode="json")})


def of_model(config: Config, key: str) -> str:
    """Hyperparameters of a model, and its class if its name does not say it."""
    model = config.model(key)
    return _text(model.hyperparameters | ({"name": model.name} if model.label else {}))


def of_prefit(config: Config, key: str) -> str:
    """The section `prefit` as it applies to a model."""
    return _text({"prefit": config.prefit_of(key).model_dump(mode="json")})


def of_training(config: Config, key: str, loss: Loss) -> str:
    """What decides the weights that come out of a model's training with a loss."""
    return _text(config.training_of(key).settings(loss))


def _text(values: Any) -> str:
    return json.dumps(values, sort_keys=True)

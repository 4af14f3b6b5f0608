"""Functionals by name. A new architecture is one line in `_CLASSES`; its module is imported on demand."""

from __future__ import annotations

import inspect
from importlib import import_module
from os import PathLike
from typing import TYPE_CHECKING, Any

from dixc import models
from dixc.errors import UserError

if TYPE_CHECKING:
    from dixc.functionals.base import Functional

_CLASSES = {
    "lda": "dixc.functionals.classical:LDA",
    "pbe": "dixc.functionals.classical:PBE",
    "r2scan": "dixc.functionals.classical:R2SCAN",
    "b3lyp": "dixc.functionals.classical:B3LYP",
    "xcdiff": "dixc.functionals.xcdiff:XCdiff",
}


def available() -> list[str]:
    """Names that `create` knows."""
    return list(_CLASSES)


def functional_class(name: str) -> type[Functional]:
    """The class behind a name.

    Raises:
        UserError: unknown name.
    """
    if name not in _CLASSES:
        raise UserError(f"unknown functional {name!r}; available: {', '.join(available())}")
    module, attribute = _CLASSES[name].split(":")
    return getattr(import_module(module), attribute)


def name_of(functional: Functional) -> str:
    """The name under which a functional's class is registered.

    Raises:
        UserError: its class is not registered.
    """
    qualified = f"{type(functional).__module__}:{type(functional).__qualname__}"
    for name, entry in _CLASSES.items():
        if entry == qualified:
            return name
    known = ", ".join(available())
    raise UserError(f"{type(functional).__name__} is not a functional of the registry; known: {known}")


def create(name: str, **hyperparameters: Any) -> Functional:
    """A functional in float64, eval mode, on the CPU; learned ones have seeded, untrained weights.

    Args:
        name: one of `available()`.
        **hyperparameters: keywords of that functional.

    Raises:
        UserError: unknown name, unknown hyperparameter or a value it refuses.
    """
    from dixc.functionals.base import Functional

    cls = functional_class(name)
    plain = cls.__init__ is Functional.__init__  # takes nothing, but its signature says *args, **kwargs
    known = [] if plain else list(inspect.signature(cls).parameters)
    for key in hyperparameters:
        if key not in known:
            expected = ", ".join(known) if known else "none"
            raise UserError(f"functional {name}: unknown hyperparameter {key!r}; known: {expected}")
    try:
        return cls(**hyperparameters).eval()
    except (TypeError, ValueError) as error:
        raise UserError(f"functional {name}: {error}") from error


def resolve(name_or_path: str | PathLike[str]) -> Functional:
    """A functional from a registry name, the name of a shipped model or, failing these, a model file.

    Raises:
        UserError: neither a name nor a readable model file.
    """
    if str(name_or_path) in _CLASSES:
        return create(str(name_or_path))
    if not models.locate(name_or_path).exists():
        names = ", ".join(available() + models.shipped())
        raise UserError(f"{name_or_path}: neither a functional ({names}) nor a model file that exists")
    from dixc.functionals import files

    return files.load(name_or_path)

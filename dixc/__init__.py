"""dixc: exchange-correlation functionals trained on derivatives of the energy.

`import dixc` is cheap: torch and PySCF are imported by the functions and submodules that need them.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from os import PathLike
from typing import TYPE_CHECKING, Any

from dixc.version import __version__

if TYPE_CHECKING:
    from dixc.functionals.base import Functional

__all__ = ["__version__", "available", "create", "load"]

# silent, unless a program asks for more; the command line shows it (see `dixc.display.logged_lines`)
logging.getLogger(__name__).addHandler(logging.NullHandler())


def available() -> list[str]:
    """Names that `create` knows."""
    from dixc.functionals import registry

    return registry.available()


def create(name: str, **hyperparameters: Any) -> Functional:
    """A functional of the registry: float64, eval mode, CPU; learned ones have seeded, untrained weights.

    Args:
        name: one of `available()`, or the import path `package.module:Class` of a class of your own.
        **hyperparameters: keywords of that functional.

    Raises:
        InputError: unknown name or hyperparameter.
    """
    from dixc.functionals import registry

    return registry.create(name, **hyperparameters)


def load(path: str | PathLike[str], classes: Iterable[str] = ()) -> Functional:
    """A trained functional from a model file, its provenance in `.metadata`; runs no code from the file.

    Args:
        path: the file, or the name of a model that comes with dixc, such as "xcdiff-b3lyp" (see `dixc models`).
        classes: import paths of your own, unregistered classes that the file may name.

    Raises:
        InputError: the file is missing, damaged or no model of dixc, or of a class that is not allowed.
    """
    from dixc.functionals import files

    return files.load(path, classes)

"""Functionals by name: those of dixc, those of installed packages (entry points), and classes by their import path.

A new architecture of dixc is one line in `_CLASSES`; its module is imported on demand. A package adds its own by an
entry point of the group `dixc.functionals`, `name = "package.module:Class"`; names of dixc cannot be replaced. Any
other class that derives from `Functional` is reached by its import path, `package.module:Class`, but only where the
caller writes that path: a model file cannot make dixc import a module (see `dixc.functionals.files`).
"""

from __future__ import annotations

import inspect
import re
from importlib import import_module
from importlib.metadata import entry_points
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from dixc import extras
from dixc.errors import InputError, UserError

if TYPE_CHECKING:
    from dixc.functionals.base import Functional

ENTRY_POINTS = "dixc.functionals"
IMPORT_PATH = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*")
_CLASSES = {
    "lda": "dixc.functionals.classical:LDA",
    "pbe": "dixc.functionals.classical:PBE",
    "r2scan": "dixc.functionals.classical:R2SCAN",
    "b3lyp": "dixc.functionals.classical:B3LYP",
    "xcdiff": "dixc.functionals.xcdiff:XCdiff",
    "nnmgga": "dixc.functionals.nnmgga:NNmGGA",
    "skala-mgga": "dixc.functionals.skala:SkalaMGGA",
    "skala-bridge": "dixc.functionals.skala_bridge:SkalaBridge",
    "egxc": "dixc.functionals.egxc.functional:EGXC",
}
_NEEDS = {"skala-bridge": "skala"}  # packages that dixc does not bring


def registered() -> dict[str, str]:
    """Import path of each registered name: those of dixc, then entry points."""
    installed = {entry.name: entry.value for entry in entry_points(group=ENTRY_POINTS)}
    return _CLASSES | {name: path for name, path in installed.items() if name not in _CLASSES}


# the classical functional that stands in for any functional of the same invariants where only speed depends on it
GUIDES = {"LDA": "lda", "GGA": "pbe", "MGGA": "r2scan"}


def available() -> list[str]:
    """Names that `create` knows: those of dixc that have the packages they need, then those of installed packages."""
    return [name for name in registered() if name not in _NEEDS or find_spec(_NEEDS[name]) is not None]


def is_registered(name: str) -> bool:
    """Whether `name` is a registered name, or the import path of a class that has one."""
    paths = registered()
    return name in paths or name in paths.values()


def is_import_path(name: str) -> bool:
    """Whether `name` has the form `package.module:Class`."""
    return IMPORT_PATH.fullmatch(name) is not None


def functional_class(name: str) -> type[Functional]:
    """The class behind a registered name or an import path.

    Raises:
        InputError: unknown name, a module that cannot be imported, an extra of dixc that is not installed, or
            something else than a functional.
    """
    from dixc.functionals.base import Functional

    path = registered().get(name, name)
    if not is_import_path(path):
        raise InputError(
            f"unknown functional {name!r}; available: {', '.join(available())}, or package.module:Class"
        )
    module, attribute = path.split(":")
    try:
        cls = getattr(import_module(module), attribute)
    except Exception as error:  # a module that is not ours can raise anything
        own = module.partition(".")[0] == "dixc"
        advice = extras.advice(error) if own and isinstance(error, ImportError) else None
        if advice is not None:
            raise InputError(f"functional {name}: {advice}") from error
        reason = " ".join(str(error).split()) or type(error).__name__
        raise InputError(f"functional {name}: cannot import {path}: {reason}") from error
    if not (isinstance(cls, type) and issubclass(cls, Functional)):
        raise InputError(f"functional {name}: {path} is not a subclass of dixc.functionals.base.Functional")
    return cls


def name_of(functional: Functional) -> str:
    """The name under which a functional's class is registered, else its import path.

    Raises:
        InputError: its class is neither registered nor importable by name.
    """
    from dixc.functionals.base import Functional

    cls = type(functional)
    path = f"{cls.__module__}:{cls.__qualname__}"
    for name, entry in registered().items():
        if entry == path:
            return name
    if issubclass(cls, Functional) and cls.__module__ != "__main__" and is_import_path(path):
        return path
    names = ", ".join(available())
    raise InputError(
        f"{cls.__name__} is not a functional of the registry or of an importable module; known: {names}"
    )


def hyperparameters(name: str) -> list[str]:
    """Keywords that a functional's class takes.

    Raises:
        InputError: as `functional_class`.
    """
    from dixc.functionals.base import Functional

    cls = functional_class(name)
    if cls.__init__ is Functional.__init__:  # takes nothing, but its signature says *args, **kwargs
        return []
    return list(inspect.signature(cls).parameters)


def create(name: str, **keywords: Any) -> Functional:
    """A functional in float64, eval mode, on the CPU; learned ones have seeded, untrained weights.

    Args:
        name: one of `available()`, or an import path `package.module:Class`.
        **keywords: hyperparameters of that functional.

    Raises:
        InputError: unknown name, unknown hyperparameter or a value it refuses; a class that is not of dixc and does not
            do what is asked of a functional (`dixc.functionals.probe`).
    """
    return checked(name, build(name, **keywords))


def checked(name: str, functional: Functional) -> Functional:
    """What `build` made, tried on a few points if its class is not of dixc.

    Raises:
        InputError: as `probe.check`.
    """
    from dixc.functionals import probe

    if probe.is_foreign(functional):
        if _without_numbers():
            raise NotImplementedError(f"functional {name}: to be tried it needs numbers, which `meta` lacks")
        probe.check(functional, name)
        functional.__dict__["_accepted"] = True
    return functional


def build(name: str, **keywords: Any) -> Functional:
    """As `create`, without trying it.

    Raises:
        InputError: unknown name, unknown hyperparameter or a value it refuses.
    """
    try:
        return construct(name, **keywords)
    except UserError:
        raise
    except Exception as error:  # a class that is not ours can raise anything
        if name in _CLASSES or _without_numbers():
            raise
        reason = " ".join(str(error).split())
        raise InputError(f"functional {name}: {type(error).__name__}: {reason}") from error


def _without_numbers() -> bool:
    """Whether tensors are made on PyTorch's device `meta` now."""
    import torch

    return torch.get_default_device().type == "meta"


def construct(name: str, **keywords: Any) -> Functional:
    """As `build`, on any device, with whatever else the class raises."""
    cls = functional_class(name)
    parameters = hyperparameters(name)
    for key in keywords:
        if key not in parameters:
            expected = ", ".join(parameters) or "none"
            raise InputError(f"functional {name}: unknown hyperparameter {key!r}; known: {expected}")
    try:
        return cls(**keywords).eval().double()
    except (TypeError, ValueError) as error:
        raise InputError(f"functional {name}: {error}") from error

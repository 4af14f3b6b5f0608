"""Model files: a functional's registry name, hyperparameters, weights and provenance.

A file is what `torch.save` makes of plain Python types and tensors. It is read with `weights_only=True`,
which refuses everything else: opening a file from elsewhere executes no code.
"""

from __future__ import annotations

import os
import pickle
import zipfile
from collections.abc import Iterable, Mapping
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import torch

from dixc import models
from dixc.errors import InputError, UserError
from dixc.functionals import registry
from dixc.functionals.base import Functional
from dixc.inputs import require_regular
from dixc.store import atomic_file, held_errors
from dixc.version import __version__

FORMAT = "dixc-model"
VERSION = 1


def _plain(value: Any, where: str, tensors: bool = True) -> Any:
    """The value in plain Python types, which is all that a model file may hold.

    Args:
        value: to be converted.
        where: its place, for messages.
        tensors: take arrays and tensors for lists of numbers.

    Raises:
        InputError: a value of another type, or a key that is no string.
    """
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or type(value) in (bool, int, float, str):
        return value
    if isinstance(value, PathLike):
        return os.fspath(value)
    if tensors and isinstance(value, np.ndarray | torch.Tensor):
        return _plain(value.tolist(), where)
    if isinstance(value, list | tuple):
        return [_plain(v, f"{where}[{i}]", tensors) for i, v in enumerate(value)]
    if isinstance(value, Mapping):
        for key in value:
            if not isinstance(key, str):
                raise InputError(f"{where}: a key of a model file must be a string, not {key!r}")
        return {key: _plain(v, f"{where}.{key}", tensors) for key, v in value.items()}
    raise InputError(f"{where}: a model file cannot hold a value of type {type(value).__name__}")


def save(functional: Functional, path: str | PathLike[str], metadata: Mapping[str, Any]) -> None:
    """Write a model file: all of it or nothing.

    Args:
        functional: of a registered or importable class; its `hyperparameters` (if any) and state are kept.
        path: target; missing folders are made.
        metadata: provenance in plain types; NumPy values, tuples and paths are converted.

    Raises:
        InputError: a value that cannot be kept, or a place that cannot be written.
    """
    content = {
        "format": FORMAT,
        "version": VERSION,
        "dixc": __version__,
        "name": registry.name_of(functional),
        "hyperparameters": _plain(functional.hyperparameters, "hyperparameters"),
        "state": {key: value.detach().cpu().clone() for key, value in functional.state_dict().items()},
        "metadata": _plain(metadata, "metadata"),
    }
    with atomic_file(path, buffering=0) as disk, held_errors(disk) as file:
        torch.save(content, file)


def read(path: Path) -> Any:
    """What `torch.save` put into a file, plain types and tensors only.

    Raises:
        InputError: not such a file, or damaged.
    """
    require_regular(path)
    if not path.is_file():
        raise InputError(f"{path}: no such model file")
    try:
        if not zipfile.is_zipfile(path):
            raise InputError(f"{path}: not a model file of dixc, or cut off")
        with zipfile.ZipFile(path) as archive:
            if any(entry.compress_type != zipfile.ZIP_STORED for entry in archive.infolist()):
                raise InputError(
                    f"{path}: not a model file of dixc (it is compressed)"
                )  # could unpack to anything
            damaged = archive.testzip()
        if damaged is not None:
            raise InputError(f"{path}: damaged (wrong checksum of {damaged})")
        return torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise InputError(f"{path}: cannot read the model file: {error.strerror or error}") from error
    except pickle.UnpicklingError as error:
        raise InputError(f"{path}: not a model file of dixc (it holds more than numbers and text)") from error
    except UserError:
        raise
    except Exception as error:  # a damaged file can raise anything inside the zip reader and the unpickler
        raise InputError(f"{path}: not a model file of dixc, or damaged ({type(error).__name__})") from error


def checked(content: Any, path: Path) -> dict[str, Any]:
    """The content with every part of the type that `save` wrote.

    Raises:
        InputError: foreign content or a newer format.
    """
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise InputError(f"{path}: not a model file of dixc")
    version = content.get("version")
    if not isinstance(version, int) or version < 1:
        raise InputError(f"{path}: not a model file of dixc (no format version)")
    if version > VERSION:
        raise InputError(
            f"{path}: model file of format {version}, written by dixc {content.get('dixc')}; "
            f"this dixc {__version__} reads up to format {VERSION}"
        )
    types: dict[str, type] = {"name": str, "hyperparameters": dict, "state": dict, "metadata": dict}
    for key, kind in types.items():
        if not isinstance(content.get(key), kind):
            raise InputError(f"{path}: incomplete model file (no {key})")
    _check_weights(content["state"], path)
    if not all(isinstance(key, str) for key in content["hyperparameters"]):
        raise InputError(f"{path}: hyperparameters: keywords must be strings")
    for key in ("hyperparameters", "metadata"):
        try:
            _plain(content[key], key, tensors=False)
        except (UserError, RecursionError) as error:
            raise InputError(f"{path}: {' '.join(str(error).split())[:200]}") from None
    types = {"model": str, "loss": str, "seed": int, "elements": list}
    for key, kind in types.items():
        if not isinstance(content["metadata"].get(key, kind()), kind):
            raise InputError(f"{path}: metadata.{key} is not what dixc writes there")
    return content


def _check_weights(state: dict[str, Any], path: Path) -> None:
    """Refuses weights that are no plain arrays of finite numbers, before anything is computed with them."""
    for key, value in state.items():
        problem = None
        if not isinstance(key, str) or not isinstance(value, torch.Tensor) or value.layout != torch.strided:
            problem = "are not an array of numbers"
        elif value.numel() * value.element_size() > value.untyped_storage().nbytes():
            problem = "claim to be larger than what is stored"  # strides of zero: a few bytes as terabytes
        elif not (value.is_floating_point() or value.dtype == torch.int64) or not value.isfinite().all():
            problem = "are not finite numbers"
        if problem:
            raise InputError(f"{path}: weights {str(key)[:60]} {problem}")


def _check_size(content: dict[str, Any], path: Path) -> None:
    """Refuses hyperparameters of another, perhaps enormous, network than that of the weights, without building it."""
    state, hyperparameters = content["state"], content["hyperparameters"]
    largest = max([64, len(state), *(size for value in state.values() for size in value.shape)])
    for key, value in hyperparameters.items():
        if key != "seed" and isinstance(value, int) and value > largest:
            raise InputError(f"{path}: weights do not fit hyperparameter {key} = {str(value)[:40]}")
    try:
        with torch.device("meta"):  # shapes only, no memory
            expected = registry.construct(content["name"], **hyperparameters).state_dict()
    except (NotImplementedError, RuntimeError):  # a functional that cannot be built so: the weights decide
        return
    if {k: v.shape for k, v in expected.items()} != {k: v.shape for k, v in state.items()}:
        raise InputError(f"{path}: weights do not fit hyperparameters {str(hyperparameters)[:200]}")


def _allowed(name: str, classes: Iterable[str], path: Path) -> None:
    """Refuses a class that nobody but the file asks for: importing a module runs its code.

    Raises:
        InputError: neither registered nor among `classes`.
    """
    if registry.is_registered(name) or not registry.is_import_path(name) or name in set(classes):
        return
    raise InputError(
        f"{path}: holds a functional of the class {name}, which is not registered; if you trust it, "
        f'name it: dixc.load(path, classes=["{name}"]), or register it as an entry point'
    )


def load(path: str | PathLike[str], classes: Iterable[str] = ()) -> Functional:
    """A functional from a model file: float64, eval mode, CPU, provenance in `.metadata`. Executes no code of the file.

    Args:
        path: the model file, or the name of a shipped model.
        classes: import paths (`package.module:Class`) of unregistered classes that the file may name. Without them
            only functionals of dixc and of installed entry points are built: a file cannot choose what is imported.

    Raises:
        InputError: the file is missing, damaged, newer than this dixc, no model of dixc, or of a class not allowed.
    """
    name, path = str(path), models.locate(path)
    content = checked(read(path), path)
    _allowed(content["name"], classes, path)
    state = content["state"]
    try:
        _check_size(content, path)
        functional = registry.build(content["name"], **content["hyperparameters"])
        functional.load_state_dict(state)
        registry.checked(content["name"], functional)
    except UserError as error:
        words = str(error).removeprefix(f"{path}: ")
        raise InputError(f"{path}: {words}") from error
    except (TypeError, ValueError, OverflowError, MemoryError) as error:
        raise InputError(f"{path}: {' '.join(str(error).split())[:200]}") from error
    except RuntimeError as error:
        raise InputError(
            f"{path}: weights do not fit hyperparameters {content['hyperparameters']}"
        ) from error
    functional.metadata = content["metadata"]
    if name in models.shipped():
        functional.name = name
    return functional


def model_file(name_or_path: str | PathLike[str]) -> Path | None:
    """The file behind what `resolve` takes; None for a registered name or an import path."""
    name = str(name_or_path)
    if name in registry.registered() or (registry.is_import_path(name) and not Path(name).exists()):
        return None
    return models.locate(name_or_path)


def resolve(name_or_path: str | PathLike[str], classes: Iterable[str] = ()) -> Functional:
    """A functional from a registered name, an import path, the name of a shipped model or, failing these, a file.

    Args:
        name_or_path: name (of the registry first), import path or file.
        classes: import paths that a model file may name (see `load`).

    Raises:
        InputError: none of these, or as `registry.create` and `load`.
    """
    path = model_file(name_or_path)
    if path is None:
        return registry.create(str(name_or_path))
    if not path.exists():
        names = ", ".join(registry.available() + models.shipped())
        raise InputError(f"{name_or_path}: neither a functional ({names}) nor a model file that exists")
    return load(name_or_path, classes)

"""Model files: a functional's registry name, hyperparameters, weights and provenance.

A file is what `torch.save` makes of plain Python types and tensors. It is read with `weights_only=True`,
which refuses everything else: opening a file from elsewhere executes no code.
"""

from __future__ import annotations

import os
import pickle
import tempfile
import zipfile
from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import torch

from dixc import __version__, models
from dixc.errors import UserError
from dixc.functionals import registry
from dixc.functionals.base import Functional

FORMAT = "dixc-model"
VERSION = 1


def _plain(value: Any, where: str) -> Any:
    """The value in plain Python types, which is all that a model file may hold.

    Raises:
        UserError: a value of another type, or a key that is no string.
    """
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or type(value) in (bool, int, float, str):
        return value
    if isinstance(value, PathLike):
        return os.fspath(value)
    if isinstance(value, np.ndarray | torch.Tensor):
        return _plain(value.tolist(), where)
    if isinstance(value, list | tuple):
        return [_plain(v, f"{where}[{i}]") for i, v in enumerate(value)]
    if isinstance(value, Mapping):
        for key in value:
            if not isinstance(key, str):
                raise UserError(f"{where}: a key of a model file must be a string, not {key!r}")
        return {key: _plain(v, f"{where}.{key}") for key, v in value.items()}
    raise UserError(f"{where}: a model file cannot hold a value of type {type(value).__name__}")


def save(functional: Functional, path: str | PathLike[str], metadata: Mapping[str, Any]) -> None:
    """Write a model file: all of it or nothing.

    Args:
        functional: of a class of the registry; its `hyperparameters` (if any) and state are kept.
        path: target; missing folders are made.
        metadata: provenance in plain types; NumPy values, tuples and paths are converted.

    Raises:
        UserError: a value that cannot be kept, or a place that cannot be written.
    """
    target = Path(path)
    content = {
        "format": FORMAT,
        "version": VERSION,
        "dixc": __version__,
        "name": registry.name_of(functional),
        "hyperparameters": _plain(getattr(functional, "hyperparameters", {}), "hyperparameters"),
        "state": {key: value.detach().cpu().clone() for key, value in functional.state_dict().items()},
        "metadata": _plain(metadata, "metadata"),
    }
    temporary = None
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=target.parent, prefix=f".{target.name}.", delete=False) as file:
            temporary = Path(file.name)
            torch.save(content, file)
            file.flush()
            os.fsync(file.fileno())
        temporary.chmod(0o666 & ~_umask())
        temporary.replace(target)
    except OSError as error:
        raise UserError(f"{path}: cannot write the model file: {error.strerror or error}") from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _read(path: Path) -> Any:
    """What `torch.save` put into the file, plain types and tensors only.

    Raises:
        UserError: not such a file, or damaged.
    """
    if not path.is_file():
        raise UserError(f"{path}: no such model file")
    try:
        if not zipfile.is_zipfile(path):
            raise UserError(f"{path}: not a model file of dixc, or cut off")
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
        if damaged is not None:
            raise UserError(f"{path}: damaged (wrong checksum of {damaged})")
        return torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise UserError(f"{path}: cannot read the model file: {error.strerror or error}") from error
    except pickle.UnpicklingError as error:
        raise UserError(f"{path}: not a model file of dixc (it holds more than numbers and text)") from error
    except UserError:
        raise
    except Exception as error:  # a damaged file can raise anything inside the zip reader and the unpickler
        raise UserError(f"{path}: not a model file of dixc, or damaged ({type(error).__name__})") from error


def _checked(content: Any, path: Path) -> dict[str, Any]:
    """The content with every part of the type that `save` wrote.

    Raises:
        UserError: foreign content or a newer format.
    """
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise UserError(f"{path}: not a model file of dixc")
    version = content.get("version")
    if not isinstance(version, int) or version < 1:
        raise UserError(f"{path}: not a model file of dixc (no format version)")
    if version > VERSION:
        raise UserError(
            f"{path}: model file of format {version}, written by dixc {content.get('dixc')}; "
            f"this dixc {__version__} reads up to format {VERSION}"
        )
    for key, kind in (("name", str), ("hyperparameters", dict), ("state", dict), ("metadata", dict)):
        if not isinstance(content.get(key), kind):
            raise UserError(f"{path}: incomplete model file (no {key})")
    return content


def load(path: str | PathLike[str]) -> Functional:
    """A functional from a model file or the name of a shipped model: float64, eval mode, CPU. Executes no code.

    Its provenance is in `.metadata`.

    Raises:
        UserError: the file is missing, damaged, newer than this dixc, or no model of dixc.
    """
    path = models.locate(path)
    content = _checked(_read(path), path)
    state = content["state"]
    for key, value in state.items():
        if not isinstance(value, torch.Tensor) or value.layout != torch.strided or not value.isfinite().all():
            raise UserError(f"{path}: weights {key} are not finite numbers")
    try:
        functional = registry.create(content["name"], **content["hyperparameters"])
        functional.load_state_dict(state)
    except (UserError, TypeError, MemoryError) as error:
        raise UserError(f"{path}: {error}") from error
    except RuntimeError as error:
        raise UserError(f"{path}: weights do not fit hyperparameters {content['hyperparameters']}") from error
    functional.metadata = content["metadata"]
    return functional

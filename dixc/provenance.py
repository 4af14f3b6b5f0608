"""Where a result comes from: versions, commit, and hashes of settings and inputs.

Versions are read from package metadata: collecting them imports nothing heavy.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.metadata
import json
import os
import platform
import subprocess
import sys
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

from dixc.errors import InputError
from dixc.inputs import require_regular
from dixc.version import __version__

UNKNOWN = "unknown"
PACKAGES = ("pyscf", "torch", "numpy", "h5py")
BLOCK_BYTES = 1 << 20


def collect() -> dict[str, Any]:
    """Versions, commit and machine, ready for JSON. No times, so that equal runs give equal files.

    Returns:
        dixc, commit ("unknown" outside a git checkout), dirty (tracked files differ from the
        commit; None if unknown), python, pyscf, torch, numpy, h5py, libxc ("unknown" before PySCF
        is imported), environment (hash of the names and versions of all installed packages),
        platform, threads.
    """
    commit, dirty = _commit(Path(__file__).resolve().parents[1])
    return {
        "dixc": __version__,
        "commit": commit,
        "dirty": dirty,
        "python": platform.python_version(),
        **{package: _version(package) for package in PACKAGES},
        "libxc": _libxc_version(),
        "environment": environment(),
        "platform": f"{platform.system()} {platform.machine()}",
        "threads": _threads(),
    }


def origin(
    config: str | None = None, molecules: str | None = None, **inputs: str | os.PathLike[str] | None
) -> dict[str, Any]:
    """What a file was made from, to stand in its provenance beside the versions.

    Args:
        config: hash over all settings of the run (`Config.digest`).
        molecules: hash of the molecules that went in.
        **inputs: files by their role (None: not there); name and SHA-256 are kept.

    Raises:
        InputError: an input cannot be read.
    """
    record: dict[str, Any] = {}
    if config is not None:
        record["config"] = config
    if molecules:
        record["molecules"] = molecules
    files = {role: Path(path) for role, path in inputs.items() if path is not None}
    if files:
        record["inputs"] = {
            role: {"file": path.name, "sha256": file_hash(path)} for role, path in files.items()
        }
    return record


def short_hash(digest: str) -> str:
    """The first 16 of a digest's hex digits, which is how hashes are shown."""
    return digest[:16]


def combined(hashes: Iterable[str]) -> str:
    """One hash for several: the hash itself if they are all the same one, "" for none."""
    distinct = sorted({value for value in hashes if value})
    return hash_of(distinct) if len(distinct) > 1 else "".join(distinct)


@cache
def environment() -> str:
    """Hash of the names and versions of all installed packages."""
    return hash_of(installed())


@cache
def installed() -> dict[str, str]:
    """Versions of all installed packages by name: the exact environment."""
    versions = {}
    for distribution in importlib.metadata.distributions():
        if distribution.metadata["Name"]:
            versions[distribution.metadata["Name"].lower().replace("_", "-")] = distribution.version
    return dict(sorted(versions.items()))


def hash_of(obj: Any) -> str:
    """First 16 hex digits of the SHA-256 of an object's canonical JSON.

    It is the same in every process, whatever the order of keys.

    Args:
        obj: JSON values; paths, NumPy scalars and arrays count as text, numbers and lists.

    Raises:
        TypeError: something that JSON does not know.
    """
    text = json.dumps(obj, sort_keys=True, separators=(",", ":"), ensure_ascii=True, default=_plain)
    return hashlib.sha256(text.encode("ascii")).hexdigest()[:16]


def file_hash(path: str | os.PathLike[str]) -> str:
    """SHA-256 of a file's content, 64 hex digits.

    Raises:
        InputError: the file cannot be read.
    """
    require_regular(path)
    try:
        status = os.stat(path)
        return _file_hash(os.path.abspath(path), status.st_mtime_ns, status.st_size, status.st_ino)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except OSError as error:
        raise InputError(f"{path}: cannot read: {error.strerror or error}") from None


@cache
def _file_hash(path: str, *stamp: int) -> str:
    # once a file: a training on a thousand chunks asks for each a thousand times
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(BLOCK_BYTES):
            digest.update(block)
    return digest.hexdigest()


def _plain(value: Any) -> Any:
    numpy = sys.modules.get("numpy")  # not imported here: settings are hashed where nothing else needs it
    if numpy is not None and isinstance(value, numpy.ndarray | numpy.generic):
        return value.tolist()
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    raise TypeError(f"cannot hash a {type(value).__name__}")


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return UNKNOWN


def _libxc_version() -> str:
    # the number sits in PySCF's compiled library, which takes seconds to load: only if a stage has
    # done so
    if "pyscf.lib" not in sys.modules:
        return UNKNOWN
    version = importlib.import_module("pyscf.dft.libxc").__version__
    return version.decode() if isinstance(version, bytes) else str(version)


def _threads() -> int:
    if "pyscf.lib" in sys.modules:
        return int(sys.modules["pyscf.lib"].num_threads())
    first = os.environ.get("OMP_NUM_THREADS", "").split(",")[0]
    return int(first) if first.isdecimal() else os.cpu_count() or 1


@cache
def _commit(root: Path) -> tuple[str, bool | None]:
    # an installed dixc may lie inside a checkout of something else: only a checkout of dixc itself
    # counts
    if not (root / ".git").exists():
        return UNKNOWN, None
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    lines = []
    for command in (["rev-parse", "HEAD"], ["status", "--porcelain", "--untracked-files=no"]):
        try:
            done = subprocess.run(
                ["git", "--no-optional-locks", "-C", str(root), *command],
                capture_output=True, text=True, timeout=20, check=True, env=environment,
            )  # fmt: skip
        except (OSError, subprocess.SubprocessError):
            return UNKNOWN, None
        lines.append(done.stdout.strip())
    return lines[0], bool(lines[1])

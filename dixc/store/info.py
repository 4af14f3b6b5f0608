"""What a chunk says about itself, and whether two chunks belong together."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from dixc.errors import InputError
from dixc.provenance import file_hash
from dixc.store.files import AnyPath, decoding, open_chunk

if TYPE_CHECKING:
    import h5py


def read_info(path: AnyPath) -> dict[str, Any]:
    """What a chunk says about itself.

    Returns:
        stage, format_version, split, settings, provenance, molecules (names) and failed (name -> reason).

    Raises:
        InputError: as `open_chunk`.
    """
    with open_chunk(path) as file, decoding(path):
        groups = list(file.values())
        return {
            "stage": str(file.attrs["stage"]),
            "format_version": int(file.attrs["format_version"]),
            "split": str(file.attrs["split"]),
            "settings": json.loads(file.attrs["settings"]),
            "provenance": json.loads(file.attrs["provenance"]),
            "molecules": [str(g.attrs["name"]) for g in groups],
            "failed": {
                str(g.attrs["name"]): str(g.attrs["reason"]) for g in groups if g.attrs["status"] == "failed"
            },
        }


def molecules_hash(path: AnyPath) -> str:
    """Hash of the molecules from which a chunk was made; "" if it does not say.

    Raises:
        InputError: as `open_chunk`.
    """
    return str(read_info(path)["provenance"].get("molecules", ""))


def require_made_from(chunk: h5py.File, path: AnyPath, **inputs: AnyPath | Sequence[AnyPath]) -> None:
    """Refuses a chunk that was made from other files than those it is used with.

    Args:
        chunk: open chunk.
        path: its path, for the message.
        **inputs: a file, or several of which it may be any, by their role; a role that the chunk does not speak
            of is let pass.

    Raises:
        InputError: a file of another content.
    """
    with decoding(path):
        origins = json.loads(chunk.attrs["provenance"]).get("inputs", {})
        recorded = {role: origins[role]["sha256"] for role in inputs if role in origins}
    for role, digest in recorded.items():
        candidates = inputs[role]
        files = [candidates] if isinstance(candidates, str | os.PathLike) else list(candidates)
        if digest not in map(file_hash, files):
            names = ", ".join(map(str, files))
            raise InputError(
                f"{path}: made from another {role} file than {names}; run its stage again with this one"
            )


def molecule_group(chunk: h5py.File, path: AnyPath, name: str) -> h5py.Group:
    """The group of a molecule.

    Raises:
        InputError: the chunk has no such molecule, or it failed.
    """
    if name not in chunk:
        raise InputError(f"{path}: no molecule {name} in it; is it of another file of molecules?")
    group = chunk[name]
    if str(group.attrs.get("status", "ok")) != "ok":
        raise InputError(
            f"{path}: molecule {name} failed there: {group.attrs.get('reason', 'no reason given')}"
        )
    return group

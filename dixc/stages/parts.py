"""What rows of `warmstart` and `tddft`, parts of a run's tables, have in common."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dixc.store import decoding

if TYPE_CHECKING:
    import h5py


def read_tags(chunk: h5py.File, path: Path) -> dict[str, Any]:
    """Model, loss and seed of an open SCF chunk.

    Raises:
        InputError: it does not say.
    """
    with decoding(path):
        return {key: chunk.attrs[key] for key in ("model", "loss", "seed")}


def failed_row(name: str, failure: Mapping[str, Any]) -> dict[str, Any]:
    """The row of a molecule without a reference: nothing but its name, and that it failed."""
    return {
        "molecule": name,
        "converged": False,
        "split": failure["split"],
        "n_heavy": failure["n_heavy"],
    }

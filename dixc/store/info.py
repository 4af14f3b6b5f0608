"""What a chunk says about itself."""

from __future__ import annotations

import json
from typing import Any

from dixc.store.files import AnyPath, open_chunk


def read_info(path: AnyPath) -> dict[str, Any]:
    """What a chunk says about itself.

    Returns:
        stage, format_version, split, settings, provenance, molecules (names) and failed (name -> reason).

    Raises:
        UserError: as `open_chunk`.
    """
    with open_chunk(path) as file:
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

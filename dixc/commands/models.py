"""The functionals that dixc knows, for a person at a terminal: `dixc models`."""

from __future__ import annotations

from typing import Any

from dixc import text
from dixc.errors import UserError
from dixc.functionals import files, registry
from dixc.functionals.base import Functional
from dixc.models import locate, shipped

COLUMNS = ["name", "kind", "parameters", "size", "source"]
NUMBERS = {COLUMNS.index("parameters"), COLUMNS.index("size")}


def run(as_json: bool = False) -> None:
    """Print all functionals: those of the registry, then the trained ones that come with dixc."""
    functionals = entries()
    print(text.as_json(functionals) if as_json else as_text(functionals))


def entries() -> list[dict[str, Any]]:
    """One mapping a functional, ready for JSON.

    Returns:
        name; kind ("classical", "architecture" or "trained model"); trained; source (paper);
        xctype; pointwise; parameters (their number, None where the functional cannot be built
        here); file and file_bytes (None for a name of the registry); for trained models also
        architecture, reference and loss.
    """
    return [_of_registry(name) for name in registry.available()] + [_of_model(name) for name in shipped()]


def _of_registry(name: str) -> dict[str, Any]:
    entry = {"name": name, "kind": "architecture", "trained": False}
    try:
        functional = registry.create(name)
    except UserError as error:  # somebody else's entry point: the others are listed all the same
        unknown = dict.fromkeys(("parameters", "file", "file_bytes", "xctype", "pointwise"))
        return entry | unknown | {"source": f"cannot be created: {error}"}
    count = n_parameters(functional)
    return entry | {
        "kind": "architecture" if count else "classical",
        "parameters": count,
        "file": None,
        "file_bytes": None,
        "xctype": functional.xctype,
        "pointwise": functional.pointwise,
        "source": functional.source or None,
    }


def _of_model(name: str) -> dict[str, Any]:
    path = locate(name)
    functional = files.load(path)
    architecture = registry.name_of(functional)
    metadata = functional.metadata
    reference = metadata.get("reference", {})
    return {
        "name": name,
        "kind": "trained model",
        "trained": True,
        "parameters": n_parameters(functional),
        "file": str(path),
        "file_bytes": path.stat().st_size,
        "xctype": functional.xctype,
        "pointwise": functional.pointwise,
        "source": functional.source or None,
        "architecture": architecture,
        "reference": "/".join(str(reference[key]) for key in ("functional", "basis") if key in reference),
        "loss": metadata.get("loss"),
    }


def n_parameters(functional: Functional) -> int:
    """Number of parameters that a training changes."""
    return sum(parameter.numel() for parameter in functional.parameters())


def as_text(functionals: list[dict[str, Any]]) -> str:
    """An aligned table."""
    rows = [COLUMNS]
    for entry in functionals:
        kind = entry["kind"]
        if entry["trained"]:
            kind = f"{entry['architecture']} trained on {entry['reference']}"
        elif kind == "architecture":
            kind = "architecture, untrained"
        count = "-" if entry["parameters"] is None else str(entry["parameters"])
        size = "-" if entry["file_bytes"] is None else f"{entry['file_bytes'] / 1000:.0f} kB"
        rows.append([entry["name"], kind, count, size, entry["source"] or "-"])
    return "\n".join(text.aligned(rows, right=NUMBERS))

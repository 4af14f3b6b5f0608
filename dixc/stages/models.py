"""Listing of functionals for a person at a terminal: `dixc models`."""

from __future__ import annotations

from dixc.errors import UserError
from dixc.functionals import registry


def run() -> None:
    """Print name, number of parameters, invariants and source of every functional that `dixc.create` knows."""
    rows = [("name", "parameters", "kind", "source")]
    for name in registry.available():
        try:
            functional = registry.create(name)
        except UserError as error:  # somebody else's entry point: the others are listed all the same
            rows.append((name, "-", "-", f"cannot be created: {error}"))
            continue
        size = sum(p.numel() for p in functional.parameters())
        kind = functional.xctype if functional.pointwise else f"{functional.xctype}, not pointwise"
        rows.append((name, str(size), kind, functional.source or "-"))
    widths = [max(len(row[i]) for row in rows) for i in range(3)]
    for name, size, kind, source in rows:
        print(f"{name:{widths[0]}s}  {size:>{widths[1]}s}  {kind:{widths[2]}s}  {source}")

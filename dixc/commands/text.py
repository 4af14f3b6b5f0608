"""Results as aligned lines of text, or as JSON."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from typing import Any


def table(rows: Sequence[Sequence[str]], right: Collection[int] = ()) -> list[str]:
    """Lines of a table with aligned columns, two spaces between them.

    Args:
        rows: cells as text; all rows have the same number.
        right: places of the columns that are aligned at their right edge.
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        cells = [
            cell.rjust(width) if place in right else cell.ljust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(cells).rstrip())
    return lines


def as_json(value: Any) -> str:
    """JSON for other programs, indented."""
    return json.dumps(value, indent=1)


def number(value: float) -> str:
    """Three digits; all of those before the decimal point."""
    return f"{value:.3g}" if value < 100 else f"{value:.0f}"

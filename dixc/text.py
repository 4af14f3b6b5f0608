"""Numbers and small tables as text, for every page, table and log of dixc."""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Sequence
from typing import Any

DASH = "–"


def number(value: float | None, digits: int = 3) -> str:
    """A number with so many significant digits, mostly without exponent; a dash for NaN, None."""
    if value is None or not math.isfinite(value):
        return DASH
    if value == 0:
        return "0"
    if not 1e-4 <= abs(value) < 1e6:
        return f"{value:.{digits - 1}e}"
    decimals = max(0, digits - 1 - math.floor(math.log10(abs(value))))
    return f"{value:.{decimals}f}"


def rounded(value: float) -> str:
    """Three digits; all of those before the decimal point."""
    return f"{value:.3g}" if value < 100 else f"{value:.0f}"


def fixed(value: float | None, decimals: int, missing: str = DASH) -> str:
    """A number with so many decimals; `missing` for NaN and None."""
    return missing if value is None or not math.isfinite(value) else f"{value:.{decimals}f}"


def true_minus(text: str) -> str:
    """Text with minus signs in the place of hyphens."""
    return text.replace("-", "−")


def signed_percent(value: float) -> str:
    """`−12 %`, `+3.2 %`, with a true minus; a dash for NaN."""
    if not math.isfinite(value):
        return DASH
    text = f"{value:+.{0 if abs(value) >= 9.95 else 1}f}"
    return f"{'0' if float(text) == 0 else true_minus(text)} %"


def listed(words: Sequence[str]) -> str:
    """`a, b and c`."""
    return ", ".join(words[:-1]) + " and " + words[-1] if len(words) > 1 else words[0]


def shortened(words: Sequence[str], most: int) -> str:
    """The first `most` words, and how many more there are: `a, b and 5 more`."""
    more = f" and {len(words) - most} more" if len(words) > most else ""
    return ", ".join(words[:most]) + more


def counted(count: int, noun: str) -> str:
    """`1 seed`, `3 seeds`."""
    return f"{count} {noun}{'' if count == 1 else 's'}"


def markdown_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table in Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def aligned(rows: Sequence[Sequence[str]], right: Collection[int] = ()) -> list[str]:
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

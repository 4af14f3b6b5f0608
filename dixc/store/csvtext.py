"""CSV text that a spreadsheet shows and does not run: cells of text that look like a formula get an apostrophe."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

# what spreadsheets take for the beginning of a formula, their full-width forms too (OWASP, "CSV Injection")
FORMULA = re.compile(r"[=+\-@\t\r\n＝＋－＠]")
NUMBER = r"[-+]?[\d.]+(?:[eE][-+]?\d+)?"
NUMBERS = re.compile(rf"{NUMBER}(?: {NUMBER})*")  # such as the energies of an SCF's cycles


def inert(value: Any) -> Any:
    """The value of a cell; text that a spreadsheet would take for a formula begins with an apostrophe."""
    if isinstance(value, str) and FORMULA.match(value) and not NUMBERS.fullmatch(value):
        return "'" + value
    return value


def csv_bytes(rows: pd.DataFrame) -> bytes:
    """A table as CSV in UTF-8, its text `inert`."""
    return rows.map(inert).to_csv(index=False).encode()

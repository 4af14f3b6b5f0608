"""Options of `dixc scf` that all methods share.

The command line makes them before PySCF loads, so this module imports nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Options:
    """Which molecules, in which basis and on which grid, and how results are shown.

    Attributes:
        molecules: extended xyz, one molecule or several.
        basis: orbital basis, as PySCF names it.
        charge: overrules the file's, e.
        grid_level: of PySCF's grids.
        as_json: print a JSON object a molecule, one a line, instead of text.
        out: file for the same JSON lines.
    """

    molecules: Path
    basis: str = "def2-svp"
    charge: int | None = None
    grid_level: int = 3
    as_json: bool = False
    out: Path | None = None

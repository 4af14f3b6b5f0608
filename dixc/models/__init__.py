"""Trained functionals that come with dixc: `NAME.pt` in this folder is the model NAME (see its README.md).

A string that names a functional is a name of the registry first, then one of these, then a file.
"""

from __future__ import annotations

from os import PathLike
from pathlib import Path

FOLDER = Path(__file__).parent
DEFAULT = "xcdiff-b3lyp"  # what runs where no functional is named


def shipped() -> list[str]:
    """Names of the trained functionals that come with dixc."""
    return sorted(path.stem for path in FOLDER.glob("*.pt"))


def locate(name_or_path: str | PathLike[str]) -> Path:
    """The file of a trained functional: a shipped one by its name, any other by its path (which need not exist)."""
    # a name has no folder and no ending: anything else is a path, and so is what looks like one
    name = str(name_or_path)
    return FOLDER / f"{name}.pt" if name in shipped() else Path(name_or_path)

"""The molecules of a run as molecules.csv lists them, and the logs behind rows of tables."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

import pandas as pd

from dixc.errors import InputError
from dixc.inputs import require_regular

NEEDED = ("name", "formula", "chunk")
# folder of a table's logs in logs/
STAGES = {"scf": "evaluate", "warmstart": "warmstart", "tddft": "tddft"}


@dataclass(frozen=True)
class Sources:
    """What the report knows of its run beside the tables.

    Attributes:
        molecules: entries of molecules.csv (formula, smiles, chunk, ...) by name, or empty.
        root: folder of the run, where `logs/` is; None for no links.
    """

    molecules: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    root: Path | None = None

    def words(self, name: str) -> str:
        """Formula and SMILES of a molecule, as far as known."""
        entry = self.molecules.get(name, {})
        return ", ".join(word for word in (entry.get("formula", ""), entry.get("smiles", "")) if word)

    def elements(self, name: str) -> frozenset[str]:
        """Symbols of a molecule's elements, from its formula; none if that is not known."""
        return frozenset(re.findall(r"[A-Z][a-z]?", self.molecules.get(name, {}).get("formula", "")))

    def elements_of_training(self) -> frozenset[str]:
        """Symbols of the elements in all training molecules; none if they are not known."""
        train = [name for name, entry in self.molecules.items() if entry.get("split") == "train"]
        return frozenset().union(*map(self.elements, train))

    def log(self, table: str, model: str, loss: str, seed: int, molecule: str, guess: str = "") -> str | None:
        """Link (relative to the run's folder) to the log behind a row; None if there is none."""
        chunk = self.molecules.get(molecule, {}).get("chunk")
        functional = model if loss == "none" else f"{model}-{loss}-{seed}"
        if guess == "minao":
            functional = "reference"
        return self._link(f"logs/{STAGES[table]}/{functional}/{chunk}.log") if chunk else None

    def training_log(self, name: str) -> str | None:
        """Link to the log of a training."""
        return self._link(f"logs/train/{name}.log")

    def _link(self, path: str) -> str | None:
        return quote(path) if self.root is not None and (self.root / path).is_file() else None


NO_SOURCES = Sources()


def read_molecules(path: Path) -> dict[str, dict[str, str]]:
    """Entries of molecules.csv by name.

    Raises:
        InputError: no such file, or not such a table.
    """
    require_regular(path)
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: not a CSV table ({str(error).splitlines()[0]})") from None
    absent = [column for column in NEEDED if column not in table]
    if absent:
        raise InputError(f"{path}: no column {', '.join(absent)} (not the molecules.csv of a run)")
    return {row["name"]: row for row in table.to_dict("records")}

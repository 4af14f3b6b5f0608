"""Training logs: reading, and what the trainings cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from dixc.errors import InputError
from dixc.inputs import require_regular
from dixc.tables.samples import floats
from dixc.tables.schema import BASE
from dixc.text import fixed, number

Logs = Mapping[str, pd.DataFrame]
CLOCKS = ("step", "wall_s")  # columns that every log has


def read_logs(paths: Sequence[Path]) -> dict[str, pd.DataFrame]:
    """Training logs by name ({model}-{loss}-{seed}, from the file name).

    Raises:
        InputError: a file is missing, no CSV table, or lacks `step` or `wall_s`.
    """
    logs = {}
    for path in map(Path, paths):
        require_regular(path)
        try:
            log = pd.read_csv(path)
        except (OSError, ValueError) as error:
            raise InputError(f"{path}: training log cannot be read ({str(error).splitlines()[0]})") from None
        absent = [column for column in CLOCKS if column not in log]
        if absent:
            raise InputError(f"{path}: no column {', '.join(absent)}")
        logs[path.stem] = log
    return logs


def parse_name(name: str) -> tuple[str, str, str]:
    """model, loss and seed of a log's name; a model's name may itself have a hyphen."""
    pieces = name.rsplit("-", 2)
    return (pieces[0], pieces[1], pieces[2]) if len(pieces) == 3 else (name, "", "")


def training_cost(logs: Logs) -> dict[str, Any]:
    """Steps and wall-clock of every training as rows of words, and whether steps are equal."""
    steps, seconds = (
        {name: floats(log[clock]).max() if len(log) else np.nan for name, log in logs.items()}
        for clock in CLOCKS
    )
    rows = []
    for name in logs:
        model, loss, seed = parse_name(name)
        of_base = pd.Series(
            [seconds[other] for other in logs if parse_name(other)[:2] == (model, BASE)], dtype=float
        )
        rows.append(
            {
                "name": f"{model} {loss}",
                "seed": seed,
                "steps": fixed(steps[name], 0),
                "wall": number(seconds[name]),
                "each": number(1000 * seconds[name] / steps[name] if steps[name] else None),
                "ratio": number(seconds[name] / of_base.mean(), 2),
            }
        )
    return {"words": _equal_steps(sorted({int(n) for n in steps.values() if np.isfinite(n)})), "rows": rows}


def _equal_steps(steps: list[int]) -> str:
    if not steps:
        return ""
    if len(steps) == 1:
        return f"All trainings took the same number of steps, {steps[0]}."
    return f"The trainings took different numbers of steps: {', '.join(map(str, steps))}."

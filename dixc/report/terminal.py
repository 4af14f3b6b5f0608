"""The results of a run as a small table, from summary.csv alone; imports nothing heavy."""

from __future__ import annotations

import csv
import math
from dataclasses import dataclass, field
from pathlib import Path

from dixc.tables.metrics import METRICS, UNSEEN, lead_first
from dixc.tables.schema import FunctionalKey
from dixc.text import aligned, fixed

FITTED = "e_tot_mae_fit_mEh"  # no value for elements that training lacks, which is no failure
MINAO = "warmstart_fock_builds_minao"


@dataclass
class Summary:
    """What the terminal shows of summary.csv.

    Attributes:
        values: test values by functional and metric.
        failed: largest number of failed molecules of any metric, by functional and split.
        minao: Fock builds of the default guess.
        unseen: test molecules with an element that no training molecule has.
    """

    values: dict[str, dict[str, float]] = field(default_factory=dict)
    failed: dict[str, dict[str, int]] = field(default_factory=dict)
    minao: float = math.nan
    unseen: int = 0


def summary_text(summary: Path, report: Path | None = None) -> str:
    """Means over test molecules, a line a functional; empty without such a file.

    Args:
        summary: the run's tables/summary.csv.
        report: the page, to be named at the end.
    """
    try:
        shown = _read(Path(summary))
    except (OSError, KeyError, ValueError, UnicodeDecodeError):
        return ""
    if not shown.values:
        return ""
    present = {name for values in shown.values.values() for name in values}
    columns = {
        metric.name: metric.terminal
        for metric in lead_first(METRICS)
        if metric.terminal and metric.name in present
    }
    rows = [["test molecules", *(heading for heading, _ in columns.values()), "failed"]]
    rows += [
        [
            name,
            *(fixed(values.get(metric), decimals, "-") for metric, (_, decimals) in columns.items()),
            str(sum(shown.failed[name].values())),
        ]
        for name, values in shown.values.items()
    ]
    lines = aligned(rows, right=range(1, len(rows[0])))
    lines.insert(1, "-" * len(lines[0]))
    if any(metric.startswith("warmstart") for metric in columns):
        usual = f", {shown.minao:.1f} from the default guess" if math.isfinite(shown.minao) else ""
        lines.append(f"builds: Fock builds of the reference functional from the functional's density{usual}")
    lines.append("failed: molecules with a calculation that did not converge, all splits and seeds")
    if shown.unseen:
        why = "an element that no training molecule has; not in the fitted energies"
        lines.append(f"{shown.unseen} of the test molecules: {why}")
    if report is not None:
        lines.append(f"report: {report}")
    return "\n".join(lines)


def _read(path: Path) -> Summary:
    shown = Summary()
    with open(path, newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            metric, split, value = row["metric"], row["split"], float(row["value"] or "nan")
            if metric == MINAO:
                shown.minao = value
            if "_minao" in metric:
                continue
            if metric == UNSEEN:
                shown.unseen = max(shown.unseen, round(value)) if split == "test" else shown.unseen
                continue
            name = FunctionalKey(row["model"], row["loss"]).label
            # who fails in the SCF fails in what follows too: the worst metric of a split counts
            failed = shown.failed.setdefault(name, {})
            failed[split] = max(failed.get(split, 0), 0 if metric == FITTED else int(row["n_failed"]))
            if split == "test":
                shown.values.setdefault(name, {})[metric] = value
    return shown

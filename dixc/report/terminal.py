"""The results of a run as a small table for the terminal; reads summary.csv alone and imports nothing heavy."""

from __future__ import annotations

import csv
import math
from pathlib import Path

UNSEEN = "unseen_element_molecules"  # as dixc.tables.metrics, which imports pandas
# metric of summary.csv -> heading and decimals
COLUMNS = {
    "e_rho_mEh": ("E_rho/mEh", 2),
    "e_tot_mae_mEh": ("E MAE/mEh", 1),
    "e_tot_mae_fit_mEh": ("fitted/mEh", 1),
    "warmstart_fock_builds_density": ("builds", 1),
    "warmstart_fock_builds_accelerate": ("builds, acc.", 1),
    "tddft_mae_eV": ("TDDFT MAE/eV", 3),
}


def summary_text(summary: Path, report: Path | None = None) -> str:
    """Means over test molecules, a line a functional; empty if the file is not there or not such a table.

    Args:
        summary: the run's tables/summary.csv.
        report: the page, to be named at the end.
    """
    values, failed, minao, unseen = _read(Path(summary))
    if not values:
        return ""
    shown = [metric for metric in COLUMNS if any(metric in row for row in values.values())]
    rows = [["test molecules", *(COLUMNS[metric][0] for metric in shown), "failed"]]
    for name, row in values.items():
        rows.append(
            [name, *(_number(row.get(metric), COLUMNS[metric][1]) for metric in shown), str(failed[name])]
        )
    widths = [max(len(row[place]) for row in rows) for place in range(len(rows[0]))]
    lines = ["  ".join([row[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(row[1:], widths[1:], strict=True))])
             for row in rows]  # fmt: skip
    lines.insert(1, "-" * len(lines[0]))
    if any(metric.startswith("warmstart") for metric in shown):
        usual = f", {minao:.1f} from the default guess" if math.isfinite(minao) else ""
        lines.append(f"builds: Fock builds of the reference functional from the functional's density{usual}")
    lines.append("failed: molecules with a calculation that did not converge, all splits and seeds")
    if unseen:
        lines.append(
            f"{unseen} of the test molecules: an element that no training molecule has; not in the fitted energies"
        )
    if report is not None:
        lines.append(f"report: {report}")
    return "\n".join(lines)


def _read(path: Path) -> tuple[dict[str, dict[str, float]], dict[str, int], float, int]:
    """Test values by functional and metric, largest number of failed molecules, builds of the default guess, and the
    number of test molecules with an element that no training molecule has.
    """
    values: dict[str, dict[str, float]] = {}
    failed: dict[str, int] = {}
    counts: dict[tuple[str, str], int] = {}
    minao, unseen = math.nan, 0
    try:
        with open(path, newline="", encoding="utf-8") as file:
            for row in csv.DictReader(file):
                metric, value = row["metric"], float(row["value"] or "nan")
                if "_minao" in metric:
                    minao = value if metric == "warmstart_fock_builds_minao" else minao
                    continue
                if metric == UNSEEN:
                    unseen = max(unseen, round(value)) if row["split"] == "test" else unseen
                    continue
                name = row["model"] if row["loss"] == "none" else f"{row['model']} {row['loss']}"
                # a molecule that fails in its SCF fails in what follows too: the worst metric of a split counts;
                # the fit has no value for elements that no training molecule has, which is no failure
                bad = 0 if metric == "e_tot_mae_fit_mEh" else int(row["n_failed"])
                counts[name, row["split"]] = max(counts.get((name, row["split"]), 0), bad)
                if row["split"] == "test":
                    values.setdefault(name, {})[metric] = value
    except (OSError, KeyError, ValueError, UnicodeDecodeError):
        return {}, {}, minao, 0
    for (name, _), count in counts.items():
        failed[name] = failed.get(name, 0) + count
    return values, failed, minao, unseen


def _number(value: float | None, decimals: int) -> str:
    return "-" if value is None or not math.isfinite(value) else f"{value:.{decimals}f}"

"""Report stage: a self-contained HTML page from tables and training logs, and its figures as single files."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from dixc.report import figures, html
from dixc.report.plots_training import read_logs
from dixc.stages.tables import read_table, staged

if TYPE_CHECKING:
    from dixc.config import Config


def run(config: Config, tables: Path, training: Sequence[Path], out: Path) -> None:
    """Write the report to `out` and its figures to the folder `figures` beside it.

    Args:
        config: the run's config.
        tables: folder with scf.csv, warmstart.csv, tddft.csv and summary.csv.
        training: training logs, {model}-{loss}-{seed}.csv each.
        out: HTML file.

    Raises:
        UserError: a table or log is missing or not what it should be, or `out` cannot be written.
    """
    from dixc import provenance
    from dixc.store import sidecar

    tables, out = Path(tables), Path(out)
    read = {name: read_table(tables / f"{name}.csv", name) for name in ("scf", "warmstart", "tddft")}
    summary = read_table(tables / "summary.csv", "summary")
    logs = read_logs(training)
    drawn = figures.draw_all(config, read, logs)
    record = provenance.collect() | provenance.origin(config)
    of_tables = sidecar.read_sidecar(tables / "summary.csv")
    if of_tables is not None:
        of_tables.pop("packages", None)
        record |= {"molecules": of_tables.pop("molecules", "unknown"), "tables": of_tables}
    text = html.page(config, read, summary, logs, drawn, record) + sidecar.comment(record)
    with staged(out.parent) as folder:
        for figure in drawn:
            (folder / f"{figure.name}.svg").write_text(
                figure.svg.rstrip("\n") + "\n" + sidecar.comment(record), encoding="utf-8"
            )
        (folder / "report.html").write_text(text, encoding="utf-8")
        (out.parent / "figures").mkdir(exist_ok=True)
        for figure in drawn:
            os.replace(folder / f"{figure.name}.svg", out.parent / "figures" / f"{figure.name}.svg")
        os.replace(folder / "report.html", out)

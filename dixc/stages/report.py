"""Report stage: a self-contained HTML page from tables and training logs, and its figures as single files."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from dixc.report import TABLES, figures, html
from dixc.report.plots_training import read_logs
from dixc.report.sources import Sources, read_molecules
from dixc.report.terminal import summary_text
from dixc.store.folder import staged
from dixc.tables.merge import COLUMNS, as_types, read_table

if TYPE_CHECKING:
    from dixc.config import Config


# tables of an older dixc do not have these, and can be reported all the same
OF_DETAILS = ("convergence", "spectra")


def run(
    config: Config, tables: Path, training: Sequence[Path], out: Path, molecules: Path | None = None
) -> None:
    """Write the report to `out` and its figures to the folder `figures` beside it; print a summary.

    Args:
        config: the run's config.
        tables: folder with the tables that `dixc.report.TABLES` names.
        training: training logs, {model}-{loss}-{seed}.csv each.
        out: HTML file; links to logs lead to the folder `logs` beside it, where it has them.
        molecules: molecules.csv of the run, for formulas and logs.

    Raises:
        InputError: a table or log is missing or not what it should be, or `out` cannot be written.
    """
    from dixc import provenance
    from dixc.store import sidecar

    tables, out = Path(tables), Path(out)
    read = {name: read_table(tables / f"{name}.csv", name) for name in TABLES if name not in OF_DETAILS}
    summary = read.pop("summary")
    read |= {name: _read_details(tables / f"{name}.csv", name) for name in OF_DETAILS}
    sources = Sources({} if molecules is None else read_molecules(molecules), out.parent)
    logs = read_logs(training)
    drawn = figures.draw_all(config, read, logs)
    record = provenance.collect() | provenance.origin(config.digest)
    of_tables = sidecar.read_sidecar(tables / "summary.csv")
    if of_tables is not None:
        of_tables.pop("packages", None)
        record |= {"molecules": of_tables.pop("molecules", "unknown"), "tables": of_tables}
    text = html.page(config, read, summary, logs, drawn, record, sources) + sidecar.comment(record)
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
    print(summary_text(tables / "summary.csv", out))


def _read_details(path: Path, name: str) -> pd.DataFrame:
    if path.exists():
        return read_table(path, name)
    return as_types(pd.DataFrame(columns=COLUMNS[name]), name)

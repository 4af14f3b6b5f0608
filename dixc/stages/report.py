"""Report stage: a self-contained HTML page of tables and training logs, and its figures."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from dixc.report import figures, html
from dixc.report.sources import Sources, read_molecules
from dixc.report.terminal import summary_text
from dixc.report.training_logs import read_logs
from dixc.store.folder import staged
from dixc.tables.frames import empty_table, read_table
from dixc.tables.results import Results
from dixc.tables.schema import TABLES

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
        tables: folder with the tables of the schema.
        training: training logs, {model}-{loss}-{seed}.csv each.
        out: HTML file; links to logs lead to the folder `logs` beside it, where it has them.
        molecules: molecules.csv of the run, for formulas and logs.

    Raises:
        InputError: a table or log is missing or not what it should be, or `out` cannot be written.
    """
    from dixc import provenance
    from dixc.store import sidecar

    tables, out = Path(tables), Path(out)
    results = _read(config, tables)
    sources = Sources({} if molecules is None else read_molecules(molecules), out.parent)
    logs = read_logs(training)
    drawn = figures.draw_all(results, logs)
    record = provenance.collect() | provenance.origin(config.digest)
    of_tables = sidecar.read_sidecar(tables / "summary.csv")
    if of_tables is not None:
        of_tables.pop("packages", None)
        record |= {"molecules": of_tables.pop("molecules", "unknown"), "tables": of_tables}
    text = html.page(results, logs, drawn, record, sources) + sidecar.comment(record)
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


def _read(config: Config, folder: Path) -> Results:
    tables = {}
    for name in TABLES:
        path = folder / f"{name}.csv"
        absent = name in OF_DETAILS and not path.exists()
        tables[name] = empty_table(name) if absent else read_table(path, name)
    summary = tables.pop("summary")
    return Results(config, tables, summary)

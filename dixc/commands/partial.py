"""Tables and report of what a run has so far: it is under way, or was stopped.

Files of the run are whole or not there, so that this may be done at any time, beside a running
Snakemake too.
"""

from __future__ import annotations

from pathlib import Path

from dixc.config import load
from dixc.errors import InputError
from dixc.stages import report, tables
from dixc.workflow.files import RunFiles

FOLDER = "partial"


def run(folder: Path, out: Path | None = None) -> None:
    """Write the tables and the report of all results in a run's folder.

    Args:
        folder: the run, results/<run>.
        out: folder to write; by default `partial` in the run's folder.

    Raises:
        InputError: no run, or none of its functionals has been evaluated yet.
    """
    folder = Path(folder)
    out = folder / FOLDER if out is None else Path(out)
    config = load(folder / "config.yaml")
    # the folder may have another name than the run
    files = RunFiles(config, folder)
    scf, warmstart, tddft = _there(files.scf), _there(files.warmstart), _there(files.tddft)
    if not scf:
        raise InputError(f"{folder}: nothing to show yet, no functional has been evaluated")
    molecules = _there([files.molecules_table])
    tables.run(scf, warmstart, tddft, out / "tables", config.digest)
    page = out / "report.html"
    report.run(config, out / "tables", _there(files.logs), page, molecules[0] if molecules else None)


def _there(files: list[str]) -> list[Path]:
    return [Path(file) for file in files if Path(file).is_file()]

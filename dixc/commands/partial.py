"""Tables and report of what a run has so far, for a run that is under way, was stopped, or goes on another day.

Files of the run are whole or not there, so that this may be done at any time, beside a running Snakemake too.
"""

from __future__ import annotations

from pathlib import Path

from dixc.config import Config, load
from dixc.errors import InputError
from dixc.stages import report, tables

FOLDER = "partial"
REFERENCE = "reference"  # the default guess of the reference functional, among warm starts


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
    scf, warmstart, tddft = parts(config, folder)
    if not scf:
        raise InputError(f"{folder}: nothing to show yet, no functional has been evaluated")
    logs = _there([folder / "training" / f"{name}.csv" for name in config.trained()])
    known = _there([folder / "molecules" / "molecules.csv"])
    tables.run(config, scf, warmstart, tddft, out / "tables")
    report.run(config, out / "tables", logs, out / "report.html", known[0] if known else None)


def parts(config: Config, folder: Path) -> tuple[list[Path], list[Path], list[Path]]:
    """The SCF, warm-start and TDDFT files that the run wants and has."""
    chunks = {split: config.chunks(split) for split in ("train", "validation", "test")}

    def wanted(stage: str, names: list[str], splits: list[str], suffix: str) -> list[Path]:
        files = [f"{chunk}.{suffix}" for split in splits for chunk in chunks[split]]
        return _there([folder / stage / name / file for name in names for file in files])

    names, asked = config.functionals(), config.evaluation
    return (
        wanted("scf", names, list(chunks), "h5"),
        wanted("warmstart", [REFERENCE, *names], list(asked.warmstart.splits), "csv"),
        wanted("tddft", names, list(asked.tddft.splits), "csv"),
    )


def _there(files: list[Path]) -> list[Path]:
    return [file for file in files if file.is_file()]

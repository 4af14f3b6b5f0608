"""Tables of the benchmark as CSV, and the page made of all that are there."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd

from benchmarks.speed import figure, machine, targets
from benchmarks.speed.sections import SECTIONS
from benchmarks.speed.texts import HEAD, TEXTS
from dixc.store import atomic_file

FOLDER = "performance"
TIMED = ("xc", "tddft", "training", "device", "profile")


def keep(out: Path, section: str, rows: list[dict], machine_facts: dict) -> None:
    """Writes the table of a section, and what it was measured on."""
    folder = out / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    put(folder / f"{section}.csv", pd.DataFrame(rows).to_csv(index=False, float_format="%.5g"))
    put(folder / f"{section}.json", json.dumps(machine_facts, indent=1) + "\n")


def put(path: Path, text: str) -> None:
    """Writes a text file in one go."""
    with atomic_file(path) as file:
        file.write(text.encode())


def write(out: Path) -> None:
    """The page and its figure, from the tables of all sections that have been measured."""
    folder = out / FOLDER
    tables = {s: pd.read_csv(folder / f"{s}.csv") for s in SECTIONS if (folder / f"{s}.csv").exists()}
    facts = {s: json.loads((folder / f"{s}.json").read_text()) for s in tables}
    notes = folder / "notes.md"  # written by hand
    parts = [HEAD, targets.table(tables), *([notes.read_text()] if notes.exists() else [])]
    drawn = figure.draw(tables)
    if drawn is not None:
        put(folder / "performance.svg", drawn)
        parts.append(f"![ratios]({FOLDER}/performance.svg)\n")
    for section, table in tables.items():
        title, text = TEXTS[section]
        on = [conditions(section, facts[section])] if section in TIMED else []
        parts.append("\n\n".join([f"## {title}", text, *on, SECTIONS[section](table)]))
    put(out / "performance.md", "\n".join(part.rstrip("\n") + "\n" for part in parts if part))


def conditions(section: str, facts: dict) -> str:
    """One line on the machine and the versions."""
    versions = ", ".join(f"{package} {facts[package]}" for package in machine.PACKAGES if package in facts)
    line = f"{facts['processor']}, {facts['cores']} cores, {facts['threads']} thread(s); {versions}."
    if section in ("xc", "training"):
        line += (
            f" Measured limits: dgemm {facts['dgemm_gflops']:.3g} and sgemm {facts['sgemm_gflops']:.3g} GFLOP/s, "
            f"copy {facts['copy_gb_s']:.3g} GB/s."
        )
    return line

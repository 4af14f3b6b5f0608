"""Snakemake on a small config in a folder of its own, `dixc` replaced by a script that only creates files."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

from dixc.report import FIGURES
from dixc.tables.schema import TABLES

ROOT = Path(__file__).parents[2]
FAKE = """#!/bin/sh
# creates what the options --out and --log name; fails for the command in $FAIL, runs the one in $REAL,
# and waits for the file `go` in the one in $WAIT
[ "$1" = "$REAL" ] && exec "$PYTHON" -m dixc "$@"
[ "$1" = "$WAIT" ] && { touch waiting; while [ ! -e go ]; do sleep 0.1; done; }
[ "$1" = "$FAIL" ] && { echo "told to fail"; exit 2; }
while [ $# -gt 0 ]; do
    case "$1" in
        --out|--log)
            mkdir -p "$(dirname "$2")"
            case "$2" in
                */molecules)
                    for f in train-000 train-001 validation-000 test-000; do echo 1 > "$2/$f.xyz"; done
                    echo 1 > "$2/molecules.csv" ;;
                *.html)
                    mkdir -p "$(dirname "$2")/figures"
                    for f in FIGURES; do echo 1 > "$(dirname "$2")/figures/$f.svg"; done
                    echo 1 > "$2" ;;
                */tables)
                    for f in TABLES; do echo 1 > "$2/$f.csv"; done
                    echo 1 > "$2/provenance.json" ;;
                *) echo 1 > "$2" ;;
            esac ;;
    esac
    shift
done
""".replace("FIGURES", " ".join(FIGURES)).replace("TABLES", " ".join(TABLES))
# jobs of config/config.yaml, by rule
DEFAULT_JOBS = {
    "molecules": 1,
    "reference": 3,
    "derivatives": 2,
    "prefit": 1,
    "train": 3,
    "evaluate": 15,
    "warmstart": 5,
    "default_guess": 1,
    "tddft": 5,
    "tables": 1,
    "report": 1,
}


class Workflow:
    """Snakemake calls in a folder with a small config."""

    snakefile = str(ROOT / "Snakefile")

    def __init__(self, folder: Path):
        self.folder = folder
        programs = folder / "bin"
        programs.mkdir()
        (programs / "dixc").write_text(FAKE)
        (programs / "dixc").chmod(0o755)
        self.environment = {**os.environ, "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}"}
        self.environment |= {"FAIL": "", "REAL": "", "WAIT": "", "PYTHON": sys.executable}
        (folder / "a.xyz").touch()
        self.config: dict[str, Any] = {
            "run": "tiny",
            "molecules": {
                "files": ["a.xyz"],
                "train": {"count": 2, "max_heavy": 1},
                "validation": {"count": 1, "max_heavy": 1},
                "test": {"names": ["x"]},
                "chunk_size": 1,
            },
            "training": {"losses": ["base", "hess"]},
            "evaluation": {"baselines": ["pbe"]},
        }

    def write(self) -> None:
        """Writes the present config."""
        (self.folder / "tiny.yaml").write_text(yaml.safe_dump(self.config))

    def snakemake(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Runs Snakemake on the present config; stdout and stderr together."""
        self.write()
        return self.call("-s", self.snakefile, "--configfile", "tiny.yaml", *arguments)

    def call(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Runs Snakemake in the folder."""
        command = [sys.executable, "-m", "snakemake", "--cores", "4", *arguments]
        return subprocess.run(
            command,
            cwd=self.folder,
            env=self.environment,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
        )

    def jobs(self) -> dict[str, int]:
        """Jobs that a run would do now, by rule."""
        return job_counts(self.snakemake("--dry-run"))


def job_counts(done: subprocess.CompletedProcess[str]) -> dict[str, int]:
    """The table of jobs in Snakemake's output."""
    assert done.returncode == 0, done.stdout
    if "Nothing to be done" in done.stdout:
        return {}
    table = done.stdout.split("Job stats:")[1].split("total")[0]
    counts = {rule: int(count) for rule, count in re.findall(r"^(\w+) +(\d+)$", table, re.MULTILINE)}
    counts.pop("all")
    return counts

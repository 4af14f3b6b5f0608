"""A miniature run through the real workflow, which several tests look at."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
MINIATURE: dict[str, Any] = {
    "run": "miniature",
    "molecules": {
        "files": [str(ROOT / "config/molecules/qm9_heavy1-4.xyz")],
        "train": {"count": 2, "min_heavy": 1, "max_heavy": 1},
        "validation": {"count": 1, "min_heavy": 1, "max_heavy": 1},
        "test": {"names": ["dsgdb9nsd_000007"]},
    },
    "reference": {"grid_level": 0, "basis": "6-31g"},
    "derivatives": {"n_states": 3},
    "prefit": {"steps": 20, "points": 1000},
    "training": {"steps": 6, "validate_every": 3, "checkpoint_every": 2, "grid_level": 0},
    "evaluation": {"baselines": ["pbe"], "tddft": {"n_states": 2}},
}


def prepare(folder: Path, config: dict[str, Any], name: str = "mini.yaml") -> None:
    """Puts the workflow and a config into a folder."""
    for part in ("Snakefile", "workflow", "profiles", "envs"):
        source = ROOT / part
        (shutil.copytree if source.is_dir() else shutil.copy)(source, folder / part)
    (folder / name).write_text(yaml.safe_dump(config))


def snakemake(folder: Path, *arguments: str, timeout: float = 3600) -> subprocess.CompletedProcess[str]:
    """Runs Snakemake in a folder, stdout and stderr together; `dixc` is the one beside this Python."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    return subprocess.run(
        [sys.executable, "-m", "snakemake", *arguments],
        cwd=folder,
        env=os.environ | {"PATH": path, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=timeout,
    )

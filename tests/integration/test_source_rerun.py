"""What makes the workflow choose molecules anew: Snakemake and `dixc molecules` run on a folder of xyz files."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from molecule_files import chain

ROOT = Path(__file__).parents[2]
TARGET = "results/own/molecules/molecules.csv"


def snakemake(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Runs Snakemake as far as the molecules; stdout and stderr together."""
    command = [sys.executable, "-m", "snakemake", "-s", str(ROOT / "Snakefile"), "--cores", "1", TARGET]
    programs = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    return subprocess.run(
        [*command, "--configfile", "own.yaml", *arguments],
        cwd=folder, env={**os.environ, "PATH": programs}, text=True, check=False,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip


def write_config(folder: Path, files: list) -> None:
    size = {"count": 1, "max_heavy": 9}
    molecules = {"files": files, "train": size, "validation": size, "test": {"names": ["m1"]}}
    (folder / "own.yaml").write_text(yaml.safe_dump({"run": "own", "molecules": molecules}))


def test_a_changed_or_renamed_file_of_a_folder_chooses_molecules_anew(tmp_path):
    (tmp_path / "mine").mkdir()
    for i in range(1, 5):
        (tmp_path / f"mine/m{i}.xyz").write_text(chain(f"m{i}", i))
    write_config(tmp_path, ["mine"])
    done = snakemake(tmp_path)
    assert done.returncode == 0, done.stdout
    assert "mine/m1.xyz" in (tmp_path / TARGET).read_text()
    assert "Nothing to be done" in snakemake(tmp_path, "--dry-run").stdout
    (tmp_path / "mine/m3.xyz").rename(tmp_path / "mine/n3.xyz")
    assert "Set of input files has changed" in snakemake(tmp_path, "--dry-run").stdout
    (tmp_path / "mine/n3.xyz").rename(tmp_path / "mine/m3.xyz")
    (tmp_path / "mine/m2.xyz").write_text(chain("m2", 2, stretch=0.1))
    assert "Updated input files: mine/m2.xyz" in snakemake(tmp_path, "--dry-run").stdout


@pytest.mark.skipif(importlib.util.find_spec("qm9pack") is not None, reason="qm9pack is installed")
def test_a_missing_qm9pack_stops_the_workflow_with_one_line(tmp_path):
    write_config(tmp_path, [{"path": "qm9pack"}])
    done = snakemake(tmp_path, "--dry-run")
    assert done.returncode == 1
    assert "qm9pack is not installed: pip install 'dixc[qm9]'" in done.stdout
    assert "Traceback" not in done.stdout

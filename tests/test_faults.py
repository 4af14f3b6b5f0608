"""Kills, full disks and a second run in the same folder: nothing finished is lost, nothing wrong is kept."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest
from fake_workflow import Workflow


def dixc(*arguments: str | Path) -> list[str]:
    """A command line of dixc."""
    return [sys.executable, "-m", "dixc", *map(str, arguments)]


def train(run: Path, out: Path) -> list[str]:
    """Command that trains the loss `grad` of the miniature run once more, to the folder `out`."""
    return dixc(
        "train", "--config", run / "config.yaml", "--model", "xcdiff", "--loss", "grad", "--seed", "0",
        "--start", run / "models/xcdiff-prefit-0.pt", "--train-reference", run / "reference/train-000.h5",
        "--train-derivatives", run / "derivatives/train-000.h5", "--validation-reference",
        run / "reference/validation-000.h5", "--out", out / "model.pt", "--log", out / "log.csv",
        "--checkpoints", out / "checkpoints", "--threads", "1",
    )  # fmt: skip


def test_training_killed_between_steps_ends_with_the_same_weights(miniature, tmp_path):
    import torch

    import dixc as package

    run = miniature / "results" / "miniature"
    process = subprocess.Popen(train(run, tmp_path), stdout=subprocess.DEVNULL)
    end = time.monotonic() + 120
    while not list((tmp_path / "checkpoints").glob("*.pt")) and time.monotonic() < end:
        assert process.poll() is None, "ended before it could be killed"
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert not (tmp_path / "model.pt").exists()
    subprocess.run(train(run, tmp_path), check=True, capture_output=True)
    resumed, whole = package.load(tmp_path / "model.pt"), package.load(run / "models/xcdiff-grad-0.pt")
    for name, weights in whole.state_dict().items():
        assert torch.equal(resumed.state_dict()[name], weights), f"{name}: bitwise, on one thread"
    logs = [pd.read_csv(path) for path in (tmp_path / "log.csv", run / "training/xcdiff-grad-0.csv")]
    resumed_log, whole_log = (log[[c for c in log if "wall" not in c]] for log in logs)
    pd.testing.assert_frame_equal(resumed_log, whole_log)


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 16 kB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=16k", "tmpfs", str(folder)]
    if shutil.which("mount") is None or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("a small file system cannot be mounted here (needs root)")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_is_one_line_and_leaves_no_half_file(miniature, small_disk):
    run = miniature / "results" / "miniature"
    out = small_disk / "reference" / "train-000.h5"
    command = dixc(
        "reference", run / "molecules/train-000.xyz", "--config", run / "config.yaml", "--out", out
    )
    done = subprocess.run([*command, "--threads", "1"], capture_output=True, text=True, check=False)
    assert done.returncode == 2, done.stderr
    assert done.stderr.splitlines()[-1].startswith("dixc: error: ")
    assert "No space left on device" in done.stderr
    assert "Traceback" not in done.stderr
    assert not out.exists()
    assert not list(small_disk.rglob("*.tmp"))


def test_a_second_run_in_the_same_folder_is_refused(tmp_path):
    workflow = Workflow(tmp_path)
    workflow.environment["WAIT"] = "reference"
    command = [
        sys.executable,
        "-m",
        "snakemake",
        "--cores",
        "4",
        "-s",
        workflow.snakefile,
        "--configfile",
        "tiny.yaml",
    ]
    workflow.write()
    first = subprocess.Popen(
        command, cwd=tmp_path, env=workflow.environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        end = time.monotonic() + 60
        while not (tmp_path / "waiting").exists() and time.monotonic() < end:
            time.sleep(0.05)
        settings = (tmp_path / "results/tiny/config.yaml").read_bytes()
        workflow.config["training"]["steps"] = 7
        second = workflow.snakemake()
        assert second.returncode != 0
        assert "Directory cannot be locked" in second.stdout
        assert (tmp_path / "results/tiny/config.yaml").read_bytes() == settings, "the first run's settings"
    finally:
        (tmp_path / "go").touch()
    assert first.wait(120) == 0
    assert os.path.isfile(tmp_path / "results/tiny/report.html")

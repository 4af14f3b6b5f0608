"""Kills, full disks and a second run in the same folder: nothing finished is lost, nothing wrong is kept."""

from __future__ import annotations

import base64
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pandas as pd
import pytest
from fake_workflow import Workflow
from recovery import recovery
from waiting import wait_for


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
    with recovery("training killed"):
        subprocess.run(train(run, tmp_path), check=True, capture_output=True)
    resumed, whole = package.load(tmp_path / "model.pt"), package.load(run / "models/xcdiff-grad-0.pt")
    for name, weights in whole.state_dict().items():
        assert torch.equal(resumed.state_dict()[name], weights), f"{name}: bitwise, on one thread"
    logs = [pd.read_csv(path) for path in (tmp_path / "log.csv", run / "training/xcdiff-grad-0.csv")]
    resumed_log, whole_log = (log[[c for c in log if c not in ("wall_s", "cpu_s")]] for log in logs)
    pd.testing.assert_frame_equal(resumed_log, whole_log)


@contextmanager
def mounted(folder: Path, options: str) -> Iterator[Path]:
    """A file system of its own in a new folder."""
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
    if shutil.which("mount") is None or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("a small file system cannot be mounted here (needs root)")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 16 kB."""
    with mounted(tmp_path / "disk", "size=16k") as folder:
        yield folder


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
    subprocess.run(["mount", "-o", "remount,size=4m", str(small_disk)], check=True)
    with recovery("full disk"):
        subprocess.run([*command, "--threads", "1"], capture_output=True, check=True)
    assert out.read_bytes() == (run / "reference/train-000.h5").read_bytes()


def test_a_read_only_results_folder_is_one_line(tmp_path):
    workflow = Workflow(tmp_path)
    with mounted(tmp_path / "results", "size=64k,ro"):
        done = workflow.snakemake()
    assert done.returncode != 0
    assert "results/tiny: cannot write: Read-only file system" in done.stdout
    assert "Traceback" not in done.stdout
    assert "site-packages" not in done.stdout.split("Read-only file system")[1], (
        "only the place in the Snakefile"
    )


@pytest.mark.parametrize("fault", ["bit flipped", "cut short"])
def test_a_damaged_chunk_is_refused_and_made_again(miniature, tmp_path, fault):
    run = miniature / "results" / "miniature"
    chunk = tmp_path / "train-000.h5"
    sound = bytearray((run / "reference/train-000.h5").read_bytes())
    damaged = sound[:-100]
    if fault == "bit flipped":
        damaged = bytearray(sound)
        damaged[len(sound) // 2] ^= 4
    chunk.write_bytes(damaged)
    out = tmp_path / "derivatives" / "train-000.h5"
    options = ["--config", run / "config.yaml", "--threads", "1"]
    done = subprocess.run(
        dixc("derivatives", chunk, "--out", out, *options), capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert done.stderr == (
        f"dixc: error: {chunk}: damaged (its checksum is wrong); delete it and run its stage again\n"
    )
    assert not out.exists()
    chunk.unlink()
    with recovery(f"HDF5 chunk, {fault}"):
        again = dixc("reference", run / "molecules/train-000.xyz", "--out", chunk, *options)
        subprocess.run(again, check=True, capture_output=True)
    assert chunk.read_bytes() == sound


@pytest.mark.parametrize("sent", [signal.SIGKILL, signal.SIGINT], ids=["killed", "Ctrl-C"])
def test_snakemake_ended_loses_no_finished_file(tmp_path, sent):
    workflow = Workflow(tmp_path)
    workflow.environment["WAIT"] = "evaluate"
    workflow.write()
    process = background(workflow)
    wait_for(tmp_path / "waiting")
    os.killpg(process.pid, sent)  # and its jobs, as when a machine goes down or somebody types Ctrl-C
    assert process.wait(60) != 0
    chunks = set(tmp_path.glob("results/tiny/reference/*.h5")) - unrecorded(tmp_path)
    finished = {path: path.stat().st_mtime_ns for path in chunks}
    assert tmp_path / "results/tiny/reference/test-000.h5" in finished, "evaluate had waited for it"
    if sent == signal.SIGKILL:
        assert "--unlock" in workflow.snakemake().stdout
        assert workflow.snakemake("--unlock").returncode == 0
    (tmp_path / "go").touch()
    with recovery(f"snakemake ended by {sent.name}"):
        assert workflow.snakemake().returncode == 0
    assert (tmp_path / "results/tiny/report.html").is_file()
    assert finished == {path: path.stat().st_mtime_ns for path in finished}, "nothing finished is done again"


def unrecorded(folder: Path) -> set[Path]:
    """Outputs of jobs whose end Snakemake has not noted: a file is there a moment before that, and is made again."""
    markers = (folder / ".snakemake/incomplete").iterdir()
    return {folder / base64.b64decode(marker.name).decode() for marker in markers}


def background(workflow: Workflow) -> subprocess.Popen:
    """Snakemake in a process group of its own, one that Ctrl-C reaches even if these tests run in the background."""
    workflow.write()
    command = [sys.executable, "-m", "snakemake", "--cores", "4", "-s", workflow.snakefile]
    return subprocess.Popen(
        [*command, "--configfile", "tiny.yaml"],
        cwd=workflow.folder, env=workflow.environment, start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip


def test_a_second_run_in_the_same_folder_is_refused(tmp_path):
    workflow = Workflow(tmp_path)
    workflow.environment["WAIT"] = "reference"
    first = background(workflow)
    try:
        wait_for(tmp_path / "waiting")
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

"""The workflow on a real SLURM, and what it loses when jobs, or Snakemake itself, are killed: nothing.

`make test-slurm` starts a SLURM of one node (node.sh beside this file) and runs these; otherwise they are skipped.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from miniature import MINIATURE, prepare, snakemake
from recovery import recovery

pytestmark = [
    pytest.mark.slurm,
    pytest.mark.skipif(os.environ.get("DIXC_TEST_SLURM") != "1", reason="needs SLURM: make test-slurm"),
]
ON_SLURM = ["--workflow-profile", "profiles/slurm", "--slurm-status-command", "squeue", "--slurm-no-account"]
ON_SLURM += ["--slurm-init-seconds-before-status-checks", "3", "--latency-wait", "20"]
# no training: three references, three evaluations
SMALL: dict[str, Any] = {
    **MINIATURE,
    "run": "small",
    "reference": {"grid_level": 0, "basis": "sto-3g"},
    "models": [],
    "evaluation": {"baselines": ["pbe"], "warmstart": {"splits": []}, "tddft": {"splits": []}},
}
# stands before the real dixc; what it does first is in the file `fault`, the command in $1
WRAPPER = """#!/bin/bash
echo "$1 ${{SLURM_JOB_ID:-}}" >> {folder}/calls
. {folder}/fault
exec {python} -m dixc "$@"
"""


def wait_for(condition: Callable[[], Any], seconds: float = 120) -> Any:
    """The condition's value once it is true."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if value := condition():
            return value
        time.sleep(0.3)
    raise AssertionError(f"not within {seconds} s")


class Run:
    """A small run on SLURM with a fault in a step."""

    def __init__(self, folder: Path, fault: str):
        self.folder = folder
        prepare(folder, SMALL)
        (folder / "bin").mkdir()
        (folder / "bin" / "dixc").write_text(WRAPPER.format(folder=folder, python=sys.executable))
        (folder / "bin" / "dixc").chmod(0o755)
        (folder / "fault").write_text(fault)
        self.environment = os.environ | {"PATH": f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}"}
        self.process: subprocess.Popen | None = None

    def start(self, *arguments: str) -> None:
        """Starts Snakemake in the background; its output goes to the file `output`."""
        command = [sys.executable, "-m", "snakemake", "--configfile", "mini.yaml", *ON_SLURM, *arguments]
        with open(self.folder / "output", "a") as output:
            self.process = subprocess.Popen(
                command, cwd=self.folder, env=self.environment, stdout=output, stderr=subprocess.STDOUT
            )

    def finish(self) -> str:
        """Waits for Snakemake, which must succeed; its output."""
        code = self.process.wait(400)
        output = (self.folder / "output").read_text()
        assert code == 0, output[-5000:]
        assert (self.folder / "results/small/report.html").is_file()
        return output

    def calls(self, command: str) -> list[int]:
        """SLURM jobs in which a command was called, in order."""
        file = self.folder / "calls"
        lines = file.read_text().split("\n") if file.exists() else []
        return [int(line.split()[1]) for line in lines if line.startswith(f"{command} ") and line.split()[1:]]

    def table(self) -> pd.DataFrame:
        """The table of all SCFs without the times."""
        return numbers(self.folder / "results/small/tables/scf.csv")


def numbers(path: Path) -> pd.DataFrame:
    """A table without wall-clock times, in a fixed order."""
    table = pd.read_csv(path)
    if "metric" in table:
        table = table[~table.metric.str.contains("wall")]
    table = table[[column for column in table.columns if "wall" not in column]]
    return table.sort_values(list(table.columns[:6])).reset_index(drop=True)


@pytest.fixture(scope="module")
def expected(tmp_path_factory) -> pd.DataFrame:
    """The table of the small run without SLURM."""
    folder = tmp_path_factory.mktemp("local")
    prepare(folder, SMALL)
    done = snakemake(folder, "--cores", "2", "--configfile", "mini.yaml")
    assert done.returncode == 0, done.stdout[-5000:]
    return numbers(folder / "results/small/tables/scf.csv")


def test_the_tables_are_those_of_a_local_run(miniature, tmp_path):
    prepare(tmp_path, MINIATURE)
    done = snakemake(
        tmp_path, "--configfile", "mini.yaml", *ON_SLURM, "--set-threads", "train=1", timeout=1500
    )
    assert done.returncode == 0, done.stdout[-6000:]
    assert "SLURM jobid" in done.stdout
    for name in ("scf", "warmstart", "tddft", "summary"):
        here, there = (numbers(f / f"results/miniature/tables/{name}.csv") for f in (miniature, tmp_path))
        pd.testing.assert_frame_equal(here, there, rtol=1e-6, atol=1e-9)


FIRST = '[ "$1" = reference ] && [ ! -e {folder}/once ] && touch {folder}/once && '


def test_a_cancelled_job_is_run_again(tmp_path, expected):
    run = Run(tmp_path, FIRST.format(folder=tmp_path) + "sleep 600")
    run.start()
    wait_for((tmp_path / "once").exists)
    job = wait_for(lambda: run.calls("reference"))[0]
    subprocess.run(["scancel", str(job)], check=True)
    with recovery("SLURM job cancelled"):
        run.finish()
    assert len(run.calls("reference")) == 4, "three files, one of them twice"
    pd.testing.assert_frame_equal(run.table(), expected)


def test_a_job_over_its_time_is_run_again_with_more(tmp_path, expected):
    run = Run(tmp_path, FIRST.format(folder=tmp_path) + "sleep 600")
    run.start("--set-resources", "reference:runtime=1")
    wait_for((tmp_path / "once").exists)
    with recovery("SLURM time limit (of a minute)"):
        run.finish()
    assert len(run.calls("reference")) == 4
    pd.testing.assert_frame_equal(run.table(), expected)


def test_a_job_over_its_memory_is_run_again_with_more(tmp_path, expected):
    """1.3 GB in every attempt: more than the first asks for (0.8 GB), less than the second."""
    (tmp_path / "eat.py").write_text("import time\nx = bytearray(b'1') * 1_300_000_000\ntime.sleep(9)\n")
    run = Run(tmp_path, f'[ "$1" = reference ] && {{ {sys.executable} {tmp_path}/eat.py || exit 1; }}')
    run.start()
    wait_for(lambda: run.calls("reference"))
    with recovery("SLURM memory limit"):
        run.finish()
    assert len(run.calls("reference")) == 6, "each of three files twice"
    pd.testing.assert_frame_equal(run.table(), expected)


def test_killed_snakemake_loses_no_finished_file(tmp_path, expected):
    run = Run(tmp_path, f'[ "$1" = evaluate ] && [ ! -e {tmp_path}/go ] && sleep 600')
    run.start()
    wait_for(
        lambda: len(list(tmp_path.glob("results/small/reference/*.h5"))) == 3 and run.calls("evaluate"), 200
    )
    run.process.send_signal(signal.SIGKILL)
    run.process.wait()
    kept = {p: p.stat().st_mtime_ns for p in tmp_path.glob("results/small/reference/*.h5")}
    refused = snakemake(tmp_path, "--configfile", "mini.yaml", *ON_SLURM)
    assert refused.returncode != 0
    assert "--unlock" in refused.stdout
    # the jobs go on without Snakemake: end them before they write what the next run writes
    subprocess.run(["scancel", "--user", "root"], check=True)
    assert snakemake(tmp_path, "--configfile", "mini.yaml", "--unlock").returncode == 0
    (tmp_path / "go").touch()
    before = run.calls("reference")
    with recovery("snakemake killed, jobs on SLURM"):
        run.start()
        run.finish()
    assert kept == {p: p.stat().st_mtime_ns for p in kept}
    assert run.calls("reference") == before
    pd.testing.assert_frame_equal(run.table(), expected)

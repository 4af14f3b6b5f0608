"""`make results`: paths with odd characters, settings that are refused, and a folder that a killed run left locked."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from fake_workflow import ROOT, Workflow
from waiting import wait_for

ODD = ["it's (1) & 100% $HOME; $(x) `y` {c} #.yaml", "-x=1.yaml"]


@pytest.fixture
def checkout(tmp_path) -> Workflow:
    """A folder like a checkout in which `make` has installed: its `dixc` is a fake, and Snakemake that of the tests."""
    folder = tmp_path / "a folder's $name"
    folder.mkdir()
    made = Workflow(folder)
    for part in ("Makefile", "Snakefile", "workflow", "profiles", "envs"):
        source = ROOT / part
        (shutil.copytree if source.is_dir() else shutil.copy)(source, folder / part)
    (folder / ".venv").mkdir()
    (folder / "bin").rename(folder / ".venv/bin")
    (folder / ".venv/installed").touch()
    snakemake = folder / ".venv/bin/snakemake"
    snakemake.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m snakemake "$@"\n')
    snakemake.chmod(0o755)
    made.write()
    return made


def command(*arguments: str) -> list[str]:
    """A call of make that takes the installation for done."""
    return ["make", "-o", ".venv/installed", "results", *arguments]


def make(checkout: Workflow, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The call in the folder; stdout and stderr together."""
    return subprocess.run(
        command(*arguments), cwd=checkout.folder, env=checkout.environment, text=True, check=False,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip


@pytest.mark.parametrize("name", ODD)
def test_a_config_may_have_any_name(checkout, name):
    checkout.config["run"] = "odd"
    checkout.config["models"] = []
    (checkout.folder / name).write_text(yaml.safe_dump(checkout.config))
    done = make(checkout, f"CONFIG={name}", "ARGS=--until reference")
    assert done.returncode == 0, done.stdout
    assert (checkout.folder / "results/odd/reference/train-000.h5").is_file()


def test_molecules_may_be_anywhere(checkout):
    where = "mol's; $dir (1)/a b&c.xyz"
    (checkout.folder / where).parent.mkdir()
    (checkout.folder / where).touch()
    checkout.config["molecules"]["files"] = [where]
    checkout.write()
    done = make(checkout, "CONFIG=tiny.yaml", "ARGS=--until molecules")
    assert done.returncode == 0, done.stdout
    assert (checkout.folder / "results/tiny/molecules/molecules.csv").is_file()


@pytest.mark.parametrize(
    ("key", "value", "line"),
    [
        ("models", [{"name": "xcdiff", "hyperparameters": {"depth": 3}}], "unknown hyperparameter 'depth'"),
        ("reference", {"functional": "b3lpy"}, "reference.functional: PySCF has no functional 'b3lpy'"),
        ("evaluation", {"baselines": ["bpe"]}, "evaluation.baselines[0]: bpe: neither a functional"),
        ("run", "r" * 300, "run: must have at most 200 characters, not 300"),
        ("training", {"device": "tpu"}, "training.device: must be auto, cpu, cuda or cuda:N"),
        ("molecules", {"files": ["{a}.xyz"]}, "{a}.xyz: braces stand for wildcards in Snakemake"),
    ],
)
def test_what_is_wrong_is_said_before_anything_is_done(checkout, key, value, line):
    merged = {**checkout.config[key], **value} if key in ("molecules", "evaluation") else value
    checkout.config[key] = merged
    (checkout.folder / "{a}.xyz").touch()
    checkout.write()
    done = make(checkout, "CONFIG=tiny.yaml")
    assert done.returncode != 0
    assert line in done.stdout
    assert "Traceback" not in done.stdout
    assert not (checkout.folder / "results").exists()


def test_an_absent_gpu_is_said_before_anything_is_done(checkout):
    checkout.config["training"]["device"] = "cuda:99"
    checkout.write()
    done = make(checkout, "CONFIG=tiny.yaml")
    assert done.returncode != 0
    assert "training.device: 'cuda:99' is not available" in done.stdout
    assert not list((checkout.folder / "results").rglob("*.xyz"))


def test_what_molecules_have_to_say_is_on_the_terminal(checkout):
    checkout.environment["FAIL"] = "molecules"
    fake = checkout.folder / ".venv/bin/dixc"
    fake.write_text(fake.read_text().replace("told to fail", "dixc: error: four.xyz: no such file"))
    done = make(checkout, "CONFIG=tiny.yaml")
    assert done.returncode != 0
    assert "\ndixc: error: four.xyz: no such file\n" in done.stdout


def test_a_killed_run_says_how_to_unlock(checkout):
    checkout.environment["WAIT"] = "reference"
    process = subprocess.Popen(
        command("CONFIG=tiny.yaml"), cwd=checkout.folder, env=checkout.environment, start_new_session=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    wait_for(checkout.folder / "waiting", 120)
    os.killpg(process.pid, signal.SIGKILL)
    assert process.wait(60) != 0
    checkout.environment["WAIT"] = ""
    refused = make(checkout, "CONFIG=tiny.yaml")
    assert refused.returncode != 0
    (line,) = [line for line in refused.stdout.splitlines() if line.startswith("dixc: ")]
    assert "`make results ARGS=--unlock`" in line
    assert make(checkout, "ARGS=--unlock", "CONFIG=tiny.yaml").returncode == 0
    done = make(checkout, "CONFIG=tiny.yaml")
    assert done.returncode == 0, done.stdout
    assert "locked" not in done.stdout
    assert (checkout.folder / "results/tiny/report.html").is_file()


def test_a_run_that_fails_by_itself_says_nothing_of_locks(checkout):
    checkout.environment["FAIL"] = "reference"
    done = make(checkout, "CONFIG=tiny.yaml")
    assert done.returncode != 0
    assert "--unlock" not in done.stdout
    assert Path(checkout.folder / "results/tiny/molecules/molecules.csv").is_file()

"""Fixtures that tests of several rooms share."""

from __future__ import annotations

import fcntl
import os
import shutil
from pathlib import Path

import pytest
from small_references import reference_record


@pytest.fixture(scope="session")
def water():
    """Reference record of water and its derivatives."""
    return reference_record("water")


@pytest.fixture(scope="session")
def miniature(tmp_path_factory) -> Path:
    """Folder in which the workflow has run on a miniature config, mini.yaml; tests leave it as it is.

    Tests that run at the same time (pytest-xdist) have copies of one run.
    """
    folder = tmp_path_factory.mktemp("miniature")
    if "PYTEST_XDIST_WORKER" not in os.environ:
        run_miniature(folder)
        return folder
    common = tmp_path_factory.getbasetemp().parent
    finished = common / "miniature"
    with open(common / "miniature.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not finished.exists():
            run_miniature(folder)
            folder.rename(finished)
    return shutil.copytree(finished, folder, symlinks=True, dirs_exist_ok=True)


def run_miniature(folder: Path) -> None:
    """The real workflow on the miniature config."""
    from miniature import MINIATURE, prepare, snakemake

    prepare(folder, MINIATURE)
    done = snakemake(folder, "--cores", "2", "--configfile", "mini.yaml")
    assert done.returncode == 0, done.stdout[-6000:]


@pytest.fixture(scope="session")
def finished(tmp_path_factory):
    """A workflow with a fake `dixc` that has run; tests change its config, put it back, and look at dry runs only."""
    from fake_workflow import Workflow

    workflow = Workflow(tmp_path_factory.mktemp("finished"))
    done = workflow.snakemake()
    assert done.returncode == 0, done.stdout
    assert "the report is results/tiny/report.html" in done.stdout
    return workflow

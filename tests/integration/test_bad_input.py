"""Bad input and the one line it gets, through the real commands; docs/errors.md shows the same cases."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from contextlib import contextmanager, nullcontext
from pathlib import Path

import pytest
from bad_inputs import Case, flat, prepared
from errors_page import PAGE, with_table
from typer.testing import CliRunner

from dixc.cli import app

ROOT = Path(__file__).resolve().parents[2]
runner = CliRunner()


def run(case: Case, folder: Path) -> tuple[int, str]:
    """Exit code and all of stderr of a case's command."""
    if case.how == "shell":
        environment = os.environ | {"PYTHONPATH": str(ROOT)}
        shell = f'dixc() {{ "{sys.executable}" -m dixc "$@"; }}; {case.command}'
        done = subprocess.run(
            ["bash", "-c", shell], cwd=folder, env=environment, capture_output=True, text=True
        )
        return done.returncode, done.stderr
    with as_nobody(folder) if case.how == "nobody" else nullcontext():
        done = runner.invoke(app, shlex.split(case.command)[1:])
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done.exit_code, done.stderr


@contextmanager
def as_nobody(folder: Path):
    """Takes the rights of the user: those of root, who may write everywhere, as well as those on the folder."""
    closed = folder / "folder"
    closed.chmod(0o555)
    root = os.geteuid() == 0
    if root:
        folder.chmod(0o755)
        os.seteuid(65534)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)
        closed.chmod(0o755)


def files_of(folder: Path) -> set[Path]:
    """All that is there, but for empty folders."""
    return {path for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def workspace(tmp_path_factory):
    """The prepared folder, as working folder."""
    folder = prepared(tmp_path_factory.mktemp("bad"))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("OMP_NUM_THREADS", "1")
        patch.delenv("DIXC_THREADS", raising=False)
        yield folder


@pytest.mark.parametrize("case", [pytest.param(c, id=f"{h}: {c.what}") for h, c in flat()])
def test_one_line_exit_code_2_and_nothing_half_written(workspace, case):
    before = files_of(workspace)
    code, shown = run(case, workspace)
    shown = shown.replace("skala-bridge, ", "")  # a name where the package skala is installed
    assert shown == f"dixc: {'warning' if case.warning else 'error'}: {case.line}\n"
    assert code == (0 if case.warning else 2)
    assert files_of(workspace) == before


def test_the_page_is_up_to_date():
    page = PAGE.read_text(encoding="utf-8")
    assert page == with_table(page), "stale: run python tests/tools/errors_page.py"

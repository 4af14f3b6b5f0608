"""The command line: help, errors as one line, and threads."""

from __future__ import annotations

import errno
import subprocess
import sys
import types

import pytest
from typer.testing import CliRunner

import dixc
from dixc import launch
from dixc.cli import app
from dixc.errors import UserError

STAGES = [
    "molecules",
    "reference",
    "derivatives",
    "prefit",
    "train",
    "evaluate",
    "warmstart",
    "tddft",
    "tables",
    "report",
]
COMMANDS = [*STAGES, "partial", "plan", "scf", "models", "info"]
runner = CliRunner()


@pytest.fixture
def stage(monkeypatch):
    """Puts a function in the place of dixc.stages.reference.run; the test calls it with what it should do."""
    for variable in launch.THREAD_VARIABLES:
        monkeypatch.setenv(variable, "1")  # and so put back afterwards
    monkeypatch.delenv("DIXC_THREADS", raising=False)

    def install(run):
        module = types.ModuleType("dixc.stages.reference")
        module.run = run
        monkeypatch.setitem(sys.modules, "dixc.stages.reference", module)

    return install


def reference(tmp_path, *more: str):
    """Runs `dixc reference` with a valid config."""
    config = tmp_path / "config.yaml"
    config.write_text(
        "molecules: {files: [a.xyz], train: {count: 1, max_heavy: 1}, validation: {count: 1, max_heavy: 1},"
        " test: {names: [x]}}"
    )
    return runner.invoke(app, ["reference", "in.xyz", "--config", str(config), "--out", "out.h5", *more])


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(command):
    shown = runner.invoke(app, [command, "--help"])
    assert shown.exit_code == 0
    assert "--threads" in shown.output


def test_help_lists_the_commands_in_order():
    shown = runner.invoke(app, ["--help"]).output
    listed = [line.split()[0] for line in shown.split("Commands:")[1].splitlines() if line.strip()]
    assert listed == COMMANDS
    assert "..." not in shown.split("Commands:")[1], "a summary is too long for a terminal"


def test_help_imports_nothing_heavy():
    code = (
        "import sys, dixc, dixc.config\n"
        "from typer.testing import CliRunner\n"
        "from dixc.cli import app\n"
        "assert CliRunner().invoke(app, ['--help']).exit_code == 0\n"
        "print(*({'torch', 'pyscf', 'matplotlib', 'pandas', 'h5py', 'numpy', 'scipy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


@pytest.mark.parametrize("arguments", [["--version"], ["-m"]])
def test_version(arguments):
    if arguments == ["--version"]:
        shown = runner.invoke(app, arguments).output
    else:
        shown = subprocess.check_output([sys.executable, "-m", "dixc", "--version"], text=True)
    assert shown == f"dixc {dixc.__version__}\n"


@pytest.mark.parametrize("arguments", [["evalute"], ["reference"], ["train", "--seed", "-1"], ["--nonsense"]])
def test_usage_errors_exit_with_2(arguments):
    assert runner.invoke(app, arguments).exit_code == 2


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--nonsense"], ["No such option", "--nonsense", "dixc --help"]),
        (["scf", "a.xyz", "--nonsense"], ["No such option", "--nonsense", "dixc scf --help"]),
        (["evalute"], ["No such command", "evaluate", "dixc --help"]),
        (["scf"], ["Missing argument", "dixc scf --help"]),
        (["reference", "a.xyz", "--out", "o"], ["Missing option", "--config", "dixc reference --help"]),
        (["scf", "a.xyz", "b.xyz"], ["unexpected", "b.xyz"]),
        (["scf", "a.xyz", "--grid-level", "fine"], ["--grid-level"]),
        (["scf", "a.xyz", "--grid-level", "99"], ["--grid-level"]),
        (["scf", "a.xyz", "--tddft", "-1"], ["--tddft"]),
        (["scf", "a.xyz", "--charge", "1.5"], ["--charge"]),
        (["scf", "a.xyz", "--threads", "0"], ["--threads"]),
        (["scf", "a.xyz", "--out"], ["--out"]),
        (["scf", "a.xyz", "--json=yes"], ["--json"]),
        (["bad\ncommand\x1b[2J"], ["No such command"]),
    ],
)
def test_usage_errors_are_one_line_like_others(arguments, words):
    done = runner.invoke(app, arguments)
    assert (done.exit_code, done.stdout) == (2, "")
    assert done.stderr.startswith("dixc: error: ")
    assert done.stderr.count("\n") == 1
    assert "Usage:" not in done.stderr
    for word in words:
        assert word in done.stderr


def test_no_arguments_at_all_show_the_help():
    done = runner.invoke(app, [])
    assert done.exit_code == 2
    assert "Usage: " in done.stderr
    assert "Commands:" in done.stderr


def test_usage_errors_of_the_results_page_are_one_line(capsys):
    from benchmarks.results.__main__ import main

    for arguments in ([], ["collect"], ["bogus"], ["page", "/nope", "x.md"]):
        assert main(arguments) == 2
        shown = capsys.readouterr()
        assert shown.err.startswith("dixc: error: ")
        assert shown.err.count("\n") == 1


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (UserError("a.xyz: no molecules"), "dixc: error: a.xyz: no molecules"),
        (UserError("two\n lines"), "dixc: error: two lines"),
        (
            FileNotFoundError(errno.ENOENT, "No such file or directory", "a.xyz"),
            "a.xyz: No such file or directory",
        ),
        (PermissionError(errno.EACCES, "Permission denied", "b.h5"), "dixc: error: b.h5: Permission denied"),
        (OSError(errno.ENOSPC, "No space left on device"), "dixc: error: No space left on device"),
    ],
)
def test_what_a_user_can_cause_is_one_line(stage, tmp_path, error, line):
    def run(*_):
        raise error

    stage(run)
    done = reference(tmp_path)
    assert done.exit_code == 2
    assert line in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_bug_keeps_its_traceback(stage, tmp_path):
    def run(*_):
        raise ZeroDivisionError

    stage(run)
    assert isinstance(reference(tmp_path).exception, ZeroDivisionError)


def test_an_interruption_exits_with_130(stage, tmp_path):
    def run(*_):
        raise KeyboardInterrupt

    stage(run)
    done = reference(tmp_path)
    assert done.exit_code == 130
    assert done.stderr == "dixc: interrupted\n"


def test_a_wrong_config_is_one_line(tmp_path):
    config = tmp_path / "c.yaml"
    config.write_text("runn: x")
    done = runner.invoke(app, ["molecules", "--config", str(config), "--out", str(tmp_path / "m")])
    assert done.exit_code == 2
    assert "c.yaml: runn: unknown key (did you mean run?)" in done.stderr
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "m").exists()


def test_warmstart_of_a_functional_needs_its_scf(tmp_path):
    done = runner.invoke(app, ["warmstart", "pbe", "--config", "c", "--reference", "r.h5", "--out", "o.csv"])
    assert done.exit_code == 2
    assert "--scf" in done.stderr


@pytest.mark.parametrize(
    ("options", "environment", "expected"),
    [
        (["--threads", "3"], {"DIXC_THREADS": "5"}, "3"),
        ([], {"DIXC_THREADS": "5", "OMP_NUM_THREADS": "7"}, "5"),
        ([], {"OMP_NUM_THREADS": "7,2"}, "7"),
    ],
)
def test_threads(stage, tmp_path, monkeypatch, options, environment, expected):
    seen = {}
    # limits of libraries that this test process has loaded are not this test's business
    monkeypatch.setattr(launch, "limit_loaded_libraries", lambda n: seen.update(libraries=str(n)))
    for variable, value in environment.items():
        monkeypatch.setenv(variable, value)
    stage(lambda *_: seen.update({name: launch.os.environ[name] for name in launch.THREAD_VARIABLES}))
    assert reference(tmp_path, *options).exit_code == 0
    assert set(seen.values()) == {expected}
    assert len(seen) == 1 + len(launch.THREAD_VARIABLES)


def test_a_wrong_number_of_threads_is_named(stage, tmp_path, monkeypatch):
    stage(lambda *_: None)
    monkeypatch.setenv("DIXC_THREADS", "many")
    done = reference(tmp_path)
    assert done.exit_code == 2
    assert "DIXC_THREADS=many" in done.stderr

"""The graph of the workflow: which jobs there are, and which settings rerun what.

Snakemake itself runs, on a small config in a folder of its own; `dixc` is replaced by a shell script that
only creates the files it is asked for.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from dixc.report import FIGURES, TABLES

ROOT = Path(__file__).parents[1]
FAKE = """#!/bin/sh
# creates what the options --out and --log name; fails for the command in $FAIL
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
                */tables) for f in TABLES; do echo 1 > "$2/$f.csv"; done ;;
                *) echo 1 > "$2" ;;
            esac ;;
    esac
    shift
done
""".replace("FIGURES", " ".join(FIGURES)).replace("TABLES", " ".join(TABLES))


class Workflow:
    """Snakemake calls in a folder with a small config."""

    def __init__(self, folder: Path):
        self.folder = folder
        programs = folder / "bin"
        programs.mkdir()
        (programs / "dixc").write_text(FAKE)
        (programs / "dixc").chmod(0o755)
        self.environment = {**os.environ, "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}", "FAIL": ""}
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

    def snakemake(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Runs Snakemake on the present config; stdout and stderr together."""
        (self.folder / "tiny.yaml").write_text(yaml.safe_dump(self.config))
        command = [sys.executable, "-m", "snakemake", "-s", str(ROOT / "Snakefile"), "--cores", "4"]
        command += ["--configfile", "tiny.yaml", *arguments]
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


@pytest.fixture
def workflow(tmp_path) -> Workflow:
    return Workflow(tmp_path)


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Workflow:
    """A workflow that has run; tests change its config and look at dry runs only."""
    workflow = Workflow(tmp_path_factory.mktemp("finished"))
    done = workflow.snakemake()
    assert done.returncode == 0, done.stdout
    assert "the report is results/tiny/report.html" in done.stdout
    return workflow


@pytest.fixture
def settings(finished):
    """The config of the finished workflow, put back after the test."""
    before = yaml.safe_dump(finished.config)
    yield finished.config
    finished.config = yaml.safe_load(before)


def test_default_config_gives_the_expected_jobs(tmp_path):
    default = yaml.safe_load((ROOT / "config" / "config.yaml").read_text())
    for name in ["config/config.yaml", *default["molecules"]["files"]]:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "config" / "config.yaml").write_text(yaml.safe_dump(default))
    command = [sys.executable, "-m", "snakemake", "-s", str(ROOT / "Snakefile"), "--cores", "2", "--dry-run"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    done.stdout += done.stderr
    assert job_counts(done) == {
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
    assert not (tmp_path / "results").exists(), "a dry run must write nothing"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["--config", "training={lerning_rate: 1}"],
            "training.lerning_rate: unknown key (did you mean learning_rate?)",
        ),
        (["--config", "nonsense=1"], "nonsense: unknown key"),
        (["--config", "run=a/b"], "run: must start with a letter or digit"),
    ],
)
def test_a_wrong_setting_stops_at_once(workflow, arguments, message):
    done = workflow.snakemake("--dry-run", *arguments)
    assert done.returncode != 0
    assert message in done.stdout
    assert "Traceback" not in done.stdout


def test_nothing_is_done_twice(finished):
    assert finished.jobs() == {}


def test_run_keeps_its_config_with_all_defaults(finished):
    kept = yaml.safe_load((finished.folder / "results" / "tiny" / "config.yaml").read_text())
    assert kept["training"]["learning_rate"] == 5e-3
    assert kept["molecules"] == {**finished.config["molecules"], **{
        "seed": 0,
        "train": {"count": 2, "min_heavy": 1, "max_heavy": 1},
        "validation": {"count": 1, "min_heavy": 1, "max_heavy": 1},
    }}  # fmt: skip


AFTER_TRAINING = {"train", "evaluate", "warmstart", "tddft", "tables", "report"}


@pytest.mark.parametrize(
    ("section", "change", "rules", "trainings"),
    [
        ("training", {"steps": 7}, AFTER_TRAINING, 2),
        ("training", {"hessian": {"weight": 7.0}}, AFTER_TRAINING, 1),
        ("training", {"seeds": [0, 1]}, {*AFTER_TRAINING, "prefit"}, 2),
        ("training", {"checkpoint_every": 7}, set(), 0),
        ("prefit", {"steps": 7}, {*AFTER_TRAINING, "prefit"}, 2),
        ("models", [{"name": "xcdiff", "hyperparameters": {"n": 1}}], {*AFTER_TRAINING, "prefit"}, 2),
        ("derivatives", {"n_states": 7}, {*AFTER_TRAINING, "derivatives"}, 2),
        ("evaluation", {"tddft": {"n_states": 2}}, {"tddft", "tables", "report"}, 0),
        ("report", {"title": "T"}, {"report"}, 0),
    ],
)
def test_a_setting_reruns_what_depends_on_it(finished, settings, section, change, rules, trainings):
    if isinstance(change, dict):
        settings.setdefault(section, {}).update(change)
    else:
        settings[section] = change
    jobs = finished.jobs()
    assert set(jobs) == rules
    assert jobs.get("train", 0) == trainings


def test_reference_settings_rerun_everything_but_the_molecules(finished, settings):
    settings["reference"] = {"basis": "sto-3g"}
    assert set(finished.jobs()) == {*AFTER_TRAINING, "reference", "derivatives", "prefit", "default_guess"}


def test_another_run_starts_afresh_in_its_own_folder(finished, settings):
    settings["run"] = "second"
    assert finished.jobs()["reference"] == 4


def test_without_models_or_comparisons_only_the_baselines_are_left(workflow):
    workflow.config["models"] = []
    workflow.config["evaluation"] = {"warmstart": {"splits": []}, "tddft": {"splits": []}}
    assert set(workflow.jobs()) == {"molecules", "reference", "evaluate", "tables", "report"}


def test_a_failure_shows_its_log_and_is_resumed(workflow):
    workflow.environment["FAIL"] = "tables"
    done = workflow.snakemake()
    assert done.returncode != 0
    assert "told to fail" in done.stdout
    assert "see its log in results/tiny/logs/" in done.stdout
    workflow.environment["FAIL"] = ""
    assert workflow.jobs() == {"tables": 1, "report": 1}

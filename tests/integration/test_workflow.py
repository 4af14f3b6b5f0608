"""The graph of the workflow: which jobs there are, and which settings rerun what.

Snakemake itself runs, on a small config in a folder of its own; `dixc` is replaced by a shell script that
only creates the files it is asked for.
"""

from __future__ import annotations

import subprocess
import sys

import pytest
import yaml
from fake_workflow import DEFAULT_JOBS, ROOT, Workflow, job_counts

from dixc.config.training import Training


@pytest.fixture
def workflow(tmp_path) -> Workflow:
    return Workflow(tmp_path)


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
    assert job_counts(done) == DEFAULT_JOBS
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
    assert kept["training"]["learning_rate"] == Training().learning_rate
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
        ("models", [{"name": "xcdiff", "hyperparameters": {"n_hidden": 8}}], {*AFTER_TRAINING, "prefit"}, 2),
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

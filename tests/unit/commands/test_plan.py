"""`dixc plan`: what a config will cost, by the jobs that the workflow has."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest
import yaml
from fake_workflow import DEFAULT_JOBS
from miniature import ROOT
from typer.testing import CliRunner

from dixc.cli import app
from dixc.commands.plan import plan
from dixc.config import load, validate
from dixc.molecules import expected_sizes
from dixc.workflow.resources import MEMORY, cost, estimate, expected
from dixc.workflow.words import ranges


def planned(*arguments: str) -> dict:
    """`dixc plan --json` with these arguments."""
    done = CliRunner().invoke(app, ["plan", "--json", *arguments])
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def default():
    return load(ROOT / "config/config.yaml")


@pytest.fixture
def in_root(monkeypatch):
    monkeypatch.chdir(ROOT)


@pytest.mark.slow
def test_jobs_are_those_of_the_workflow(in_root, tmp_path):
    found = planned("--config", "config/config.yaml")
    assert {row["rule"]: row["jobs"] for row in found["rules"]} == DEFAULT_JOBS
    assert found["jobs"] == sum(DEFAULT_JOBS.values())
    assert found["molecules"] == 32


def test_sums_and_units(in_root):
    found = planned("--config", "config/config.yaml", "--node-cores", "8")
    hours = sum(row["core_hours"] for row in found["rules"])
    assert found["core_hours"] == pytest.approx(hours)
    assert found["node_hours"] == pytest.approx(hours / 8)
    assert found["storage_gb"] == pytest.approx(sum(row["storage_gb"] for row in found["rules"]))
    assert all(row["longest_h"] * row["jobs"] >= row["core_hours"] * 0.999 for row in found["rules"])


def test_the_default_run_costs_what_it_did(in_root):
    """Within a quarter of the README's core-hours; results/default holds some 90 MB without logs."""
    found = planned("--config", "config/config.yaml")
    measured = float(re.search(r"([\d.]+) core-hours", (ROOT / "README.md").read_text())[1])
    assert found["core_hours"] == pytest.approx(measured, rel=0.25)
    assert found["storage_gb"] == pytest.approx(0.09, rel=0.1)


def test_sizes_are_those_of_the_run(in_root, default, tmp_path):
    """Drawn without geometries as the stage draws with them: where no molecule is there twice, the same."""
    from dixc.stages.molecules import run as prepare
    from dixc.workflow.resources import sizes_by_chunk

    prepare(default.molecules, tmp_path)
    assert expected_sizes(default.molecules) == sizes_by_chunk(str(tmp_path / "molecules.csv"))


def test_a_run_that_has_molecules_is_planned_with_them(in_root, tmp_path, monkeypatch):
    config = yaml.safe_load((ROOT / "config/config.yaml").read_text())
    config["molecules"]["files"] = ["gone.xyz"]
    (tmp_path / "my.yaml").write_text(yaml.safe_dump(config))
    monkeypatch.chdir(tmp_path)
    assert CliRunner().invoke(app, ["plan", "--config", "my.yaml"]).exit_code == 2, "nothing to draw from"
    table = Path("results/default/molecules/molecules.csv")
    table.parent.mkdir(parents=True)
    rows = [("train-000", 4)] * 20 + [("validation-000", 4)] * 4 + [("test-000", 7)] * 8
    table.write_text("name,n_heavy,chunk\n" + "".join(f"m{i},{n},{c}\n" for i, (c, n) in enumerate(rows)))
    done = CliRunner().invoke(app, ["plan", "--config", "my.yaml"])
    assert done.exit_code == 0, done.output
    assert "drawn" not in done.stdout


def test_more_molecules_larger_ones_and_larger_bases_cost_more(default):
    sizes = {"train-000": [4] * 20, "validation-000": [4] * 4, "test-000": [6] * 8}

    def total(config, sizes):
        return {row.rule: row.core_hours for row in plan(config, sizes)}

    usual = total(default, sizes)
    larger = total(default, sizes | {"test-000": [9] * 8})
    assert larger["reference"] > usual["reference"]
    assert larger["train"] == usual["train"]
    tz = default.model_copy(update={"reference": default.reference.model_copy(update={"basis": "def2-tzvp"})})
    assert total(tz, sizes)["tddft"] > 3 * usual["tddft"]
    limited = default.derivatives.model_copy(update={"states_max_heavy": 5})
    mixed = sizes | {"test-000": [5, 6]}
    smaller = total(default.model_copy(update={"derivatives": limited}), mixed)
    assert smaller["tddft"] < 0.7 * total(default, mixed)["tddft"]
    longer = default.model_copy(update={"training": default.training.model_copy(update={"steps": 240})})
    assert 1.2 < total(longer, sizes)["train"] / usual["train"] < 2.01


@pytest.mark.parametrize("stage", MEMORY)
def test_costs_grow_with_size_and_requests_are_above_them(stage):
    known = [cost(stage, n) for n in (1, 2, 3, 4, 5, 6, 7, 8, 9, 12)]
    assert [one.seconds for one in known] == sorted(one.seconds for one in known)
    assert cost(stage, 2).seconds < cost(stage, 3).seconds
    minutes = estimate(stage, [9] * 20)[1]
    assert 60 * minutes > 3 * expected(stage, [9] * 20).seconds


def test_no_models_no_training():
    config = validate(
        {
            "molecules": {
                "files": [str(ROOT / "config/molecules/qm9_heavy1-4.xyz")],
                "train": {"count": 2, "max_heavy": 1},
                "validation": {"count": 1, "max_heavy": 2, "min_heavy": 2},
                "test": {"count": 1, "min_heavy": 3, "max_heavy": 3},
            },
            "models": [],
            "evaluation": {"tddft": {"splits": []}},
        }
    )
    rules = {row.rule for row in plan(config, expected_sizes(config.molecules))}
    assert rules == {"molecules", "reference", "evaluate", "default_guess", "warmstart", "tables", "report"}


def test_long_lists_of_files_are_ranges_that_bash_expands():
    files = [f"results/r/scf/{name}/train-{i:03d}.h5" for name in ("pbe", "x-hess-0") for i in range(1017)]
    files += ["results/r/scf/pbe/test-000.h5", "other.csv"]
    short = ranges(files)
    assert len(short) == 6
    command = ["bash", "-c", "printf '%s\\n' " + " ".join(f"--scf={file}" for file in short)]
    shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    assert shown == [f"--scf={file}" for file in files]
    assert ranges(["a-007.h5", "a-009.h5", "b-010.h5", "a-011.csv"]) == [
        "a-007.h5", "a-009.h5", "b-010.h5", "a-011.csv"
    ]  # fmt: skip

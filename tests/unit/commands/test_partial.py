"""Tables and report of a run that is not finished."""

from __future__ import annotations

import re

import pandas as pd
import pytest
from fake_workflow import Workflow
from scf_chunks import history_chunk
from typer.testing import CliRunner

from dixc.cli import app
from dixc.commands import partial
from dixc.config import validate, write

CONFIG = {
    "run": "half",
    "molecules": {
        "files": ["a.xyz"],
        "train": {"count": 2, "max_heavy": 1},
        "validation": {"count": 1, "max_heavy": 1},
        "test": {"names": ["ethanol"]},
    },
    "evaluation": {"baselines": ["pbe", "r2scan"]},
}


@pytest.fixture
def folder(tmp_path):
    """A run of which pbe is evaluated, besides a functional that is not the config's."""
    config = validate(CONFIG)
    write(config, tmp_path / "config.yaml")
    history_chunk(tmp_path / "scf" / "pbe" / "test-000.h5", ["ethanol"])
    history_chunk(tmp_path / "scf" / "of-another-config" / "test-000.h5", ["ethanol"])
    return tmp_path


@pytest.mark.slow
def test_what_is_there_is_reported_and_what_is_not_is_named(folder):
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}
    done = CliRunner().invoke(app, ["partial", str(folder)])
    assert done.exit_code == 0, done.output
    scf = pd.read_csv(folder / "partial" / "tables" / "scf.csv")
    assert list(scf["model"]) == ["pbe"]
    page = (folder / "partial" / "report.html").read_text()
    assert "xcdiff-hess-0: no training log." in page
    assert "scf: no test rows of r2scan." in page
    after = {path: path.stat().st_mtime_ns for path in before}
    assert after == before, "a file of the run itself was touched"


def test_only_what_the_config_asks_for(folder, monkeypatch):
    config = validate(CONFIG | {"evaluation": {"baselines": ["pbe"], "tddft": {"splits": []}}})
    write(config, folder / "config.yaml")
    for stage in ("tddft", "warmstart"):
        for name in ("pbe", "reference"):
            (folder / stage / name).mkdir(parents=True)
            (folder / stage / name / "test-000.csv").touch()
    parts = []
    monkeypatch.setattr(partial.tables, "run", lambda *arguments: parts.extend(arguments))
    monkeypatch.setattr(partial.report, "run", lambda *arguments: None)
    partial.run(folder)
    scf, warmstart, tddft, _, digest = parts
    assert digest == config.digest
    assert [path.parent.name for path in scf] == ["pbe"]
    assert [path.parent.name for path in warmstart] == ["reference", "pbe"]
    assert tddft == []


def test_nothing_yet(tmp_path):
    write(validate(CONFIG), tmp_path / "config.yaml")
    done = CliRunner().invoke(app, ["partial", str(tmp_path)])
    assert done.exit_code == 2
    assert "nothing to show yet" in done.output
    assert not (tmp_path / "partial").exists()
    assert CliRunner().invoke(app, ["partial", str(tmp_path / "no")]).exit_code == 2


@pytest.mark.slow
def test_the_first_seed_is_measured_before_the_second_is_trained(tmp_path):
    workflow = Workflow(tmp_path)
    workflow.config |= {"training": {"losses": ["base"], "seeds": [5, 3]}}
    workflow.config["molecules"]["chunk_size"] = 2
    done = workflow.snakemake("--cores", "1", "--printshellcmds")
    assert done.returncode == 0, done.stdout
    order = re.findall(r"dixc (\w+) .*?(?:-([35])\.pt|--seed ([35]))", done.stdout, re.MULTILINE)
    steps = [(stage, a or b) for stage, a, b in order]
    last_of_first = max(place for place, (_, seed) in enumerate(steps) if seed == "5")
    assert steps.index(("train", "3")) > last_of_first, steps
    assert {stage for stage, seed in steps if seed == "5"} == {
        "prefit",
        "train",
        "evaluate",
        "warmstart",
        "tddft",
    }

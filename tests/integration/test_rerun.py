"""What runs again after a change: the table of docs/workflow.md, more molecules, lost files, another dixc."""

from __future__ import annotations

import copy
import os
import re
import shutil
from typing import Any

import pytest
from fake_workflow import ROOT, Workflow, job_counts
from miniature import snakemake

from dixc.config.__main__ import table_text

# a change for every row of the table in docs/workflow.md
CHANGES: dict[str, dict[str, Any]] = {
    "run": {"run": "second"},
    "molecules.*": {"molecules": {"seed": 1}},
    "reference.*": {"reference": {"grid_level": 2}},
    "derivatives.*": {"derivatives": {"n_probes": 7}},
    "derivatives.states_max_heavy": {"derivatives": {"states_max_heavy": 5}},
    "models[].*": {"models": [{"name": "xcdiff", "hyperparameters": {"n_hidden": 8}}]},
    "models[].learning_rate": {"models": [{"name": "xcdiff", "learning_rate": 1e-4}]},
    "prefit.*": {"prefit": {"points": 7}},
    "training.losses": {"training": {"losses": ["base", "grad", "hess"]}},
    "training.seeds": {"training": {"seeds": [0, 1]}},
    "training.checkpoint_every": {"training": {"checkpoint_every": 7}},
    "training.cache_gb": {"training": {"cache_gb": 7.0}},
    "training.device": {"training": {"device": "auto"}},
    "training.gradient.*": {"training": {"gradient": {"weight": 7.0}}},
    "training.hessian.*": {"training": {"hessian": {"probes": 7}}},
    "training.excitation.*": {"training": {"excitation": {"weight": 7.0}}},
    "training.*": {"training": {"learning_rate": 7.0}},
    "evaluation.baselines": {"evaluation": {"baselines": ["pbe", "r2scan"]}},
    "evaluation.scf.*": {"evaluation": {"scf": {"max_cycle": 7}}},
    "evaluation.warmstart.splits": {"evaluation": {"warmstart": {"splits": ["test", "train"]}}},
    "evaluation.warmstart.accelerate": {"evaluation": {"warmstart": {"accelerate": False}}},
    "evaluation.tddft.splits": {"evaluation": {"tddft": {"splits": ["test", "validation"]}}},
    "evaluation.tddft.*": {"evaluation": {"tddft": {"methods": ["tda"]}}},
    "report.*": {"report": {"title": "T"}},
}


def documented() -> dict[str, set[str] | str]:
    """Rules by setting, as docs/workflow.md has them."""
    text = (ROOT / "docs" / "workflow.md").read_text()
    table = text.split("<!-- settings: begin")[1].split("<!-- settings: end")[0]
    rows = {}
    for first, second, _ in re.findall(r"^\| (`.*?) \| (.*?) \| (.*?)\|$", table, re.MULTILINE):
        rules = set() if second == "nothing" else set(second.split(", "))
        rows |= dict.fromkeys(re.findall(r"`(.*?)`", first), rules)
    return rows


def merged(base: dict[str, Any], change: dict[str, Any]) -> dict[str, Any]:
    """The config with a change put in, section by section."""
    result = dict(base)
    for key, value in change.items():
        inner = isinstance(value, dict) and isinstance(base.get(key), dict)
        result[key] = merged(base[key], value) if inner else value
    return result


@pytest.mark.parametrize("setting", CHANGES)
def test_the_documented_table_is_what_snakemake_does(finished, setting):
    before = finished.config
    finished.config = merged(before, CHANGES[setting])
    try:
        jobs = set(finished.jobs())
    finally:
        finished.config = before
    rules = documented()[setting]
    everything = {"molecules", *documented()["reference.*"]}
    assert jobs == (everything if rules == {"everything"} else rules)


def test_the_documented_table_has_every_setting():
    rows = documented()
    assert rows.keys() == CHANGES.keys()
    for key in re.findall(r"^\| `(.*?)` \|", table_text(), re.MULTILINE):
        assert any(key == row or (row.endswith("*") and key.startswith(row[:-1])) for row in rows), key


def test_a_label_trains_the_same_class_again(finished):
    before = finished.config
    other = {"name": "xcdiff", "hyperparameters": {"n_hidden": 8}, "label": "small"}
    finished.config = merged(before, {"models": [{"name": "xcdiff"}, other]})
    try:
        jobs = finished.jobs()
    finally:
        finished.config = before
    assert (jobs["prefit"], jobs["train"]) == (1, 2)


# --- more molecules


def atoms(*names: str) -> str:
    """Diatomic molecules of different lengths."""
    return "".join(f"2\nname={n}\nN 0 0 0\nN 0 0 {1 + 0.01 * ord(n):.2f}\n" for n in names)


@pytest.fixture(scope="module")
def grown(tmp_path_factory) -> Workflow:
    """A finished workflow with two training files of two molecules, whose stage `molecules` is the real one."""
    workflow = Workflow(tmp_path_factory.mktemp("grown"))
    workflow.environment["REAL"] = "molecules"
    (workflow.folder / "a.xyz").write_text(atoms(*"abcdefghij"))
    sized = {"count": 4, "min_heavy": 2, "max_heavy": 2}
    workflow.config["molecules"] |= {
        "train": sized, "validation": {**sized, "count": 1}, "test": {"names": ["a", "b"]}, "chunk_size": 2,
    }  # fmt: skip
    done = workflow.snakemake()
    assert done.returncode == 0, done.stdout
    return workflow


@pytest.fixture
def growing(grown, tmp_path) -> Workflow:
    """A copy of `grown`, to change."""
    workflow = copy.copy(grown)
    workflow.folder = tmp_path / "copy"
    shutil.copytree(grown.folder, workflow.folder)
    workflow.config = copy.deepcopy(grown.config)
    return workflow


def test_more_training_molecules_compute_only_new_files(growing):
    growing.config["molecules"]["train"]["count"] = 6
    assert growing.jobs()["reference"] == 5, "before the molecules are chosen, all may be others"
    done = growing.snakemake("--until", "molecules")
    assert done.returncode == 0, done.stdout
    jobs = growing.jobs()
    assert (jobs["reference"], jobs["derivatives"], jobs["train"]) == (1, 1, 2)
    assert jobs["evaluate"] == 1 + 2 * 5, "pbe on the new file, the two trained anew on all"
    assert "default_guess" not in jobs


def test_more_test_molecules_train_nothing_again(growing):
    added = growing.folder / "b.xyz"
    added.write_text("1\nname=y\nNe 0 0 0\n1\nname=z\nAr 0 0 0\n")
    growing.config["molecules"]["files"].append("b.xyz")
    growing.config["molecules"]["test"]["names"] += ["y", "z"]
    done = growing.snakemake("--until", "molecules")
    assert done.returncode == 0, done.stdout
    assert growing.jobs() == {
        "reference": 1, "derivatives": 1, "evaluate": 3, "default_guess": 1, "warmstart": 3, "tddft": 3,
        "tables": 1, "report": 1,
    }  # fmt: skip


# --- lost files, on a run with real results


LOST = {
    "molecules/train-000.xyz": {"molecules", "reference", "derivatives", "prefit", "train", "evaluate",
                                "warmstart", "default_guess", "tddft", "tables", "report"},
    "derivatives/train-000.h5": {"derivatives", "train", "evaluate", "warmstart", "tddft", "tables", "report"},
    "models/xcdiff-hess-0.pt": {"train", "evaluate", "warmstart", "tddft", "tables", "report"},
    "scf/pbe/validation-000.h5": {"evaluate", "tables", "report"},
    "tables/tddft.csv": {"tables", "report"},
    "figures/metrics.svg": {"report"},
}  # fmt: skip


@pytest.mark.parametrize("path", LOST)
def test_a_lost_file_is_made_again_with_what_needs_it(miniature, path):
    lost = miniature / "results" / "miniature" / path
    aside = lost.with_name(f"{lost.name}.aside")
    os.rename(lost, aside)
    try:
        done = snakemake(miniature, "--cores", "2", "--configfile", "mini.yaml", "--dry-run")
    finally:
        os.rename(aside, lost)
    jobs = job_counts(done)
    assert set(jobs) == LOST[path]
    if path.startswith("models/"):
        assert (jobs["train"], jobs["evaluate"]) == (1, 3), "the other trainings stay"


def test_snakemakes_report_has_tables_and_figures(miniature, tmp_path):
    done = snakemake(miniature, "--configfile", "mini.yaml", "--report", str(tmp_path / "report.zip"))
    assert done.returncode == 0, done.stdout
    shutil.unpack_archive(tmp_path / "report.zip", tmp_path / "open")
    names = {path.name for path in (tmp_path / "open").rglob("*") if path.is_file()}
    assert {"report.html", "scf.csv", "warmstart.csv", "tddft.csv", "summary.csv", "metrics.svg"} <= names
    pages = [path.read_text() for path in (tmp_path / "open").rglob("report.html")]
    assert any("Lowest singlet excitations" in page for page in pages), "captions"

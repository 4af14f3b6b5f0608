"""Another version of dixc, dixc as a module of another workflow, and Snakemake's lint."""

from __future__ import annotations

import json
import os
import re

import pytest
import yaml
from fake_workflow import ROOT, Workflow, job_counts

from dixc import __version__
from dixc.errors import UserError
from dixc.workflow.run import METHODS, RECORD, start, upgrade_notice


def test_a_stage_with_a_new_method_runs_again_and_is_announced(finished):
    path = finished.folder / "results" / "tiny" / RECORD
    record = json.loads(path.read_text())
    assert record == {"dixc": __version__, "methods": METHODS}
    assert "was made by" not in finished.snakemake("--dry-run").stdout
    expected = (
        f"dixc: results/tiny was made by dixc 0.0.1, this is {__version__}: no stage computes anything else"
    )
    try:
        path.write_text(json.dumps(record | {"dixc": "0.0.1"}))
        done = finished.snakemake("--dry-run")
        assert f"{expected} now, the results are kept" in done.stdout
        assert done.stdout.count("was made by") == 1
        assert json.loads(path.read_text())["dixc"] == "0.0.1", "a dry run must write nothing"
        path.write_text(json.dumps({"dixc": "0.0.1", "methods": METHODS | {"prefit": 0, "report": 0}}))
        assert upgrade_notice(path.parent).endswith(
            "rebuilt are prefit, report and what depends on them, the rest is kept"
        )
    finally:
        path.write_text(json.dumps(record))


def test_the_method_of_a_stage_is_a_trigger(finished, tmp_path):
    """Snakemake with a package whose `train` has another number."""
    newer = tmp_path / "sitecustomize.py"
    newer.write_text("import dixc.workflow\ndixc.workflow.METHODS['train'] += 1\n")
    before = finished.environment
    paths = [str(tmp_path), str(ROOT), before.get("PYTHONPATH", "")]
    finished.environment = before | {"PYTHONPATH": os.pathsep.join(paths)}
    try:
        done = finished.snakemake("--dry-run")
    finally:
        finished.environment = before
    assert set(job_counts(done)) == {"train", "evaluate", "warmstart", "tddft", "tables", "report"}
    assert "rebuilt are train and what depends on them" in done.stdout


def test_every_rule_has_the_number_of_its_stage():
    text = "".join(path.read_text() for path in (ROOT / "workflow" / "rules").glob("*.smk"))
    used = re.findall(r'method=METHODS\["(\w+)"\]', text)
    assert set(used) == METHODS.keys()
    assert len(used) == len(re.findall(r"^rule ", text, re.MULTILINE))


@pytest.mark.parametrize("content", ["", "[1]", '{"dixc": 1}', '{"dixc": "1", "methods": 3}'])
def test_a_broken_record_says_nothing(tmp_path, content):
    (tmp_path / RECORD).write_text(content)
    assert upgrade_notice(tmp_path) is None
    assert upgrade_notice(tmp_path / "none") is None


OUTER = """
import dixc.workflow

configfile: "study.yaml"

module dixc_rules:
    snakefile: "{snakefile}"
    config: config["dixc"]
    {prefix}

use rule * from dixc_rules as dixc_*

onstart:
    dixc.workflow.start(config["dixc"])

rule all:
    default_target: True
    input: rules.dixc_all.input
    output: "done"
    shell: "touch {{output}}"
"""


@pytest.mark.parametrize("prefix", ["", 'prefix: "there"'])
def test_as_a_module_of_another_workflow(tmp_path, prefix):
    workflow = Workflow(tmp_path)
    workflow.config["molecules"]["files"] = [str(tmp_path / "a.xyz")]
    (tmp_path / "study.yaml").write_text(yaml.safe_dump({"dixc": workflow.config}))
    (tmp_path / "Snakefile").write_text(OUTER.format(snakefile=ROOT / "Snakefile", prefix=prefix))
    done = workflow.call()
    assert done.returncode == 0, done.stdout
    assert "dixc_reference" in done.stdout
    here = tmp_path / "there" if prefix else tmp_path
    assert (here / "results" / "tiny" / "report.html").is_file()
    assert (tmp_path / "results" / "tiny" / "config.yaml").is_file()
    assert "Nothing to be done" in workflow.call("--dry-run").stdout
    assert not prefix or not (tmp_path / "results" / "tiny" / "models").exists()


def test_start_refuses_a_wrong_setting(tmp_path):
    with pytest.raises(UserError, match="nonsense: unknown key"):
        start({"nonsense": 1}, tmp_path)
    assert not list(tmp_path.iterdir())


def test_lint_finds_nothing(finished):
    done = finished.snakemake("--lint")
    assert done.returncode == 0, done.stdout
    assert "Lints for" not in done.stdout

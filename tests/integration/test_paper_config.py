"""config/paper.yaml with stand-ins for its data: the releases of QM9 and QM40 are not shipped and too large for a test.

The stand-ins have the layout of the releases and a handful of molecules, so the choice of molecules is tried with
smaller counts; what Snakemake would do is asked of the config as it stands.
"""

from __future__ import annotations

import csv
import re

import pytest
import yaml
from data_sets import LIST, QM40_HEADER, archive_of, qm9_file, qm40_rows
from fake_workflow import ROOT, Workflow, job_counts

from dixc.config import load, validate
from dixc.errors import DixcWarning
from dixc.stages.molecules import run as prepare
from dixc.workflow import resources

PAPER = ROOT / "config" / "paper.yaml"


def chain_of(heavy: str, bond: float = 1.4) -> str:
    """Lines of atoms on a line, each with the two hydrogens that keep the shell closed (O has none)."""
    lines = []
    for place, symbol in enumerate(heavy):
        x = bond * place
        lines.append(f"{symbol} {x} 0 0")
        if symbol != "O":
            lines += [f"H {x} 0.9 {0.1 + 0.01 * place}", f"H {x} -0.9 0.1"]
    return "\n".join(lines)


@pytest.fixture
def data(tmp_path):
    """A folder with data/qm9 and data/qm40."""
    qm9, qm40 = tmp_path / "data" / "qm9", tmp_path / "data" / "qm40"
    qm9.mkdir(parents=True)
    qm40.mkdir()
    waters = {}
    for i in range(1, 9):  # of different shape, or they would be the same molecule under other names
        waters[f"dsgdb9nsd_{i:06d}.xyz"] = qm9_file(i).replace("1.3007924048", f"1.3{i}07924048")
    # one with fluorine instead of oxygen's hydrogens
    waters["dsgdb9nsd_000009.xyz"] = (
        qm9_file(9).replace("O\t-0.03", "F\t-0.03").replace("\nH\t 0.87", "\nF\t 0.87")
    )
    archive_of(qm9 / "dsgdb9nsd.xyz.tar.bz2", waters)
    (qm9 / "uncharacterized.txt").write_text(LIST.format(8))
    rows = [qm40_rows(f"ZINC{n}", "C" * n, chain_of("CO" * (n // 2))) for n in (10, 12, 40)]
    rows.append(qm40_rows("ZINC_S", "S", chain_of("CO" * 5 + "S")))
    (qm40 / "QM40_xyz.csv").write_text(QM40_HEADER + "".join(rows))
    return tmp_path


def test_snakemake_plans_the_paper_on_stand_in_data(data):
    workflow = Workflow(data)
    done = workflow.call("-s", workflow.snakefile, "--configfile", str(PAPER), "--dry-run")
    jobs = job_counts(done)
    config = load(PAPER)
    chunks = {split: len(config.chunks(split)) for split in ("train", "validation", "test")}
    assert (jobs["train"], jobs["prefit"]) == (36, 12)
    assert jobs["reference"] == sum(chunks.values())
    assert jobs["evaluate"] == 38 * jobs["reference"], "PBE, r2SCAN and 36 trained functionals"
    assert jobs["tddft"] == jobs["warmstart"] == 38 * chunks["test"]
    with_gpu = re.findall(r"rule (\w+):\n(?:    .*\n)*?    resources: .*\bgpu=1\b", done.stdout)
    assert with_gpu == ["train"] * 36
    minutes = {
        stage: int(re.search(rf"{stage}/test-000\.h5\n.*?runtime=(\d+)", done.stdout, re.DOTALL)[1])
        for stage in ("reference", "derivatives")
    }
    # 40 heavy atoms in the reference, 16 in the excitations, which would take 15 times as long otherwise
    assert minutes["derivatives"] == resources.estimate("derivatives", [16] * 100)[1]
    assert minutes["reference"] == resources.estimate("reference", [40] * 100)[1]


def test_stand_in_molecules_are_divided_as_the_paper_says(data, monkeypatch):
    monkeypatch.chdir(data)
    settings = yaml.safe_load(PAPER.read_text())
    for split, count in {"train": 4, "validation": 2, "test": 3}.items():
        settings["molecules"][split]["count"] = count
    with pytest.warns(DixcWarning, match="no training molecule has"):  # the stand-ins for training are water
        prepare(validate(settings).molecules, data / "out")
    with (data / "out" / "molecules.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    chosen = {
        split: {row["name"] for row in rows if row["split"] == split}
        for split in ("train", "validation", "test")
    }
    assert chosen["test"] == {"ZINC10", "ZINC12", "ZINC40"}, "10 to 40 heavy atoms, none with sulfur"
    small = chosen["train"] | chosen["validation"]
    assert len(small) == 6
    assert small <= {f"dsgdb9nsd_{i:06d}" for i in range(1, 8)}, "no fluorine, none of the doubtful ones"

"""The command that measures speed, on water and without any care for the times."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from dixc.config.training import Training

ROOT = Path(__file__).parents[2]
SECTIONS = ["xc", "tddft", "training", "storage", "profile", "run"]
if torch.cuda.is_available():
    SECTIONS.append("device")


@pytest.fixture(scope="module")
def measured(tmp_path_factory) -> Path:
    """Folder with what the command writes, a small finished run among its input."""
    folder = tmp_path_factory.mktemp("speed")
    for rule in ("train/xcdiff-base-0", "train/xcdiff-hess-0", "report"):
        path = folder / f"run/benchmarks/{rule}.tsv"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("s\tmax_rss\tcpu_time\n4.0\t100.0\t3.5\n")
    (folder / "run/training").mkdir()
    (folder / "run/training/xcdiff-base-0.csv").write_text(
        "step,wall_s,scf_builds\n1,1.0,4\n2,1.5,3\n3,2.5,2\n"
    )
    command = [sys.executable, "-m", "benchmarks.speed", "--quick", "--threads", "1"]
    command += ["--out", str(folder), "--run", str(folder / "run")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=600)
    assert done.returncode == 0, done.stderr[-3000:]
    assert ("device: no CUDA device here" in done.stderr) != torch.cuda.is_available()
    return folder


def table(folder: Path, section: str) -> pd.DataFrame:
    return pd.read_csv(folder / f"performance/{section}.csv")


def test_writes_page_tables_and_figure(measured):
    page = (measured / "performance.md").read_text()
    assert "NaN" not in page
    assert "nan" not in page.split()
    for section in SECTIONS:
        assert len(table(measured, section)) > 0
        assert (measured / f"performance/{section}.json").exists()
    assert page.count("\n## ") == 1 + len(SECTIONS), "targets, then the sections"
    assert (measured / "performance/performance.svg").read_text().startswith("<?xml")


def test_both_sides_are_there_and_ratios_are_theirs(measured):
    for section, quantity in (
        ("xc", "potential"),
        ("xc", "product of 8"),
        ("tddft", "5 states"),
        ("training", "step"),
    ):
        found = table(measured, section)
        part = found[found["quantity"] == quantity]
        assert {"PySCF", "dixc"} <= set(part["program"])
        base = part[part["ratio"] == 1].iloc[0]
        ours = part[(part["program"] == "dixc") & part["ratio"].notna()]
        assert base["program"] == "PySCF"
        assert len(ours) > 0
        np.testing.assert_allclose(ours["ratio"], ours["median_s"] / base["median_s"], rtol=1e-3)


def test_programs_agree(measured):
    found = table(measured, "tddft")
    assert found["difference_Eh"].notna().all()
    assert found["difference_Eh"].max() < 1e-6
    assert (found["peak_mb"] > 50).all()


def test_run_is_summed_by_rule(measured):
    rules = table(measured, "run").query("quantity == 'rule'").set_index("rule")
    assert rules.loc["train", ["jobs", "cpu_s", "wall_s"]].tolist() == [2, 7.0, 8.0]
    assert rules.loc["all", "cpu_s"] == 10.5
    training = table(measured, "run").query("quantity == 'training'").iloc[0]
    assert training[["steps", "ms_step", "scf_builds"]].tolist() == [3, 750.0, 3.0]


def test_work_is_counted_from_shapes():
    sys.path.insert(0, str(ROOT))
    try:
        import torch

        from benchmarks.speed.machine import Work
    finally:
        sys.path.remove(str(ROOT))
    a, b = torch.ones(10, 20), torch.ones(20, 30, dtype=torch.float64, requires_grad=True)

    def call() -> None:
        (a.double() @ b).sum().backward()
        torch.mm(a, a.T)

    work = Work.of(call)
    assert work.double == pytest.approx(2 * 2e-9 * 10 * 20 * 30)  # forward, and the gradient of b
    assert work.single == pytest.approx(2e-9 * 10 * 20 * 10)
    assert work.traffic > 8e-9 * 2 * (10 * 20 + 20 * 30)


def test_variants_of_a_training_are_checked():
    from benchmarks.trainings import changed

    settings = changed(Training(), "learning_rate=0.02 energy.method=gradient")
    assert (settings.learning_rate, settings.energy.method) == (0.02, "gradient")
    assert changed(Training(), "") == Training()
    with pytest.raises(SystemExit, match=r"training\.energy\.methods: no such key"):
        changed(Training(), "energy.methods=gradient")
    with pytest.raises(
        SystemExit, match=r"^training\.energy\.method: Input should be 'least_squares' or 'gradient'"
    ):
        changed(Training(), "energy.method=magic")
    settings = changed(Training(), "density.weight=2e5 metropolis.enabled=true")
    assert (settings.density.weight, settings.metropolis.enabled) == (2e5, True)

"""A miniature run through the real workflow: every stage, every rule, real numbers."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from report_page import Page, headline, section

from dixc.text import number


@pytest.fixture
def run(miniature) -> Path:
    """The folder of a finished miniature run."""
    return miniature / "results" / "miniature"


def table(run: Path, name: str) -> pd.DataFrame:
    return pd.read_csv(run / "tables" / f"{name}.csv", keep_default_na=True)


def test_scf_table(run):
    scf = table(run, "scf")
    assert " ".join(scf.columns) == (
        "model loss seed split molecule n_heavy converged e_tot_error_mEh e_tot_error_fit_mEh e_rho_mEh "
        "dipole_error_debye l2_density cycles wall_s"
    )
    assert len(scf) == 4 * 4  # pbe and three trained functionals on four molecules
    assert scf.converged.all()
    assert (scf.e_rho_mEh > 0).all(), "the reference's energy is lowest at its own density"
    assert set(scf.loss) == {"none", "base", "grad", "hess"}
    pbe = scf[(scf.model == "pbe") & (scf.split == "test")]
    assert 0.3 < pbe.e_rho_mEh.item() < 5


def test_warm_start_table(run):
    rows = table(run, "warmstart")
    default, warm = rows[rows.guess == "minao"], rows[rows.guess == "density"]
    assert list(default.model) == ["b3lyp"]
    assert len(warm) == 4
    assert (warm.hybrid_fock_builds < default.hybrid_fock_builds.item()).all()
    assert (rows.e_diff_Eh.abs() < 1e-7).all(), "every guess ends in the same solution"
    assert (warm.cheap_fock_builds > 3).all()
    assert (warm.wall_total_s > warm.wall_s).all()
    accelerated = rows[rows.guess == "accelerate"]
    assert len(accelerated) == 4
    assert (accelerated.hybrid_fock_builds < warm.hybrid_fock_builds.min()).all()
    assert (accelerated.one_build_error_uEh.abs() < 200).all(), "of some thousands of the build itself"
    assert (accelerated.two_build_error_uEh.abs() < accelerated.one_build_error_uEh.abs()).all()
    others = rows[rows.guess != "accelerate"]
    assert others[["one_build_error_uEh", "two_build_error_uEh"]].isna().all(axis=None)


def test_tddft_table(run):
    rows = table(run, "tddft")
    assert len(rows) == 4 * 2 * 2  # functionals, methods, states
    assert np.allclose(rows.error_eV, rows.excitation_eV - rows.reference_eV, atol=1e-8)
    assert rows.error_eV.abs().max() < 2
    full, tda = (rows[rows.method == m].excitation_eV.to_numpy() for m in ("tddft", "tda"))
    assert (full <= tda + 1e-4).all(), "the Tamm-Dancoff approximation raises singlets"


def test_models_and_logs(run):
    import dixc

    functional = dixc.load(run / "models" / "xcdiff-hess-0.pt")
    assert (functional.metadata["model"], functional.metadata["loss"]) == ("xcdiff", "hess")
    assert len(functional.metadata["train_molecules"]) == 2
    log = pd.read_csv(run / "training" / "xcdiff-hess-0.csv")
    assert list(log.step) == [1, 2, 3, 4, 5, 6]
    assert log.validation_loss.notna().sum() == 2
    raw = (
        "energy_raw_mEh",
        "density_raw_per_bohr3",
        "gradient_raw_mEh",
        "hessian_raw_1",
        "excitation_raw_eV",
    )
    for column in raw:
        assert np.isfinite(log[column]).all()
    assert not list((run / "checkpoints").rglob("*.pt"))


def test_report(run):
    page = (run / "report.html").read_text()
    summary = table(run, "summary")
    cells = headline(page)
    rows = {"pbe": "none", "xcdiff base": "base", "xcdiff grad": "grad", "xcdiff hess": "hess"}
    assert {name for name, _ in cells} == set(rows)
    for metric, column in (("e_rho_mEh", "E_rhomEh"), ("tddft_mae_eV", "TDDFT MAEeV")):
        test = summary[(summary.split == "test") & (summary.metric == metric)].set_index("loss")
        for name, loss in rows.items():
            assert cells[name, column] == number(test.value[loss]), (name, column)
    assert {"model", "loss", "split", "metric", "value", "spread", "n", "n_failed"} == set(summary.columns)


def test_lines_of_the_report_load_a_trained_functional(run, tmp_path):
    lines = "".join(
        Page(
            re.search(r"<pre>(.*?)</pre>", section((run / "report.html").read_text(), "models"), re.S)[0]
        ).words
    )
    (tmp_path / "results").symlink_to(run.parent)
    (tmp_path / "molecule.xyz").write_text("2\n\nLi 0 0 0\nH 0 0 1.6\n")
    script = lines + "\nprint(mf.converged, mf.xc, mf.e_tot)\n"
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    converged, functional, energy = done.stdout.split()[-3:]
    # the last object is the reference: LiH with B3LYP
    assert (converged, functional) == ("True", "b3lyp")
    assert -8.2 < float(energy) < -8.0


def test_stages_run_by_hand_and_agree(run, tmp_path):
    """The command that Snakemake printed gives the same table again."""
    out = tmp_path / "again.csv"
    command = [sys.executable, "-m", "dixc", "tddft", "pbe", "--config", run / "config.yaml"]
    command += [
        "--reference",
        run / "reference/test-000.h5",
        "--derivatives",
        run / "derivatives/test-000.h5",
    ]
    command += ["--scf", run / "scf/pbe/test-000.h5", "--out", out]
    subprocess.run(list(map(str, command)), check=True, capture_output=True, cwd=tmp_path)
    again, before = pd.read_csv(out), pd.read_csv(run / "tddft/pbe/test-000.csv")
    assert np.allclose(again.excitation_eV, before.excitation_eV, atol=1e-6)


def test_single_molecule_command(run, tmp_path):
    xyz = tmp_path / "water.xyz"
    xyz.write_text("3\nname=water\nO 0 0 0.1178\nH 0 0.7555 -0.4712\nH 0 -0.7555 -0.4712\n")
    model = run / "models/xcdiff-grad-0.pt"
    command = [
        sys.executable,
        "-m",
        "dixc",
        "scf",
        xyz,
        "--xc",
        model,
        "--tddft",
        "2",
        "--json",
        "--grid-level",
        "1",
    ]
    done = subprocess.run(list(map(str, command)), check=True, capture_output=True, text=True)
    result = json.loads(done.stdout)
    assert result["name"] == "water"
    assert -77 < result["e_tot_Eh"] < -75
    assert len(result["excitations_eV"]) == 2

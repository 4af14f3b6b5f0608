"""Trained functionals that come with dixc, and the commands for a person: `dixc models` and `dixc scf`."""

from __future__ import annotations

import io
import json
import subprocess
import sys

import numpy as np
import pytest
from pyscf import dft
from small_molecules import molecule

import dixc
import dixc.pyscf
from dixc.commands import models, scf
from dixc.commands.options import Options
from dixc.errors import UserError
from dixc.evaluation.scf import label
from dixc.excitations import ResponseSolver, oscillator_strengths
from dixc.functionals import files
from dixc.models import FOLDER, locate, shipped

WATER = "3\nname=water\nO 0 0 0.1178\nH 0 0.7555 -0.4712\nH 0 -0.7555 -0.4712\n"
HYDROXIDE = "2\nname=hydroxide charge=-1\nO 0 0 0\nH 0 0 0.97\n"
FAST = {"basis": "6-31g", "grid_level": 0, "as_json": True}


def test_every_shipped_model_loads_by_name_and_is_described():
    readme = (FOLDER / "README.md").read_text()
    assert shipped()
    for name in shipped():
        functional = dixc.load(name)
        assert name not in dixc.available(), "a name must mean one thing"
        assert functional.metadata["provenance"]["dirty"] is False
        assert f"## {name}" in readme
        assert functional.metadata["provenance"]["commit"][:7] in readme
        assert locate(name).stat().st_size < 2e6


def test_a_shipped_model_wins_over_a_file_of_its_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "xcdiff-b3lyp").write_text("something else")
    (tmp_path / "xcdiff").write_text("something else")
    assert files.resolve("xcdiff-b3lyp").metadata["loss"] == "hess"
    assert not files.resolve("xcdiff").metadata
    with pytest.raises(UserError, match="not a model file"):
        dixc.load("./xcdiff-b3lyp")


def test_an_unknown_name_tells_which_there_are():
    with pytest.raises(UserError, match=r"xcdiff-b3lyq: neither a functional \(.*xcdiff-b3lyp\)"):
        dixc.pyscf.RKS(molecule("water"), xc="xcdiff-b3lyq")


def test_a_shipped_model_is_a_baseline_of_a_run():
    assert label(dixc.load("xcdiff-b3lyp"), "xcdiff-b3lyp") == {
        "model": "xcdiff-b3lyp", "loss": "none", "seed": 0,
    }  # fmt: skip


@pytest.mark.slow
def test_list_of_models(capsys):
    models.run(as_json=True)
    listed = {entry["name"]: entry for entry in json.loads(capsys.readouterr().out)}
    assert list(listed) == [*dixc.available(), *shipped()]
    assert (listed["pbe"]["kind"], listed["pbe"]["trained"], listed["pbe"]["parameters"]) == (
        "classical", False, 0,
    )  # fmt: skip
    model = listed["xcdiff-b3lyp"]
    assert (model["architecture"], model["reference"], model["trained"]) == (
        "xcdiff", "b3lyp/def2-svp", True,
    )  # fmt: skip
    assert model["parameters"] == listed["xcdiff"]["parameters"] > 1000
    assert model["file_bytes"] == (FOLDER / "xcdiff-b3lyp.pt").stat().st_size
    assert "L161109" in model["source"]
    models.run()
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 1 + len(listed)
    assert "xcdiff trained on b3lyp/def2-svp" in lines[-1]


def test_a_functional_that_cannot_be_built_is_listed(monkeypatch):
    def create(name):
        raise UserError("needs a package")

    monkeypatch.setattr(models.registry, "create", create)
    entry = next(entry for entry in models.entries() if entry["name"] == "pbe")
    assert entry["parameters"] is None
    assert "pbe" in models.as_text([entry])


def test_oscillator_strengths_are_those_of_pyscf():
    mf = dft.RKS(molecule("water"), xc="pbe").set(verbose=0)
    mf.grids.level = 0
    mf.kernel()
    for method, theirs in (("tddft", mf.TDDFT()), ("tda", mf.TDA())):
        theirs.nstates, theirs.conv_tol, theirs.verbose = 4, 1e-9, 0
        theirs.kernel()
        ours = ResponseSolver(mf).solve(4, method, conv_tol=1e-6)
        expected = theirs.oscillator_strength()
        assert expected.max() > 0.05
        assert np.abs(oscillator_strengths(mf, ours) - expected).max() < 1e-5


def test_scf_of_several_molecules(tmp_path, capsys):
    xyz, out = tmp_path / "two.xyz", tmp_path / "sub" / "out.jsonl"
    xyz.write_text(WATER + HYDROXIDE)
    scf.run(Options(xyz, **FAST, out=out), "pbe", n_states=2)
    shown = capsys.readouterr()
    assert shown.err == "", "no progress where nobody looks"
    assert shown.out == out.read_text()
    water, anion = map(json.loads, shown.out.splitlines())
    assert (water["charge"], anion["charge"], anion["formula"]) == (0, -1, "HO-")
    assert water["converged"]
    assert water["dipole_total_debye"] == pytest.approx(np.linalg.norm(water["dipole_debye"]))
    levels = water["orbital_energies_eV"]
    assert (levels[4], levels[5]) == (water["homo_eV"], water["lumo_eV"])
    assert water["n_occupied"] == 5
    assert water["gap_eV"] == pytest.approx(levels[5] - levels[4])
    energies, waves = np.array(water["excitations_eV"]), np.array(water["wavelengths_nm"])
    # h c = 1239.84 eV nm
    assert energies * waves == pytest.approx([1239.842, 1239.842])
    assert len(water["oscillator_strengths"]) == 2
    text = scf.as_text(water)
    assert f"{energies[0]:.4f} eV   {waves[0]:.1f} nm   f = " in text
    assert "gap" in text


def test_scf_without_convergence_keeps_its_results_and_fails(tmp_path, capsys, monkeypatch):
    xyz, out = tmp_path / "two.xyz", tmp_path / "out.jsonl"
    xyz.write_text(WATER + HYDROXIDE)
    monkeypatch.setattr(dixc.pyscf.RKS, "max_cycle", 2)
    with pytest.raises(UserError, match=r"two.xyz: SCF with pbe not converged for 2 of 2: water, hydroxide$"):
        scf.run(Options(xyz, **FAST | {"as_json": False}, out=out), "pbe", n_states=2)
    assert capsys.readouterr().out.count("NOT CONVERGED") == 2
    results = list(map(json.loads, out.read_text().splitlines()))
    assert [result["converged"] for result in results] == [False, False]
    assert "excitations_eV" not in results[0]


def test_scf_refuses_a_bad_basis_before_it_computes(tmp_path, capsys):
    (tmp_path / "w.xyz").write_text(WATER)
    options = Options(tmp_path / "w.xyz", **FAST | {"basis": "nope"}, out=tmp_path / "out")
    with pytest.raises(UserError, match=r"w.xyz, water: PySCF has no basis 'nope'"):
        scf.run(options, "pbe", n_states=0)
    assert capsys.readouterr().out == ""
    assert not (tmp_path / "out").exists()


def test_progress_is_for_terminals(monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    with scf.Progress("water") as progress:
        progress({"cycle": 0, "e_tot": -76.0, "norm_gorb": 0.5})
    shown = terminal.getvalue()
    assert "water: cycle 1, E = -76.00000000 Eh, |g| = 5.0e-01 Eh" in shown
    assert shown.endswith("\r"), "the line is wiped for the result"


def test_listing_shipped_models_imports_nothing_heavy():
    code = "import sys, dixc.models; dixc.models.shipped(); print({'torch', 'pyscf'} & set(sys.modules))"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "set()"

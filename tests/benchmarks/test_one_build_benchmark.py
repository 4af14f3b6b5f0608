"""The benchmark of one-build energies: what it compares with, its tables, going on where it stopped."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from small_molecules import GEOMETRIES

from benchmarks import one_build
from dixc.molecules import Molecule, write_xyz


def molecule(name: str) -> Molecule:
    atoms = [line.split() for line in GEOMETRIES[name].split(";")]
    return Molecule(
        name.replace(" ", "_"), [a[0] for a in atoms], np.array([a[1:] for a in atoms], dtype=float)
    )


@pytest.fixture(scope="module")
def water() -> one_build.Problem:
    return one_build.Problem(molecule("water"), "6-31g", 1, 4000)


@pytest.fixture(scope="module")
def reference(water) -> list[one_build.Row]:
    return one_build.without_model(water, "b3lyp")


def test_plain_energies_are_those_of_every_build(water, reference):
    first, *plain = reference
    assert (first.method, first.converged) == ("reference", True)
    assert [row.builds for row in plain] == list(range(1, len(plain) + 1))
    assert [row.converged for row in plain] == [False] * (len(plain) - 1) + [True]
    assert abs(plain[-1].error_uEh) < 1e-3
    assert abs(plain[2].error_uEh) > 1
    own = water.mean_field("b3lyp", one_build.USUAL)
    dm = own.get_init_guess()
    assert plain[0].energy_Eh == pytest.approx(own.energy_tot(dm), abs=1e-9)
    orbitals = own.eig(own.get_fock(dm=dm), own.get_ovlp())
    dm = own.make_rdm1(orbitals[1], own.get_occ(*orbitals))
    assert plain[1].energy_Eh == pytest.approx(own.energy_tot(dm), abs=1e-9)


def test_one_diagonalisation(water, reference):
    """Both energies against formulas of second order in the gradient, at a density close to the solution."""
    exact = reference[0].energy_Eh
    mf = water.mean_field("b3lyp", one_build.TIGHT)
    mf.kernel()
    linear, whole = one_build.one_diagonalisation(mf, mf.make_rdm1(), mf.get_veff())
    np.testing.assert_allclose([linear, whole], exact, rtol=0, atol=1e-9)

    nocc = water.mol.nelectron // 2
    kappa = 1e-3 * np.random.default_rng(0).normal(size=(water.n_basis - nocc, nocc))
    turn = np.block([[np.zeros((nocc, nocc)), -kappa.T], [kappa, np.zeros((len(kappa), len(kappa)))]])
    orbitals = mf.mo_coeff @ np.linalg.qr(np.eye(len(turn)) + turn + turn @ turn / 2)[0]
    dm = mf.make_rdm1(orbitals, mf.mo_occ)
    vhf = mf.get_veff(dm=dm)
    linear, whole = one_build.one_diagonalisation(mf, dm, vhf)
    fock = orbitals.T @ mf.get_fock(dm=dm, vhf=vhf) @ orbitals
    gradient, energies = 4 * fock[nocc:, :nocc], np.diag(fock)
    uncoupled = 0.5 * np.sum(gradient**2 / (4 * (energies[nocc:, None] - energies[:nocc])))
    before = mf.energy_tot(dm, vhf=vhf)
    assert before - exact > 1e-6
    assert before - linear == pytest.approx(uncoupled, rel=0.03)
    assert exact < whole < before


def table(**columns) -> pd.DataFrame:
    usual = {"molecule": "a", "basis": "b", "grid_level": 1, "hybrid": "h", "model": "m", "settings": "-"}
    usual |= {"method": "corrected", "max_builds": 1, "builds": 1, "converged": True, "wall_s": 1.0}
    return pd.DataFrame(usual | {"estimate_uEh": np.nan} | columns)


def test_summary_of_estimates():
    rows = table(molecule=list("abcd"), error_uEh=[-1.0, 2.0, -3.0, 8.0], estimate_uEh=[2.0, 2.0, 6.0, 4.0])
    found = one_build.summary(rows).iloc[0]
    assert found[["n", "mean_uEh", "median_uEh", "max_uEh"]].tolist() == [4, 3.5, 2.5, 8.0]
    assert found["below_estimate"] == 0.5  # an error as large as its estimate is not below it
    assert found["estimate_over_error"] == 1.5
    above = one_build.above_estimate(rows)
    assert above["molecule"].tolist() == ["d", "b"]
    assert above["excess"].tolist() == [2.0, 1.0]


def test_summary_carries_a_finished_plain_scf_on():
    short = {"method": "plain", "molecule": "short", "max_builds": [1, 2], "error_uEh": [10.0, 0.0]}
    long = {"method": "plain", "molecule": "long", "max_builds": [1, 2, 3], "error_uEh": [20.0, 2.0, 1.0]}
    found = one_build.summary(pd.concat([table(**short), table(**long)])).set_index("max_builds")
    assert found["n"].tolist() == [2, 2, 2]
    assert found["mean_uEh"].tolist() == [15.0, 1.0, 0.5]
    assert found["below_estimate"].isna().all()


def run(folder: Path, *arguments: str) -> pd.DataFrame:
    """The CSV after a run on small molecules, of which `arguments` may leave out some."""
    fixed = ["--molecules", str(folder / "m.xyz"), "--out", str(folder / "o.csv"), "--models", "pbe"]
    one_build.main([*fixed, "--basis", "6-31g", "--grid-level", "0", *arguments])
    return pd.read_csv(folder / "o.csv", keep_default_na=False, na_values=[""])


@pytest.fixture
def solved(monkeypatch) -> list[tuple]:
    """What is computed from here on: molecule, hybrid, and settings where there is a model."""
    calls: list[tuple] = []
    plain, corrected = one_build.without_model, one_build.with_model

    def without_model(problem, hybrid):
        calls.append((problem.molecule.name, hybrid))
        return plain(problem, hybrid)

    def with_model(problem, hybrid, model, reference):
        calls.append((problem.molecule.name, hybrid, model.label))
        return corrected(problem, hybrid, model, reference)

    monkeypatch.setattr(one_build, "without_model", without_model)
    monkeypatch.setattr(one_build, "with_model", with_model)
    return calls


def test_goes_on_where_it_stopped(tmp_path, solved, capsys):
    write_xyz(tmp_path / "m.xyz", [molecule(name) for name in ("lithium fluoride", "water", "ammonia")])
    first = run(tmp_path, "--hybrids", "b3lyp", "--max-functions", "14")
    assert solved == [("water", "b3lyp"), ("water", "b3lyp", "-")]
    solved.clear()
    more = ("--hybrids", "b3lyp", "hf", "--max-functions", "15")
    second = run(tmp_path, *more)
    assert solved == [
        ("water", "hf"), ("water", "hf", "-"),
        ("ammonia", "b3lyp"), ("ammonia", "b3lyp", "-"), ("ammonia", "hf"), ("ammonia", "hf", "-"),
    ]  # fmt: skip
    pd.testing.assert_frame_equal(second.head(len(first)), first)
    solved.clear()
    run(tmp_path, *more)
    assert not solved
    run(
        tmp_path,
        "--hybrids",
        "b3lyp",
        "--max-functions",
        "14",
        "--set",
        "grid_level=1",
        "surrogate=functional",
    )
    assert solved == [("water", "b3lyp", "grid_level=1 surrogate=functional")]

    corrected = second[second["method"] == "corrected"]
    assert (corrected["builds"] == corrected["max_builds"]).all()
    assert corrected["estimate_uEh"].notna().all()
    second["error"] = second["error_uEh"].abs()
    errors = second.groupby(["method", "max_builds"])["error"].mean()
    assert errors["corrected", 1] < errors["tr_fock", 1] < errors["build", 1]
    assert errors["corrected", 2] < 0.1 * errors["corrected", 1]

    capsys.readouterr()
    one_build.main(["--summarise", str(tmp_path / "o.csv")])
    printed = capsys.readouterr().out
    assert all(
        name in printed for name in ("corrected", "build", "tr_fock", "dfpc", "plain", "surrogate=functional")
    )


def test_a_csv_of_something_else_is_refused(tmp_path):
    (tmp_path / "o.csv").write_text("a,b\n1,2\n")
    with pytest.raises(SystemExit, match="other columns"):
        one_build.main(["--summarise", str(tmp_path / "o.csv")])

"""Accelerated hybrid SCF against tightly converged PySCF, with Fock builds counted independently."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hybrids import Scaled, mean_field, tight
from pyscf import dft, gto, lib, scf
from pyscf.scf import chkfile
from typer.testing import CliRunner

import dixc
import dixc.pyscf
from dixc.config.evaluation import EvaluationScf
from dixc.core.monopole_exchange import MonopoleExchange
from dixc.core.newton import Secants, bounded, truncated_cg
from dixc.errors import UserError
from dixc.evaluation.warmstart import accelerated_row
from dixc.tables.schema import TABLES


def assert_canonical(mf, reference, tolerance: float = 1e-5):
    """F C = S C e at the object's own density, occupied first in order, energies those of the reference."""
    fock = mf.get_fock()
    residual = fock @ mf.mo_coeff - mf.get_ovlp() @ mf.mo_coeff * mf.mo_energy
    assert np.abs(residual).max() < tolerance
    assert np.abs(mf.mo_energy - reference.mo_energy).max() < 1e-4
    assert (mf.mo_occ == reference.mo_occ).all()
    assert np.abs(mf.make_rdm1() - reference.make_rdm1()).max() < 1e-4


CASES = [
    ("water", "b3lyp", False, 3),
    ("water", "hf", False, 5),
    ("water", "pbe0", True, 4),
    ("water", "hf", True, 5),
    ("formaldehyde", "b3lyp", False, 3),
    ("formaldehyde", "pbe", False, 4),
    ("HCN", "pbe0", False, 4),
    ("HCN", "hf", False, 6),
    ("formaldehyde", "hf", True, 5),
    ("hydroxide", "b3lyp", False, 4),
    ("ammonium", "pbe0", False, 4),
]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "xc", "fit", "most"), CASES)
def test_few_builds_and_the_answer_of_pyscf(name, xc, fit, most, builds):
    reference = tight(name, xc, fit)
    plain = mean_field(name, xc)
    plain = plain.density_fit() if fit else plain
    mf = dixc.pyscf.accelerate(plain, xc="r2scan")
    builds.clear()
    energy = mf.kernel()
    assert mf.converged
    assert not mf.accelerated_by_diis
    assert len(builds) == mf.hybrid_fock_builds <= most
    assert energy == mf.e_tot
    assert abs(mf.e_tot - reference.e_tot) < 2e-9
    assert mf.e_tot - reference.e_tot == pytest.approx(mf.energy_error_estimate, rel=1, abs=2e-10)
    assert min(mf.cheap_fock_builds, mf.cg_products) > 0
    for key, value in reference.scf_summary.items():
        assert mf.scf_summary[key] == pytest.approx(value, abs=1e-3)
    builds.clear()
    assert mf.kernel() == energy
    assert not builds
    assert_canonical(mf, reference)


def test_nothing_runs_before_kernel_and_the_given_object_stays(builds):
    plain = mean_field("water", "b3lyp")
    before = dict(plain.__dict__)
    mf = dixc.pyscf.accelerate(plain, xc="r2scan")
    assert not builds
    assert plain.__dict__ == before
    assert isinstance(mf, type(plain))
    assert mf.mo_coeff is None
    assert mf.e_tot == 0


@pytest.mark.slow
def test_tighter_thresholds_go_on_from_the_solution(builds):
    mf = dixc.pyscf.accelerate(mean_field("water", "b3lyp"), xc="r2scan")
    mf.kernel()
    first = mf.hybrid_fock_builds
    mf.conv_tol, mf.conv_tol_grad = 1e-12, 1e-8
    builds.clear()
    mf.kernel()
    assert 0 < len(builds) <= first
    assert abs(mf.e_tot - tight("water", "b3lyp").e_tot) < 2e-12


def test_starts_from_a_converged_mean_field(builds):
    plain = tight("water", "b3lyp")
    builds.clear()
    mf = dixc.pyscf.accelerate(plain, xc="r2scan")
    mf.kernel()
    assert len(builds) == 1
    assert abs(mf.e_tot - plain.e_tot) < 1e-11


@pytest.mark.slow
def test_changed_problem_is_solved_again():
    mf = dixc.pyscf.accelerate(mean_field("water", "b3lyp"), xc="r2scan")
    mf.kernel()
    field = 0.01 * mf.mol.intor("int1e_r")[2]
    hcore = scf.hf.get_hcore(mf.mol) + field
    plain = mean_field("water", "b3lyp")
    for one in (mf, plain):
        one.get_hcore = lambda *args: hcore
    plain.run(conv_tol=1e-12)
    mf.kernel()
    assert abs(mf.e_tot - plain.e_tot) < 2e-9


@pytest.mark.slow
def test_results_serve_pyscf(tmp_path):
    seen, path = [], str(tmp_path / "scf.chk")
    mf = dixc.pyscf.accelerate(mean_field("water", "b3lyp"), xc="r2scan")
    mf.chkfile = path
    mf.callback = lambda envs: seen.append(
        (envs["cycle"], envs["e_tot"], envs["norm_gorb"], envs["mo_coeff"].shape)
    )
    mf.conv_tol_grad = 1e-6
    mf.run()
    reference = tight("water", "b3lyp")
    assert [cycle for cycle, *_ in seen] == list(range(mf.cycles))
    assert seen[-1][2] < seen[0][2]
    saved = chkfile.load(path, "scf")
    assert saved["e_tot"] == mf.e_tot
    assert np.array_equal(saved["mo_coeff"], mf.mo_coeff)
    assert chkfile.load_mol(path).nelectron == 10
    mf.analyze(verbose=0)
    assert np.abs(mf.dip_moment(verbose=0) - reference.dip_moment(verbose=0)).max() < 1e-4
    excited = [one.TDDFT().set(nstates=2, conv_tol=1e-6).run().e for one in (mf, reference)]
    assert np.abs(excited[0] - excited[1]).max() < 1e-5
    forces = [one.nuc_grad_method().kernel() for one in (mf, reference)]
    assert np.abs(forces[0] - forces[1]).max() < 1e-4


@pytest.mark.slow
def test_copy_scanner_and_undo():
    mf = dixc.pyscf.accelerate(mean_field("water", "b3lyp"), xc="r2scan")
    mf.kernel()
    copy = mf.copy()
    copy.conv_tol = 1e-11
    copy.kernel()
    assert mf.conv_tol == 1e-9
    moved = mf.mol.set_geom_("O 0 0 .15; H 0 .77 -.47; H 0 -.77 -.47", inplace=False)
    plain = dft.RKS(moved, xc="b3lyp").set(conv_tol=1e-12)
    plain.grids.level = 0
    scanner = mf.as_scanner()
    assert abs(scanner(moved) - plain.kernel()) < 2e-9
    assert scanner.hybrid_fock_builds <= 4
    assert not scanner.accelerated_by_diis
    undone = mf.undo_accelerate()
    assert type(undone) is dft.rks.RKS
    assert undone.e_tot == mf.e_tot
    again = dixc.pyscf.accelerate(mf, xc="pbe")
    assert again.acceleration.name == "pbe"
    assert isinstance(again.density_fit(), type(again))


@pytest.mark.slow
@pytest.mark.parametrize("xc", ["b3lyp", "hf"])
def test_symmetric_molecule(xc):
    mf = dixc.pyscf.accelerate(mean_field("formaldehyde", xc, symmetry=True), xc="r2scan")
    mf.kernel()
    reference = tight("formaldehyde", xc)
    assert mf.converged
    assert not mf.accelerated_by_diis
    assert abs(mf.e_tot - reference.e_tot) < 2e-9
    assert np.abs(np.sort(mf.mo_energy) - reference.mo_energy).max() < 1e-4
    assert len(mf.get_orbsym()) == len(mf.mo_energy)


def test_monopole_exchange_of_one_orbital_an_atom():
    """With one normalised s function on each far atom the approximation is exact."""
    mol = gto.M(atom="H 0 0 0; H 0 0 8; H 0 8 0; H 9 0 0", basis="sto-3g", verbose=0)
    mf = scf.RHF(mol).density_fit(auxbasis="def2-universal-jkfit")
    mf.with_df.build()
    dm = np.random.default_rng(0).normal(size=(4, 4))
    dm = dm + dm.T
    approximate = MonopoleExchange(mf.get_ovlp(), mf.with_df, 1.0).get_k(dm)
    assert np.abs(approximate - mf.get_k(dm=dm)).max() < 1e-3 * np.abs(approximate).max()


@pytest.mark.slow
@pytest.mark.parametrize(
    "changes", [{"exchange": False}, {"fit_coulomb": False}, {"grid_level": None, "secants": False}]
)
def test_settings_do_not_change_the_answer(changes):
    mf = dixc.pyscf.accelerate(mean_field("formaldehyde", "b3lyp"), xc="r2scan", **changes).run()
    assert mf.hybrid_fock_builds <= 4
    assert abs(mf.e_tot - tight("formaldehyde", "b3lyp").e_tot) < 2e-9


@pytest.mark.slow
@pytest.mark.parametrize("factor", [3.0, -1.0, float("nan")])
def test_bad_model_falls_back_to_pyscf(factor, builds):
    plain, lines, model = mean_field("water", "b3lyp"), [], Scaled(1.0)
    mf = dixc.pyscf.accelerate(plain, xc=model)
    model.factor = factor  # not before: a functional without finite energies is refused
    mf.verbose, mf.stdout = (
        3,
        type("Stream", (), {"write": lambda self, t: lines.append(t), "flush": lambda s: 0})(),
    )
    builds.clear()
    mf.kernel()
    assert mf.converged
    assert mf.accelerated_by_diis
    assert mf.hybrid_fock_builds == len(builds)
    assert abs(mf.e_tot - tight("water", "b3lyp").e_tot) < 1e-9
    assert "PySCF's kernel" in "".join(lines)
    builds.clear()
    mf.kernel()
    assert not builds


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "xc"),
    [("water, stretched", "hf"), ("water, stretched", "b3lyp"), ("lithium hydride, stretched", "hf")],
)
def test_hard_molecules_converge(name, xc):
    mf = dixc.pyscf.accelerate(mean_field(name, xc), xc="r2scan").run()
    assert mf.converged
    assert abs(mf.e_tot - tight(name, xc).e_tot) < 1e-8


def test_no_virtual_orbitals():
    mf = dixc.pyscf.accelerate(mean_field("helium", "hf", "sto-3g"), xc="pbe").run()
    assert mf.converged
    assert mf.hybrid_fock_builds == 1
    assert mf.e_tot == pytest.approx(tight("helium", "hf", basis="sto-3g").e_tot, abs=1e-10)


def test_max_cycle_is_kept():
    mf = dixc.pyscf.accelerate(mean_field("water", "hf"), xc="r2scan")
    mf.max_cycle = 1
    mf.kernel()
    assert not mf.converged
    assert mf.mo_coeff is not None


def test_refusals():
    mol = gto.M(atom="O 0 0 0; H 0 0 1", spin=1, verbose=0)
    water = mean_field("water", "b3lyp")
    for mf in (
        scf.UHF(mol),
        scf.ROHF(mol),
        water.newton(),
        scf.addons.smearing(mean_field("water", "hf"), 0.01),
        1,
    ):
        with pytest.raises(UserError, match="accelerate"):
            dixc.pyscf.accelerate(mf, xc="pbe")
    with pytest.raises(UserError, match="no such"):
        dixc.pyscf.accelerate(water, xc="no such functional or file")
    with pytest.raises(UserError, match="colour"):
        dixc.pyscf.accelerate(water, xc="pbe", colour="red")


def test_row_of_the_warm_start_table(water):
    row = accelerated_row(water[0], dixc.create("pbe"), EvaluationScf())
    assert {"model", "loss", "seed", *row} == set(TABLES["warmstart"].part_columns)
    assert (row["guess"], row["converged"]) == ("accelerate", True)
    assert row["hybrid_fock_builds"] <= 4 < row["cheap_fock_builds"]
    assert abs(row["e_diff_Eh"]) < 1e-8
    assert 0 < row["wall_s"] < row["wall_total_s"]


@pytest.mark.slow
def test_row_tells_what_the_energies_of_the_first_builds_were_wrong_by(water):

    record, functional = water[0], dixc.create("pbe")
    row = accelerated_row(record, functional, EvaluationScf())
    mf = dixc.pyscf.accelerate(record.mean_field(), xc=functional, max_builds=1, surrogate="functional")
    one = 1e6 * (mf.kernel() - record.e_tot)
    build = 1e6 * (mf.e_tot_build - record.e_tot)
    # the two solve the same equations, to different residuals
    assert row["one_build_error_uEh"] == pytest.approx(one, abs=1e-3 * build)
    assert abs(row["one_build_error_uEh"]) < build / 30
    assert abs(row["two_build_error_uEh"]) < abs(row["one_build_error_uEh"]) / 10


@pytest.mark.parametrize(
    ("minima", "builds", "fell_back", "expected"),
    [
        ([-1.0 + 3e-6, -1.0 - 1e-6, -1.0], 3, False, (3, -1)),
        ([-1.0 + 3e-6], 2, False, (3, 0)),  # the second build is converged, so nothing was foretold from it
        ([], 1, False, (0, np.nan)),
        ([-1.0 + 3e-6], 12, True, (3, np.nan)),
        ([], 12, True, (np.nan, np.nan)),
        ([-np.inf, -1.0 - 2e-6], 3, False, (np.nan, -2)),
    ],
)
def test_errors_of_the_first_builds(minima, builds, fell_back, expected):
    from types import SimpleNamespace

    from dixc.evaluation.warmstart import build_errors

    mf = SimpleNamespace(energy_minima=minima, e_tot=-1.0, converged=True, hybrid_fock_builds=builds,
                         accelerated_by_diis=fell_back)  # fmt: skip
    found = build_errors(mf, -1.0)
    assert list(found) == ["one_build_error_uEh", "two_build_error_uEh"]
    assert tuple(found.values()) == pytest.approx(expected, abs=1e-6, nan_ok=True)


def test_conjugate_gradients_and_secants():
    rng = np.random.default_rng(0)
    matrix = rng.normal(size=(12, 12))
    matrix = matrix @ matrix.T + np.diag(np.arange(1.0, 13))
    gradient, diagonal = rng.normal(size=(4, 3)), matrix.diagonal().reshape(4, 3)

    def product(v):
        return (matrix @ v.ravel()).reshape(4, 3)

    exact = -np.linalg.solve(matrix, gradient.ravel()).reshape(4, 3)
    step = truncated_cg(product, gradient, diagonal, rtol=1e-10)
    assert step.solved
    assert np.abs(step.kappa - exact).max() < 1e-8
    bent = truncated_cg(lambda v: -product(v), gradient, diagonal)
    assert not bent.solved
    assert np.vdot(bent.kappa, gradient) < 0
    assert np.abs(bounded(step.kappa, 1e-3)).max() == pytest.approx(1e-3)
    # enough independent pairs of a quadratic make the corrected inverse exact, whatever it started from
    secants, directions = Secants(max_pairs=12), np.linalg.eigh(matrix)[1].T.reshape(-1, 4, 3)
    for direction in directions:
        secants.add(direction, product(direction))
    assert np.abs(-secants.apply(lambda v: 0.1 * v, gradient) - exact).max() < 1e-8
    secants.add(directions[0], -product(directions[0]))
    assert np.abs(-secants.apply(lambda v: 0.1 * v, gradient) - exact).max() < 1e-8


@pytest.mark.slow
def test_command_line(tmp_path):
    from dixc.cli import app

    path = tmp_path / "water.xyz"
    path.write_text("3\nwater\nO 0 0 .1178\nH 0 .7555 -.4712\nH 0 -.7555 -.4712\n")
    arguments = ["scf", str(path), "--hybrid", "b3lyp", "--basis", "6-31g", "--grid-level", "0", "--json"]
    results = []
    few = ["--accelerate", "--max-builds", "2"]
    for extra in ([], ["--accelerate"], ["--accelerate", "--xc", "pbe"], few):
        result = CliRunner().invoke(app, [*arguments, *extra])
        assert result.exit_code == 0, result.output
        results.append(json.loads(result.stdout))
    plain, default, pbe, two = results
    assert default["accelerated_by"] == two["accelerated_by"] == "xcdiff-b3lyp"
    assert pbe["accelerated_by"] == "pbe"
    assert max(default["hybrid_fock_builds"], pbe["hybrid_fock_builds"]) < plain["hybrid_fock_builds"] / 2
    assert plain["e_tot_Eh"] == pytest.approx(default["e_tot_Eh"], abs=1e-8)
    assert two["hybrid_fock_builds"] == len(two["energies_by_build_Eh"]) == 2
    assert two["e_tot_Eh"] == pytest.approx(default["e_tot_Eh"], abs=1e-8)


@pytest.mark.slow
def test_command_line_tells_what_one_build_tells(tmp_path):
    from dixc.cli import app

    path = tmp_path / "silane.xyz"
    path.write_text("5\nsilane\nSi 0 0 0\nH .86 .86 .86\nH -.86 -.86 .86\nH -.86 .86 -.86\nH .86 -.86 -.86\n")
    arguments = [
        "scf",
        str(path),
        "--hybrid",
        "pbe0",
        "--basis",
        "sto-3g",
        "--grid-level",
        "0",
        "--accelerate",
    ]
    shown = CliRunner().invoke(app, [*arguments, "--max-builds", "1"])
    assert shown.exit_code == 0, shown.output
    (row,) = [json.loads(CliRunner().invoke(app, [*arguments, "--max-builds", "1", "--json"]).stdout)]
    assert row["accelerated_by"] == "r2scan"  # the shipped model has not seen silicon
    words = dict(line.strip().split("  ", 1) for line in shown.stdout.splitlines()[1:])
    assert words["total energy"].strip() == f"{row['e_tot_Eh']:.8f} Eh   (from 1 Fock build)"
    assert words["energy of a build"].split()[0] == f"{row['e_tot_build_Eh']:.8f}"
    assert float(words["correction"].split()[0]) == pytest.approx(row["correction_Eh"], rel=1e-3)
    assert float(words["error left"].split()[0]) == pytest.approx(row["energy_error_estimate_Eh"], rel=0.1)
    assert words["Fock builds"].strip() == f"1 of pbe0, {row['cheap_fock_builds']} of r2scan"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--accelerate", "--xc", "pbe"], "--hybrid"),
        (["--hybrid", "b3lyp", "--xc", "pbe"], "--accelerate"),
        (["--hybrid", "nonsense"], "nonsense"),
        (["--max-builds", "1"], "--max-builds needs --accelerate"),
        (["--hybrid", "b3lyp", "--max-builds", "1"], "--max-builds needs --accelerate"),
        (["--hybrid", "b3lyp", "--accelerate", "--max-builds", "0"], "--max-builds"),
    ],
)
def test_command_line_refusals(tmp_path, arguments, message):
    from dixc.cli import app

    path = tmp_path / "helium.xyz"
    path.write_text("1\n\nHe 0 0 0\n")
    result = CliRunner().invoke(app, ["scf", str(path), *arguments])
    assert result.exit_code != 0
    assert message in result.output + str(result.exception)


def test_scf_log_names_the_model():
    mf = dixc.pyscf.accelerate(mean_field("water", "b3lyp"), xc="pbe")
    lines: list[str] = []
    mf.verbose, mf.stdout = (
        lib.logger.INFO,
        type("Stream", (), {"write": lambda s, t: lines.append(t), "flush": lambda s: 0})(),
    )
    mf.kernel()
    assert "accelerated by pbe" in "".join(lines)

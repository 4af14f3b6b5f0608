"""Reference and derivative stages, evaluation metrics, and how failures travel through the files."""

from __future__ import annotations

import numpy as np
import pytest
from small_molecules import molecule
from small_references import REFERENCE, reference_record

from dixc.config import validate
from dixc.config.evaluation import EvaluationScf
from dixc.config.sections import Derivatives
from dixc.display import logged_lines
from dixc.errors import UserError
from dixc.evaluation.scf import evaluate as evaluate_molecule
from dixc.evaluation.tddft import compare, match, solved_mean_field
from dixc.evaluation.warmstart import guess_row
from dixc.excitations import Excitations, ResponseSolver
from dixc.functionals import registry
from dixc.grassmann import OrbitalRotations
from dixc.molecules import Molecule, write_xyz
from dixc.reference import scf
from dixc.reference.derivatives import compute
from dixc.reference.packing import pack, unpack
from dixc.reference.record import ENERGY_NAMES, read_failures, read_records
from dixc.stages import derivatives, evaluate, reference, tddft, warmstart
from dixc.store import open_chunk
from dixc.tables.frames import read_table
from dixc.training.chunks import ChunkedMolecules
from dixc.training.molecule import TrainingMolecule


def config(states_max_heavy=None, **changes):
    molecules = {
        "files": ["none.xyz"],
        "train": {"count": 1, "max_heavy": 4},
        "validation": {"count": 1, "max_heavy": 4},
        "test": {"names": ["water"]},
    }
    chosen = REFERENCE | {"conv_tol": 1e-10, "conv_tol_grad": 1e-6} | changes
    parts = {"reference": chosen, "derivatives": {"states_max_heavy": states_max_heavy}}
    return validate({"run": "test", "molecules": molecules} | parts, source="test")


def scf_of_molecule(record, functional, **settings):
    return evaluate_molecule(record, registry.create(functional), EvaluationScf(**settings))


def xyz_of(names, path, split="test"):
    entries = []
    for name in names:
        mol = molecule(name)
        symbols = [mol.atom_pure_symbol(i) for i in range(mol.natm)]
        entries.append(Molecule(name.replace(" ", "_"), symbols, mol.atom_coords(unit="Angstrom"), 0, split))
    write_xyz(path, entries)
    return path


@pytest.fixture(scope="module")
def chunk(tmp_path_factory):
    folder = tmp_path_factory.mktemp("chunk")
    out = folder / "test-000.h5"
    reference.run(xyz_of(["water", "ammonia"], folder / "test-000.xyz"), config().reference, out)
    return out


def test_reference_chunk(chunk):
    first, second = read_records(chunk)
    assert (first.name, second.name) == ("water", "ammonia")
    with open_chunk(chunk, stage="reference") as f:
        energies = dict(zip(ENERGY_NAMES, f["water"]["energies"], strict=True))
        assert f["water"]["mo_energy"].attrs["unit"] == "hartree"
    parts = [value for name, value in energies.items() if name != "e_tot"]
    assert abs(sum(parts) - energies["e_tot"]) < 1e-10
    mf = first.mean_field()
    assert abs(mf.energy_tot(dm=first.dm) - first.e_tot) < 1e-9, "the record rebuilds the grid it was made on"
    hf_exchange = -0.25 * 0.2 * np.vdot(first.dm, mf.get_k(dm=first.dm))
    assert abs(energies["e_exact_exchange"] - hf_exchange) < 1e-9
    assert np.linalg.norm(OrbitalRotations(first.with_orbitals(mf)).gradient()) < 1e-5


def test_resumed_chunk_does_not_repeat_molecules(chunk, tmp_path, monkeypatch):
    xyz, out = xyz_of(["water", "ammonia"], tmp_path / "a.xyz"), tmp_path / "a.h5"
    solve, done = scf.solve, []

    def interrupted(entry, *args):
        done.append(entry.name)
        if len(done) == 2:
            raise KeyboardInterrupt
        return solve(entry, *args)

    monkeypatch.setattr(scf, "solve", interrupted)
    with pytest.raises(KeyboardInterrupt):
        reference.run(xyz, config().reference, out)
    assert not out.exists()
    reference.run(xyz, config().reference, out)
    assert done == ["water", "ammonia", "ammonia"]
    assert [r.name for r in read_records(out)] == ["water", "ammonia"]


@pytest.mark.slow
def test_failed_reference_is_kept_with_its_reason_and_reaches_every_table(tmp_path):
    out = tmp_path / "failed.h5"
    xyz = xyz_of(["methane", "lithium fluoride"], tmp_path / "failed.xyz")
    # 6 cycles are enough for methane (5) and not for LiF (7)
    settings = config(max_cycle=6, max_failed_fraction=0.6, conv_tol=1e-7, conv_tol_grad=1e-3)
    reference.run(xyz, settings.reference, out)
    failures = read_failures(out)
    if len(failures) != 1:
        pytest.fail(f"the test needs one converged and one failed molecule, not {failures}")
    (name,) = failures
    assert "not converged" in failures[name]["reason"]
    solved, csv = tmp_path / "scf.h5", tmp_path / "warm.csv"
    evaluate.run("pbe", settings.evaluation.scf, out, solved)
    with open_chunk(solved, stage="scf") as f:
        assert f[name].attrs["status"] == "failed"
    warmstart.run("pbe", settings.evaluation.scf, True, out, solved, csv)
    line = next(line for line in csv.read_text().splitlines() if name in line)
    assert "False" in line
    with pytest.raises(UserError, match=name):
        reference.run(xyz, settings.reference.model_copy(update={"max_failed_fraction": 0.1}), out)


def test_products_with_probes_above_the_dense_size(water):
    """The two ways to store a Hessian agree, and training takes either."""
    record, dense = water
    stored = compute(record, Derivatives(max_dense_pairs=10, n_probes=5, n_states=3))
    assert "a_plus_b" not in stored
    a_plus_b = unpack(dense["a_plus_b"])
    products = stored["probes"].reshape(5, -1) @ (4 * a_plus_b)
    assert (
        np.abs(products - stored["hessian_probes"].reshape(5, -1)).max() < 2e-5
    )  # float32 storage, quadrature
    assert np.abs(stored["tddft_energies"] - dense["tddft_energies"]).max() < 1e-6
    for arrays in (dense, stored):
        entry = TrainingMolecule(record, arrays, grid_level=0, hessian_grid_level=0)
        probes, target = entry.probes(4, "diagonal", np.random.default_rng(0))
        expected = probes.reshape(4, -1) @ (4 * a_plus_b)
        assert np.abs(target.reshape(4, -1) - expected).max() < 2e-5
        # the metric makes probes of unit size in D: their mean square is near one
        assert 0.5 < np.mean(probes**2 * entry.metric_diagonal) < 2


def test_stored_products_are_those_of_the_stored_probes(water):
    """Rounding of the probes costs no accuracy of the targets, and a large molecule stays small on disk."""
    record, _ = water
    stored = compute(record, Derivatives(max_dense_pairs=0, n_probes=16, n_states=4))
    exact = OrbitalRotations(record.with_orbitals(record.mean_field())).hvp(stored["probes"].astype(float))
    assert np.abs(stored["hessian_probes"] - exact).max() < 3e-7 * np.abs(exact).max()
    pairs = stored["probes"][0].size
    # 16 probes in float16, their products and 4 states (X + Y twice, X - Y) in float32; 4224 pairs are typical of
    # 9 heavy atoms: 0.6 MB
    assert sum(array.nbytes for array in stored.values()) < 1.02 * (16 * 6 + 4 * 12) * pairs


def test_density_matrix_is_that_of_the_orbitals(water):
    record, _ = water
    assert abs(np.vdot(record.dm, record.mol.intor("int1e_ovlp")) - record.n_electrons) < 1e-10


def test_pack_is_lossless_in_float32():
    matrix = np.random.default_rng(0).standard_normal((7, 7))
    matrix += matrix.T
    assert np.array_equal(unpack(pack(matrix)), matrix.astype(np.float32))


def test_metrics_vanish_for_the_reference_itself(chunk, capsys):
    """B3LYP through dixc reproduces PySCF's B3LYP: every error is zero."""
    record = read_records(chunk)[0]
    with logged_lines():
        arrays, metrics = scf_of_molecule(record, "b3lyp", conv_tol=1e-11)
    assert metrics["converged"]
    assert abs(metrics["e_tot_error_mEh"]) < 1e-4
    assert abs(metrics["e_rho_mEh"]) < 1e-4
    assert metrics["dipole_error_debye"] < 1e-4
    assert metrics["l2_density"] < 1e-5
    assert metrics["fock_builds"] >= metrics["cycles"]
    assert arrays["mo_coeff"].shape == record.mo_coeff.shape
    # every cycle is kept: the energy goes down to the reference's, the gradient to the threshold
    energies, gradients = arrays["scf_energies"], arrays["scf_gradients"]
    assert len(energies) == len(gradients) == metrics["cycles"]
    assert abs(energies[-1] - record.e_tot) < 1e-7
    assert gradients[-1] < 1e-4 < gradients[0]
    assert f"water: converged in {metrics['cycles']} cycles" in capsys.readouterr().out


def test_pbe_water_has_known_errors(chunk):
    """PBE's density of water, measured by B3LYP, is a fraction of a millihartree off; its dipole is close."""
    record = read_records(chunk)[0]
    _, metrics = scf_of_molecule(record, "pbe")
    assert 0.05 < metrics["e_rho_mEh"] < 1
    assert metrics["dipole_error_debye"] < 0.3
    assert 20 < metrics["e_tot_error_mEh"] < 200


def test_an_scf_that_fails_leaves_its_cycles_in_the_log(chunk, capsys):
    record = read_records(chunk)[0]
    with logged_lines():
        arrays, metrics = scf_of_molecule(record, "pbe", max_cycle=2)
    assert not metrics["converged"]
    log = capsys.readouterr().out
    assert "water: NOT CONVERGED in 2 cycles" in log
    assert f"cycle   2  E = {arrays['scf_energies'][1]:.8f} Eh" in log


def test_warm_start_rows_keep_their_cycles(chunk):
    record = read_records(chunk)[0]
    row, _ = guess_row(record, "minao", None, EvaluationScf())
    gradients = [float(word) for word in row["scf_gradients"].split()]
    assert len(gradients) == row["cycles"] == len(row["scf_energies"].split())
    assert gradients[-1] < 1e-3 < gradients[0]


def test_states_are_matched_by_character():
    rng = np.random.default_rng(0)
    target = np.linalg.qr(rng.standard_normal((12, 3)))[0].T.reshape(3, 4, 3)
    swapped = -target[[2, 0, 1]] + 0.01 * rng.standard_normal((3, 4, 3))
    assert list(match(swapped, target)) == [1, 2, 0]


def test_fitted_integrals_move_excitations_by_less_than_a_millielectronvolt():
    record, _ = reference_record("ammonia")
    mf = record.mean_field(registry.create("pbe"))
    mf.kernel()
    assert mf.converged
    fitted = solved_mean_field(record, mf.functional, vars(mf), True)
    assert fitted.with_df is not None
    exact, other = (ResponseSolver(each).solve(4, "tddft", conv_tol=1e-4).energies for each in (mf, fitted))
    assert 1e-8 < np.abs(exact - other).max() < 1e-3 / 27.2


def test_tddft_rows_of_the_reference_itself(water):
    record, arrays = water
    mf = record.with_orbitals(record.mean_field())
    found = Excitations(arrays["tddft_energies"], arrays["tddft_amplitudes"], np.ones(3, dtype=bool))
    rows = compare(record, mf, found, found, 3)
    assert [row["state"] for row in rows] == [1, 2, 3]
    assert all(row["error_eV"] == 0 and row["overlap_error_eV"] == 0 for row in rows)
    assert 6 < rows[0]["reference_eV"] < 9
    # water's second singlet (B1 <- A2) is dark by symmetry, the others are not
    strengths = [row["oscillator_strength"] for row in rows]
    assert strengths == [row["reference_strength"] for row in rows]
    assert strengths[1] < 1e-6 < 1e-2 < strengths[0] < strengths[2]
    assert all(not row["converged"] for row in compare(record, mf, None, found, 3))


@pytest.mark.slow
def test_large_test_molecules_have_no_excitations(chunk, tmp_path):
    settings = config(states_max_heavy=0)
    known, solved, out = (tmp_path / name for name in ("d.h5", "s.h5", "t.csv"))
    derivatives.run(chunk, settings.derivatives, known)
    with open_chunk(known, stage="derivatives") as file:
        assert [(name, list(group)) for name, group in file.items()] == [("water", []), ("ammonia", [])]
    evaluate.run("lda", settings.evaluation.scf, chunk, solved)
    tddft.run("lda", settings.evaluation.tddft, chunk, known, solved, out)
    assert len(read_table(out, "tddft", of_part=True)) == 0


def test_training_refuses_a_molecule_without_hessian(chunk, tmp_path):
    out = tmp_path / "d.h5"
    derivatives.run(chunk, Derivatives(), out)  # test molecules: excitations only
    with pytest.raises(UserError, match="no Hessian"):
        ChunkedMolecules([chunk], [out], 0, 0)


def test_reference_record_of_conftest_is_converged():
    record, _ = reference_record("methane")
    assert np.linalg.norm(OrbitalRotations(record.with_orbitals(record.mean_field())).gradient()) < 1e-5

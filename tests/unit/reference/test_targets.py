"""Functionals and bases that can be a reference: each through the stages, against PySCF's own results."""

from __future__ import annotations

import numpy as np
import pytest
from small_references import REFERENCE

from dixc.config import validate
from dixc.config.base import TERMS_OF_LOSS
from dixc.config.sections import Derivatives
from dixc.errors import UserError
from dixc.functionals import registry
from dixc.grassmann import OrbitalRotations
from dixc.molecules import Molecule, write_xyz
from dixc.pyscf.exchange import exchange_fraction
from dixc.reference.derivatives import compute
from dixc.reference.method import check_functional
from dixc.reference.packing import unpack
from dixc.reference.record import ENERGY_NAMES, read_records
from dixc.stages import derivatives, evaluate, reference, tddft, warmstart
from dixc.store import open_chunk
from dixc.training import terms
from dixc.training.chunks import ChunkedMolecules
from dixc.training.model_scf import solve
from dixc.training.sinks import GradientSink

HYDROGEN_FLUORIDE = Molecule("hf", ("H", "F"), [[0, 0, 0], [0.1, 0.2, 0.89]], split="train")
IODIDE = Molecule("hydrogen-iodide", ("H", "I"), [[0, 0, 0], [0, 0, 1.6]])
DERIVATIVES = {"max_dense_pairs": 3000, "n_probes": 2, "n_states": 3}


def config(functional, basis="def2-svp", **changes):
    molecules = {
        "files": ["none.xyz"],
        "train": {"count": 1, "max_heavy": 4},
        "validation": {"count": 1, "max_heavy": 4},
        "test": {"names": ["hf"]},
    }
    chosen = REFERENCE | {"conv_tol": 1e-12, "functional": functional, "basis": basis}
    return validate({"molecules": molecules, "reference": chosen, "derivatives": DERIVATIVES, **changes})


def computed(folder, settings, molecule=HYDROGEN_FLUORIDE):
    """Reference and derivative chunks of one molecule."""
    write_xyz(folder / "a.xyz", [molecule])
    reference.run(folder / "a.xyz", settings.reference, folder / "a.h5")
    derivatives.run(folder / "a.h5", settings.derivatives, folder / "d.h5")
    return folder / "a.h5", folder / "d.h5"


def pyscf_result(functional, basis):
    """Converged mean field and its lowest singlet, hartree, by PySCF alone."""
    from pyscf import dft, scf

    mol = HYDROGEN_FLUORIDE.to_pyscf(basis)
    mf = scf.RHF(mol) if functional == "hf" else dft.RKS(mol, xc=functional)
    if functional != "hf":
        mf.grids.level, mf.small_rho_cutoff = REFERENCE["grid_level"], 0
    mf.conv_tol, mf.conv_tol_grad = 1e-12, 1e-7
    mf.kernel()
    td = mf.TDHF() if functional == "hf" else mf.CasidaTDDFT() if functional == "pbe" else mf.TDDFT()
    td.conv_tol, td.nstates = 1e-8, 3
    td.kernel()
    return mf, td.e[0]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("functional", "basis", "fraction"),
    [
        ("PBE0", "def2-svp", 0.25),
        ("B3LYP5", "6-31G(d)", 0.2),
        ("b3lypg", "sto-3g", 0.2),
        ("TPSSh", "def2-svp", 0.1),
        ("pbe0", "def2-tzvp", 0.25),
        ("hf", "6-31G(d)", 1.0),
        ("pbe", "def2-svp", 0.0),
    ],
)
def test_a_target_agrees_with_pyscf(tmp_path, functional, basis, fraction):
    chunk, known = computed(tmp_path, config(functional, basis))
    (record,) = read_records(chunk)
    assert exchange_fraction(record.mean_field()) == pytest.approx(fraction, abs=1e-12)
    mf, lowest = pyscf_result(functional, basis)
    with open_chunk(chunk, stage="reference") as file:
        parts = dict(zip(ENERGY_NAMES, file["hf"]["energies"], strict=True))
    assert parts["e_tot"] == pytest.approx(mf.e_tot, abs=1e-8)
    assert sum(parts.values()) - parts["e_tot"] == pytest.approx(parts["e_tot"], abs=1e-9)
    semilocal = 0.0 if functional == "hf" else mf.scf_summary["exc"] - parts["e_exact_exchange"]
    assert parts["e_xc"] == pytest.approx(semilocal, abs=1e-6)
    with open_chunk(known, stage="derivatives") as file:
        assert file["hf"]["tddft_energies"][0] == pytest.approx(lowest, abs=1e-6)
        plus = unpack(np.array(file["hf"]["a_plus_b"]))
    rotations = OrbitalRotations(record.with_orbitals(record.mean_field()))
    kappa = np.random.default_rng(0).standard_normal((record.mo_occ == 0).sum() * 5).reshape(-1, 5)
    np.testing.assert_allclose(rotations.hvp(kappa).ravel(), 4 * plus @ kappa.ravel(), atol=1e-4)


def test_large_molecules_of_a_hartree_fock_target_get_probes_and_iterated_states(tmp_path):
    chunk, known = computed(tmp_path, config("hf", "6-31g"))
    (record,) = read_records(chunk)
    found = compute(record, Derivatives(**DERIVATIVES | {"max_dense_pairs": 0}))
    with open_chunk(known, stage="derivatives") as file:
        plus = unpack(np.array(file["hf"]["a_plus_b"]))
        for method in ("tddft", "tda"):
            energies = np.array(file["hf"][f"{method}_energies"])
            np.testing.assert_allclose(found[f"{method}_energies"], energies, atol=1e-5)
    probes, products = (found[key].reshape(2, -1) for key in ("probes", "hessian_probes"))
    np.testing.assert_allclose(products, 4 * probes @ plus, atol=1e-4)


@pytest.mark.slow
def test_all_later_stages_cope_with_a_hartree_fock_target(tmp_path):
    settings = config("hf", "6-31g")
    chunk, known = computed(tmp_path, settings)
    scf, warm, states = (tmp_path / name for name in ("scf.h5", "warm.csv", "states.csv"))
    evaluate.run("pbe", settings.evaluation.scf, chunk, scf)
    with open_chunk(scf, stage="scf") as file:
        assert file["hf"].attrs["converged"]
        assert 1 < file["hf"].attrs["e_rho_mEh"] < 50
    warmstart.run_default_guess(settings.evaluation.scf, chunk, warm)
    assert "hf,none,0,train,hf,1,True,minao" in warm.read_text()
    warmstart.run("pbe", settings.evaluation.scf, True, chunk, scf, warm)
    assert "pbe,none,0,train,hf,1,True,density" in warm.read_text()
    tddft.run("pbe", settings.evaluation.tddft, chunk, known, scf, states)
    assert "pbe,none,0,train,hf,1,True,tddft,1," in states.read_text()


@pytest.mark.slow
def test_training_terms_of_a_hartree_fock_target(tmp_path):
    settings = config("hf", "6-31g")
    chunk, known = computed(tmp_path, settings)
    molecule = ChunkedMolecules([chunk], [known], 0, 0)["hf"]
    functional, training = registry.create("xcdiff"), settings.training
    point = solve(molecule, functional, None, 1e-4)
    assert point.converged
    sink, rng = GradientSink(), np.random.default_rng(0)
    values = terms.evaluate(TERMS_OF_LOSS["hess"], molecule, functional, training, point, rng, sink)
    assert all(np.isfinite(value.weighted) and value.raw > 0 for value in values)
    slopes = [p.grad for p in functional.parameters() if p.grad is not None]
    assert slopes
    assert all(bool(slope.isfinite().all()) for slope in slopes)


@pytest.mark.parametrize(
    ("functional", "reason"),
    [
        ("wb97x", "range-separated"),
        ("camb3lyp", "range-separated"),
        ("HSE06", "range-separated"),
        ("0.8*PBE + 0.2*SR_HF(0.3), PBE", "range-separated"),
        ("wb97m-v", "non-local correlation"),
        ("wb97m_v", "non-local correlation"),
        ("b97m-v", "non-local correlation"),
        ("rvv10", "PySCF has no functional"),
        ("b3lyp-d3bj", r"dispersion correction \(d3bj\)"),
        ("b2plyp", "PySCF has no functional"),
        ("wb97m(2)", "PySCF has no functional"),
        ("b3lypp", "PySCF has no functional"),
        ("mgga_x_br89", "Laplacian"),
        (" ,", "PySCF has no functional"),
    ],
)
def test_what_cannot_be_followed_is_refused(tmp_path, functional, reason):
    write_xyz(tmp_path / "a.xyz", [HYDROGEN_FLUORIDE])
    with pytest.raises(UserError, match=reason) as caught:
        reference.run(tmp_path / "a.xyz", config(functional).reference, tmp_path / "out" / "a.h5")
    assert str(caught.value).startswith("reference.functional: ")
    assert repr(functional) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists(), "nothing half-written"


@pytest.mark.parametrize(
    "functional", ["b3lyp", "B3LYPG", "tpssh", "scan0", "m06l", "lda,vwn", "0.3*HF + 0.7*PBE, PBE"]
)
def test_what_can_be_followed_is_let_through(functional):
    check_functional(functional)


@pytest.mark.parametrize(
    ("basis", "molecule", "reason"),
    [
        ("def2-tzvp", IODIDE, "def2-tzvp of I goes with an effective core potential"),
        ("lanl2dz", IODIDE, "lanl2dz of I goes with an effective core potential"),
        ("ccecp-ccpvdz", HYDROGEN_FLUORIDE, "ccecp-ccpvdz of F, H goes with an effective core potential"),
        ("6-31G(d)", IODIDE, r"PySCF has no basis '6-31G\(d\)' for it"),
    ],
)
def test_bases_that_need_a_core_potential_or_are_missing_are_refused(tmp_path, basis, molecule, reason):
    write_xyz(tmp_path / "a.xyz", [molecule])
    with pytest.raises(UserError, match=reason):
        reference.run(tmp_path / "a.xyz", config("b3lyp", basis).reference, tmp_path / "out" / "a.h5")
    assert not (tmp_path / "out").exists(), "nothing half-written"

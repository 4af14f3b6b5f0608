"""dixc's mean fields in the hands of somebody who treats them as PySCF's: forces, frequencies, conversions, copies."""

from __future__ import annotations

import pickle
import warnings

import numpy as np
import pytest
from pyscf import dft, gto, scf
from pyscf.pbc import gto as pbc_gto

import dixc
import dixc.pyscf
from dixc.errors import DixcWarning, UserError
from dixc.functionals.files import save
from dixc.models import DEFAULT

WATER = "O 0 0 0.1178; H 0 0.7555 -0.4712; H 0 -0.7555 -0.4712"
STEP = 1e-3  # bohr; halved and doubled it changes the finite differences below by less than 1e-6


def water(basis: str = "6-31g", **changes):
    return gto.M(atom=WATER, basis=basis, verbose=0, **changes)


def solved(mf, level: int = 3, dm0=None):
    mf.conv_tol = 1e-11
    if mf.grids.coords is None:
        mf.grids.level = level
    mf.kernel(dm0)
    assert mf.converged
    return mf


def displaced(mol, atom: int, axis: int, step: float):
    coords = mol.atom_coords()
    coords[atom, axis] += step
    return mol.set_geom_(coords, unit="bohr", inplace=False)


# --- nuclear derivatives


@pytest.mark.slow
@pytest.mark.parametrize("xc", ["pbe", "r2scan"])
@pytest.mark.parametrize(("ours", "theirs"), [(dixc.pyscf.RKS, dft.RKS), (dixc.pyscf.UKS, dft.UKS)])
@pytest.mark.parametrize("fit", [False, True])
def test_nuclear_hessian_is_that_of_pyscf(ours, theirs, xc, fit):
    mfs = [cls(water(), xc=xc) for cls in (ours, theirs)]
    mfs = [solved(mf.density_fit() if fit else mf, 0) for mf in mfs]
    own, pyscf = (mf.Hessian().kernel() for mf in mfs)
    assert np.abs(own - pyscf).max() < 1e-8


@pytest.mark.slow
def test_nuclear_hessian_of_an_open_shell_is_that_of_pyscf():
    mol = gto.M(atom="N 0 0 0; H 0 .8 .63; H 0 -.8 .63", spin=1, basis="6-31g", verbose=0)
    own, pyscf = (solved(cls(mol, xc="r2scan"), 0).Hessian().kernel() for cls in (dixc.pyscf.UKS, dft.UKS))
    assert np.abs(own - pyscf).max() < 1e-7


@pytest.mark.slow
@pytest.mark.parametrize("cls", [dixc.pyscf.RKS, dixc.pyscf.UKS])
def test_nuclear_hessian_of_a_learned_functional_is_the_slope_of_its_forces(cls):
    """PySCF's Hessian is the exact second derivative on a grid that stays where it is."""
    mf = solved(cls(water(), xc=DEFAULT), 1)
    column = mf.Hessian().kernel()[2, :, 1]
    forces = []
    for step in (STEP, -STEP):
        moved = cls(displaced(mf.mol, 2, 1, step), xc=DEFAULT)
        moved.grids = mf.grids
        gradients = solved(moved, 1, mf.make_rdm1()).nuc_grad_method()
        forces.append(gradients.set(grid_response=False).kernel())
    assert np.abs(column - (forces[0] - forces[1]) / (2 * STEP)).max() < 2e-4


@pytest.mark.slow
@pytest.mark.parametrize("cls", [dixc.pyscf.RKS, dixc.pyscf.UKS])
@pytest.mark.parametrize("fit", [False, True])
@pytest.mark.parametrize("level", [1, 3])
def test_forces_of_a_learned_functional_are_the_slope_of_its_energy(cls, fit, level):
    def mean_field(mol):
        mf = cls(mol, xc=DEFAULT)
        return mf.density_fit() if fit else mf

    mf = solved(mean_field(water()), level)
    force = mf.nuc_grad_method().kernel()
    assert np.abs(force.sum(axis=0)).max() < 1e-5
    energies = [
        solved(mean_field(displaced(mf.mol, 1, 1, step)), level, mf.make_rdm1()).e_tot
        for step in (STEP, -STEP)
    ]
    assert force[1, 1] == pytest.approx((energies[0] - energies[1]) / (2 * STEP), abs=1e-5)


def test_forces_of_a_classical_functional_are_pyscfs_default():
    mfs = [solved(cls(water(), xc="pbe"), 0) for cls in (dixc.pyscf.RKS, dft.RKS)]
    own, pyscf = (mf.nuc_grad_method().kernel() for mf in mfs)
    assert np.abs(own - pyscf).max() < 1e-8


@pytest.mark.slow
def test_geometry_of_formaldehyde_converges():
    geometric = pytest.importorskip("pyscf.geomopt.geometric_solver", reason="needs geometric")
    mol = gto.M(atom="O 0 0 1.2; C 0 0 0; H 0 .94 -.58; H 0 -.94 -.58", basis="6-31g", verbose=0)
    mf = dixc.pyscf.RKS(mol, xc=DEFAULT)
    mf.grids.level = 1
    converged, relaxed = geometric.kernel(mf, maxsteps=15)
    assert converged
    bond = np.linalg.norm(np.subtract(*relaxed.atom_coords(unit="Angstrom")[:2]))
    assert 1.15 < bond < 1.30


@pytest.mark.slow
def test_what_has_no_nuclear_derivatives_says_so():
    mf = dixc.pyscf.RKS(water(), xc=dixc.create("egxc"))
    for derivative in (mf.nuc_grad_method, mf.Gradients, mf.Hessian, mf.density_fit().nuc_grad_method):
        with pytest.raises(UserError, match="egxc: no nuclear derivatives"):
            derivative()
    mf = solved(dixc.pyscf.RKS(water(), xc="pbe"), 0)
    excited = mf.TDA().set(nstates=1)
    excited.kernel()
    with pytest.raises(UserError, match="no gradients of excited states"):
        excited.nuc_grad_method().kernel()


# --- density fitting


@pytest.mark.slow
@pytest.mark.parametrize("basis", ["sto-3g", "6-31g", "cc-pvdz", "def2-svp", {"O": "def2-svp", "H": "6-31g"}])
@pytest.mark.parametrize("cls", [dixc.pyscf.RKS, dixc.pyscf.UKS])
def test_density_fitting_in_any_basis(cls, basis):
    mol = water(basis)
    fitted = cls(mol, xc=DEFAULT).density_fit()
    exact = cls(mol, xc=DEFAULT)
    fitted.grids.level = exact.grids.level = 0
    assert fitted.kernel() == pytest.approx(exact.kernel(), abs=1e-3)  # sto-3g: 0.4 mEh, PBE in PySCF too
    assert fitted.undo_df().xc == DEFAULT


@pytest.mark.parametrize("xc", ["nnmgga", "skala-mgga", "xcdiff", "b3lyp"])
def test_fitting_basis_is_pyscfs_for_the_same_amount_of_exchange(xc):
    functional = dixc.create(xc)
    ours = dixc.pyscf.RKS(water("def2-svp"), xc=functional).density_fit()
    theirs = dft.RKS(water("def2-svp"), xc="b3lyp" if xc == "b3lyp" else "pbe").density_fit()
    assert ours.with_df.auxbasis == theirs.with_df.auxbasis


@pytest.mark.slow
@pytest.mark.parametrize("cls", [dixc.pyscf.RKS, dixc.pyscf.UKS])
def test_fitted_hessian_of_second_order_scf_and_seminumerical_exchange(cls):
    exact = solved(cls(water(), xc=DEFAULT), 0).e_tot
    solver = cls(water(), xc=DEFAULT).newton().density_fit()
    assert solved(solver, 0).e_tot == pytest.approx(exact, abs=1e-8)
    assert type(solver.undo_soscf()) is cls
    assert solved(cls(water(), xc=DEFAULT).COSX(), 0).e_tot == pytest.approx(exact, abs=1e-4)


# --- the functional of a mean field


@pytest.mark.slow
def test_default_functional_is_the_shipped_one():
    mf = dixc.pyscf.RKS(water())
    assert mf.xc == DEFAULT
    assert mf.functional.metadata
    assert abs(dixc.pyscf.UKS(water()).kernel() - mf.kernel()) < 1e-7


@pytest.mark.slow
def test_untrained_weights_are_warned_of_once():
    for name in ("xcdiff", "nnmgga", "skala-mgga", "egxc"):
        functional = dixc.create(name)
        with pytest.warns(DixcWarning, match=f"{name}: its weights are untrained"):
            dixc.pyscf.RKS(water(), xc=functional)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            dixc.pyscf.UKS(water(), xc=functional)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        dixc.pyscf.RKS(water(), xc="r2scan")
        dixc.pyscf.RKS(water(), xc=DEFAULT)
        changed = dixc.create("xcdiff")
        next(changed.parameters()).data += 1e-3
        dixc.pyscf.RKS(water(), xc=changed)


@pytest.mark.slow
def test_warnings_point_at_the_users_line():
    mol = water()
    for warned in (
        lambda: dixc.pyscf.RKS(mol, xc="xcdiff"),
        lambda: dixc.pyscf.UKS(mol, xc="nnmgga"),
        lambda: dixc.pyscf.RKS(mol, xc="pbe").to_rks("xcdiff"),
        lambda: dixc.pyscf.RKS(mol, xc="pbe").set(xc="xcdiff"),
        lambda: dixc.pyscf.UKS(mol, xc="pbe").to_uks("xcdiff"),
        lambda: dixc.pyscf.accelerate(dft.RKS(mol, xc="b3lyp"), xc="xcdiff").kernel(),
    ):
        with pytest.warns(DixcWarning, match="untrained") as caught:
            warned()
        assert [(line.filename, line.lineno) for line in caught] == [
            (__file__, warned.__code__.co_firstlineno)
        ]


def test_untrained_weights_in_single_precision_or_from_a_file(tmp_path):
    save(dixc.create("xcdiff"), tmp_path / "model.pt", {"note": "not trained"})
    for xc in (dixc.create("xcdiff").float(), tmp_path / "model.pt"):
        with pytest.warns(DixcWarning, match="untrained"):
            dixc.pyscf.RKS(water(), xc=xc)


@pytest.mark.slow
def test_another_molecule_is_looked_at_too():
    other = gto.M(atom="S 0 0 0; H 0 .97 .93; H 0 -.97 .93", basis="sto-3g", verbose=0)
    for change in ("reset", "as_scanner"):
        mf = dixc.pyscf.RKS(water("sto-3g"), xc=dixc.load(DEFAULT))
        with pytest.warns(DixcWarning, match="used for S:"):
            mf.reset(other).kernel() if change == "reset" else mf.as_scanner()(other)
    radical = gto.M(atom="O 0 0 0; H 0 0 .97", spin=1, basis="sto-3g", verbose=0)
    mf = dixc.pyscf.RKS(water("sto-3g"), xc="pbe")
    for solve in (lambda: mf.copy().reset(radical).kernel(), lambda: mf.as_scanner()(radical)):
        with pytest.raises(UserError, match="closed shell"):
            solve()


def test_elements_are_warned_of_by_the_models_name_and_ghosts_are_none():
    mol = gto.M(atom="He 0 0 0; ghost-F 0 0 2; X-Ne 0 0 4", basis="6-31g", verbose=0)
    with pytest.warns(DixcWarning, match=f"{DEFAULT}: trained on H, C, N, O only, used for He:"):
        dixc.pyscf.RKS(mol, xc=dixc.load(DEFAULT))


@pytest.mark.slow
def test_functional_can_be_replaced():
    mf = dixc.pyscf.RKS(water(), xc=DEFAULT)
    twin = mf.copy()
    mf.xc = "pbe"
    assert (mf.xc, twin.xc) == ("pbe", DEFAULT)
    assert solved(mf, 1).e_tot == pytest.approx(solved(dft.RKS(water(), xc="pbe"), 1).e_tot, abs=1e-8)
    mf.xc = dixc.load(DEFAULT)
    assert mf.xc == DEFAULT
    mf.xc = mf.xc
    with pytest.raises(UserError, match="no-such"):
        mf.xc = "no-such"
    assert mf.xc == DEFAULT
    with pytest.raises(UserError, match="m06"):
        dixc.pyscf.UKS(water(), xc="pbe").set(xc="m06")


@pytest.mark.parametrize("xc", [None, "", " ", 0, 1.5, True, b"pbe", ["pbe"]])
def test_what_names_no_functional_is_refused(xc):
    mf = dixc.pyscf.RKS(water(), xc="pbe")
    for assign in (lambda: dixc.pyscf.RKS(water(), xc=xc), lambda: mf.set(xc=xc)):
        with pytest.raises(UserError, match="a functional, its name or a model file"):
            assign()
    assert mf.xc == "pbe"


@pytest.mark.slow
@pytest.mark.parametrize("name", ["mine-d3bj", "net-d4-hess-0", "wb97x-d4", "mine-3c", "wb97x-3c", "wb97m-v"])
def test_no_dispersion_by_the_name_of_a_functional(name):
    functional = dixc.create("pbe")
    functional.name = name
    for cls in (dixc.pyscf.RKS, dixc.pyscf.UKS):
        mf = solved(cls(water(), xc=functional), 0)
        assert mf.e_tot == pytest.approx(solved(dft.RKS(water(), xc="pbe"), 0).e_tot, abs=1e-8)
        assert np.isfinite(mf.nuc_grad_method().kernel()).all()


def test_dispersion_and_nonlocal_correlation_that_are_asked_for():
    pytest.importorskip("pyscf.dispersion", reason="needs pyscf-dispersion")
    own, pyscf = (cls(water(), xc="pbe").set(disp="d3bj") for cls in (dixc.pyscf.RKS, dft.RKS))
    assert solved(own, 0).e_tot == pytest.approx(solved(pyscf, 0).e_tot, abs=1e-8)
    with pytest.raises(UserError, match="no nonlocal correlation"):
        dixc.pyscf.UKS(water(), xc="pbe").set(nlc="vv10").kernel()


def test_density_rows_of_any_layout():
    """Rows are told by their number; PySCF puts the Laplacian, where there is one, before tau."""
    numint = dixc.pyscf.RKS(water(), xc="r2scan")._numint
    rng = np.random.default_rng(0)
    rho = np.abs(rng.normal(size=(2, 5, 30))) + 0.1
    rho[:, 4] += (rho[:, 1:4] ** 2).sum(1) / (8 * rho[:, 0])  # tau is never less than that of one orbital
    with_laplacian = np.insert(rho, 4, rng.normal(size=(2, 30)), axis=1)
    theirs = dft.numint.NumInt()
    for rows, longer in ((rho, with_laplacian), (rho.sum(0), with_laplacian.sum(0))):
        for given in (rows, longer):
            own, pyscf = numint.eval_xc_eff("", given, 2), theirs.eval_xc_eff("r2scan", given, 2)
            for a, b in zip(own[:3], pyscf[:3], strict=True):
                assert np.allclose(a, b, rtol=1e-8, atol=1e-8)
    with pytest.raises(ValueError, match="MGGA has 5 rows"):
        numint.eval_xc_eff("", rho[:, :4])


# --- conversions and copies


@pytest.mark.slow
@pytest.mark.parametrize("fit", [False, True])
def test_conversions_between_restricted_and_unrestricted(fit):
    mf = dixc.pyscf.RKS(water(), xc=DEFAULT)
    mf = solved(mf.density_fit() if fit else mf, 1)
    unrestricted = mf.to_uks()
    assert isinstance(unrestricted, dixc.pyscf.UKS)
    assert unrestricted.functional is mf.functional
    assert np.allclose(unrestricted.make_rdm1().sum(0), mf.make_rdm1())
    assert unrestricted.energy_tot() == pytest.approx(mf.e_tot, abs=1e-9)
    restricted = unrestricted.to_rks()
    assert isinstance(restricted, dixc.pyscf.RKS)
    assert restricted.energy_tot() == pytest.approx(mf.e_tot, abs=1e-9)
    other = mf.to_rks(xc="pbe")
    assert (other.xc, mf.xc, other.converged) == ("pbe", DEFAULT, False)
    assert other.kernel() == pytest.approx(unrestricted.to_rks("pbe").kernel(), abs=1e-8)
    assert "UHF" in type(mf.to_uhf()).__name__
    assert mf.to_ghf().mo_coeff.shape[0] == 2 * mf.mol.nao
    for conversion in (mf.to_gks, mf.to_gpu):
        with pytest.raises(UserError):
            conversion()
    cation = dixc.pyscf.UKS(water(charge=1, spin=1), xc="pbe")
    with pytest.raises(UserError, match="open shell"):
        cation.to_rks()


@pytest.mark.slow
@pytest.mark.parametrize("layer", ["density_fit", "PCM", "x2c"])
def test_conversions_leave_second_order_scf_behind(layer):
    def mean_field():
        return getattr(dixc.pyscf.RKS(water(), xc=DEFAULT), layer)()

    energy = solved(mean_field(), 0).e_tot
    solver = solved(mean_field().newton(), 0)
    for newton in (solver, scf.newton(solver.undo_soscf())):
        unrestricted = newton.to_uks()
        assert solved(unrestricted, 0).e_tot == pytest.approx(energy, abs=1e-8)
        assert solved(unrestricted.newton().to_rks(), 0).e_tot == pytest.approx(energy, abs=1e-8)


def test_checkpoint_of_an_unrestricted_solution_as_a_guess():
    unrestricted = solved(dixc.pyscf.UKS(water(), xc="pbe"), 0)
    mf = dixc.pyscf.RKS(water(), xc="pbe").set(chkfile=unrestricted.chkfile, init_guess="chkfile")
    assert solved(mf, 0).e_tot == pytest.approx(unrestricted.e_tot, abs=1e-8)


@pytest.mark.slow
@pytest.mark.parametrize("cls", [dixc.pyscf.RKS, dixc.pyscf.UKS])
def test_pickle(cls):
    mf = solved(cls(water(), xc=DEFAULT), 0)
    again = pickle.loads(pickle.dumps(mf))
    assert (again.xc, again.e_tot) == (mf.xc, mf.e_tot)
    assert again.energy_tot() == pytest.approx(mf.e_tot, abs=1e-9)


# --- what has no such density


@pytest.mark.parametrize("cls", [dixc.pyscf.RKS, dixc.pyscf.UKS])
def test_periodic_cells_models_and_crowds_are_refused(cls):
    cell = pbc_gto.Cell(atom="He 0 0 0", a=np.eye(3) * 4, basis="gth-szv", pseudo="gth-pade", verbose=0)
    model = gto.M(verbose=0)
    model.nelectron = 2
    crowd = gto.M(atom="He 0 0 0", charge=-2, basis="sto-3g", verbose=0)
    unbuilt = gto.Mole(atom=WATER, basis="sto-3g")
    for mol, message in (
        (cell.build(), "periodic"),
        (model, "without atoms"),
        (crowd, "4 electrons"),
        (unbuilt, "not built"),
        (WATER, "molecule of PySCF"),
        (None, "not None"),
    ):
        with pytest.raises(UserError, match=message):
            cls(mol, xc="pbe")


def test_occupations_of_irreps_are_refused():
    mol = gto.M(atom="N 0 0 0; N 0 0 1.1", symmetry=True, basis="sto-3g", verbose=0)
    for cls in (dixc.pyscf.RKS, dixc.pyscf.UKS):
        mf = cls(mol, xc="pbe")
        mf.irrep_nelec = {"A1g": 6, "A1u": 4, "E1ux": 4}
        with pytest.raises(UserError, match="irrep_nelec"):
            mf.kernel()


@pytest.mark.slow
def test_smearing_is_pyscfs_and_has_no_response():
    mol = gto.M(atom="H 0 0 0; H 0 0 2", basis="6-31g", verbose=0)
    for ours, theirs in ((dixc.pyscf.RKS, dft.RKS), (dixc.pyscf.UKS, dft.UKS)):
        own, pyscf = (scf.addons.smearing(cls(mol, xc="pbe"), sigma=0.05) for cls in (ours, theirs))
        assert solved(own, 0).e_tot == pytest.approx(solved(pyscf, 0).e_tot, abs=1e-8)
        for response in (own.gen_response, own.Hessian().kernel):
            with pytest.raises(UserError, match="occupations"):
                response()


@pytest.mark.slow
@pytest.mark.parametrize("cls", [dixc.pyscf.RKS, dixc.pyscf.UKS])
def test_no_electrons_and_no_virtual_orbitals(cls):
    proton = cls(gto.M(atom="H 0 0 0", charge=1, basis="6-31g", verbose=0), xc="r2scan")
    assert proton.kernel() == pytest.approx(0.0, abs=1e-12)
    helium = gto.M(atom="He 0 0 0", basis="sto-3g", verbose=0)
    theirs = {dixc.pyscf.RKS: dft.RKS, dixc.pyscf.UKS: dft.UKS}[cls](helium, xc="r2scan")
    assert cls(helium, xc="r2scan").kernel() == pytest.approx(theirs.kernel(), abs=1e-8)


@pytest.mark.slow
def test_dispersion_of_a_learned_functional_wants_parameters():
    pytest.importorskip("pyscf.dispersion", reason="needs pyscf-dispersion")
    mf = dixc.pyscf.RKS(water(), xc=DEFAULT)
    mf.grids.level = 0
    bare = mf.kernel()
    mf.disp = "d3bj:b3lyp"
    theirs = dft.RKS(water(), xc="b3lyp")
    assert mf.kernel() - bare == pytest.approx(theirs.get_dispersion("d3bj"), abs=1e-9)
    mf.disp = "d3bj"
    with pytest.raises(UserError, match="such as 'd3bj:b3lyp'"):
        mf.kernel()

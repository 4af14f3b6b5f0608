"""dixc functionals inside PySCF, against PySCF's own."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from pyscf import dft, lib
from small_molecules import molecule

import dixc
import dixc.pyscf
from dixc.errors import UserError


def pair(name: str, xc: str, basis: str = "def2-svp"):
    """Converged PySCF and dixc mean fields of the same molecule."""
    fields = dft.RKS(molecule(name, basis), xc=xc), dixc.pyscf.RKS(molecule(name, basis), xc=xc)
    for mf in fields:
        mf.grids.level, mf.conv_tol = 0, 1e-11
        mf.kernel()
        assert mf.converged
    return fields


@pytest.mark.slow
@pytest.mark.parametrize("xc", ["pbe", "r2scan"])
@pytest.mark.parametrize("name", ["lithium fluoride", "hydrogen sulfide", "methyl chloride", "water"])
def test_same_as_pyscf(name, xc):
    theirs, ours = pair(name, xc)
    assert abs(ours.e_tot - theirs.e_tot) < 1e-8
    for singlet in (True, False):
        energies = []
        for mf in (theirs, ours):
            td = mf.TDDFT()
            td.nstates, td.singlet, td.conv_tol = 3, singlet, 1e-5
            energies.append(td.kernel()[0])
        assert np.abs(energies[0] - energies[1]).max() < 1e-6


@pytest.mark.slow
def test_hybrid_and_tda():
    theirs, ours = pair("water", "b3lyp")
    assert abs(ours.e_tot - theirs.e_tot) < 1e-8
    for mf in (theirs, ours):
        mf.tda = mf.TDA().set(nstates=3, conv_tol=1e-6).run()
    assert np.abs(theirs.tda.e - ours.tda.e).max() < 1e-7
    theirs_ab, ours_ab = theirs.TDDFT().get_ab(), ours.TDDFT().get_ab()
    # orbitals are defined up to their signs
    assert max(np.abs(abs(a) - abs(b)).max() for a, b in zip(theirs_ab, ours_ab, strict=True)) < 1e-7


@pytest.fixture(scope="module")
def water_pbe():
    return pair("water", "pbe")


@pytest.mark.slow
def test_newton(water_pbe):
    mf = dixc.pyscf.RKS(molecule("water"), xc="pbe")
    mf.grids.level = 0
    second = mf.newton()
    second.conv_tol = 1e-11
    second.kernel()
    assert second.converged
    assert abs(second.e_tot - water_pbe[0].e_tot) < 1e-9


@pytest.mark.slow
def test_density_fitting():
    energies = []
    for cls in (dft.RKS, dixc.pyscf.RKS):
        mf = cls(molecule("water"), xc="pbe").density_fit()
        mf.grids.level = 0
        mf.conv_tol = 1e-11
        energies.append(mf.kernel())
        energies.append(mf.TDDFT().set(nstates=1, conv_tol=1e-6).kernel()[0][0])
    assert abs(energies[0] - energies[2]) < 1e-9
    assert abs(energies[1] - energies[3]) < 1e-7


@pytest.mark.slow
def test_copy_scanner_and_chkfile(water_pbe, tmp_path):
    theirs, ours = water_pbe
    twin = ours.copy()
    assert twin.functional is ours.functional
    assert twin is not ours
    scan_ours, scan_theirs = ours.as_scanner(), theirs.as_scanner()
    for shift in (0.0, 0.1):
        mol = molecule("water", shift=shift)
        assert abs(scan_ours(mol) - scan_theirs(mol)) < 1e-8, (
            "a scanner must not keep orbitals of the last geometry"
        )
    mf = dixc.pyscf.RKS(molecule("water"), xc="pbe")
    mf.grids.level, mf.chkfile = 0, str(tmp_path / "water.chk")
    mf.kernel()
    again = dixc.pyscf.RKS(lib.chkfile.load_mol(mf.chkfile), xc="pbe")
    again.grids.level = 0
    again.init_guess = "chkfile"
    again.chkfile = mf.chkfile
    again.kernel()
    assert again.converged
    assert abs(again.e_tot - mf.e_tot) < 1e-8
    assert again.cycles < mf.cycles


def test_nuclear_gradient(water_pbe):
    """A semilocal functional has forces for free."""
    theirs, ours = water_pbe
    forces = [mf.nuc_grad_method().set(verbose=0).kernel() for mf in (theirs, ours)]
    assert np.abs(forces[0] - forces[1]).max() < 1e-7


def test_untrained_xcdiff_converges_from_the_default_guess():
    mf = dixc.pyscf.RKS(molecule("ammonia"), xc=dixc.create("xcdiff"))
    mf.grids.level = 0
    mf.kernel()
    assert mf.converged
    n_electrons = mf._numint.nr_rks(mf.mol, mf.grids, mf.xc, mf.make_rdm1())[0]
    assert abs(n_electrons - 10) < 1e-2


def test_string_is_a_registry_name_first_then_a_file(tmp_path):
    from dixc.functionals import files

    path = tmp_path / "model.pt"
    files.save(dixc.create("xcdiff", seed=1), path, {"note": "test"})
    by_file = dixc.pyscf.RKS(molecule("water"), xc=str(path))
    assert by_file.functional.metadata["note"] == "test"
    with pytest.raises(UserError):
        dixc.pyscf.RKS(molecule("water"), xc="no-such-functional")


def test_open_shells_are_refused():
    mol = molecule("water")
    mol.charge, mol.spin = 1, 1
    with pytest.raises(UserError, match="closed shell"):
        dixc.pyscf.RKS(mol.build(), xc="pbe")


@pytest.mark.slow
def test_importing_dixc_changes_nothing_in_pyscf():
    """Functions of PySCF's modules and members of its classes are the same objects as before."""
    script = """
import sys
from pyscf import df, dft, grad, gto, hessian, scf, solvent, soscf, tdscf
import pyscf.scf._response_functions  # PySCF's own, which adds gen_response to its classes

def ours(value):
    return str(getattr(value, "__module__", "")).partition(".")[0] == "pyscf"

def functions():
    return {(name, key): value for name, module in list(sys.modules.items()) if name.partition(".")[0] == "pyscf"
            for key, value in vars(module).items() if callable(value) and ours(value)}

def members(classes):
    return {(cls, key): value for cls in classes for key, value in vars(cls).items()}

before = functions()
classes = {value for value in before.values() if isinstance(value, type)}
assert len(classes) > 100
of_classes = members(classes)
import dixc.grassmann, dixc.excitations, dixc.pyscf
after = functions()
assert {key: after[key] for key in before} == before
assert members(classes) == of_classes
"""
    subprocess.run([sys.executable, "-c", script], check=True)

"""Unrestricted mean fields: against PySCF's own and restricted ones, and the response against finite differences."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.linalg
from pyscf import dft, gto
from small_molecules import molecule

import dixc
import dixc.pyscf

OPEN_SHELLS = {"Li": ("Li 0 0 0", 1), "NO": ("N 0 0 0; O 0 0 1.151", 1), "O2": ("O 0 0 0; O 0 0 1.208", 2)}
THEIRS = {"lda": "lda,pw_mod"}  # names that mean something else in PySCF


def open_shell(name: str):
    atoms, spin = OPEN_SHELLS[name]
    return gto.M(atom=atoms, basis="def2-svp", spin=spin, verbose=0)


def converge(mf, dm0=None):
    mf.grids.level, mf.conv_tol, mf.max_cycle = 0, 1e-11, 200
    mf.kernel(dm0)
    assert mf.converged
    return mf


@pytest.mark.slow
@pytest.mark.parametrize("xc", ["lda", "pbe", "r2scan"])
@pytest.mark.parametrize("name", OPEN_SHELLS)
def test_same_as_pyscf(name, xc):
    if (name, xc) == ("NO", "lda"):
        pytest.skip("PySCF's own LDA does not converge for NO: it jumps between the two pi* orbitals")
    mol = open_shell(name)
    theirs = converge(dft.UKS(mol, xc=THEIRS.get(xc, xc)))
    ours = converge(dixc.pyscf.UKS(mol, xc=xc), theirs.make_rdm1())
    assert abs(ours.e_tot - theirs.e_tot) < 1e-8
    n_electrons = ours._numint.nr_uks(mol, ours.grids, ours.xc, ours.make_rdm1())[0]
    assert n_electrons == pytest.approx(mol.nelec, abs=0.02)


def test_default_guess_and_several_densities():
    mol = open_shell("Li")
    mf = converge(dixc.pyscf.UKS(mol, xc="b3lyp"))
    assert abs(mf.e_tot - converge(dft.UKS(mol, xc="b3lyp")).e_tot) < 1e-8
    dm = np.asarray(mf.make_rdm1())
    one = mf._numint.nr_uks(mol, mf.grids, mf.xc, dm)
    two = mf._numint.nr_uks(mol, mf.grids, mf.xc, np.stack([dm, 0.5 * dm], axis=1))
    for single, several in zip(one, two, strict=True):
        np.testing.assert_allclose(
            np.asarray(several)[..., 0] if np.ndim(several) < 3 else several[:, 0], single
        )


@pytest.mark.slow
@pytest.mark.parametrize("xc", ["lda", "pbe", "b3lyp"])
def test_excitations_and_forces_same_as_pyscf(xc):
    mol = open_shell("Li")
    theirs = converge(dft.UKS(mol, xc=THEIRS.get(xc, xc)))
    ours = converge(dixc.pyscf.UKS(mol, xc=xc))
    energies = [mf.TDDFT().set(nstates=3, conv_tol=1e-7).kernel()[0] for mf in (theirs, ours)]
    assert np.abs(energies[0] - energies[1]).max() < 1e-7
    forces = [mf.nuc_grad_method().set(verbose=0).kernel() for mf in (theirs, ours)]
    assert np.abs(forces[0] - forces[1]).max() < 1e-7


@pytest.mark.slow
@pytest.mark.parametrize("xc", ["xcdiff", "nnmgga", "skala-mgga"])
@pytest.mark.parametrize("name", ["Li", "O2"])
def test_learned_functionals_converge(name, xc):
    """From PySCF's default guess, to an energy that is stationary: the Fock matrix has no occupied-virtual element."""
    small = {} if xc == "xcdiff" else {"n_hidden": 16}
    mf = converge(dixc.pyscf.UKS(open_shell(name), xc=dixc.create(xc, **small)))
    energies = [mf.energy_tot(dm) for dm in displaced(mf, (1e-4, -1e-4))]
    assert abs(energies[0] - energies[1]) < 1e-8
    assert min(energies) > mf.e_tot - 1e-9


def displaced(mf, steps):
    """Density matrices after small rotations of the orbitals of both spins."""
    rng = np.random.default_rng(0)
    kappas = [rng.normal(size=(mf.mol.nao, mf.mol.nao)) for _ in mf.mo_coeff]
    for h in steps:
        rotated = [c @ scipy.linalg.expm(h * (k - k.T)) for c, k in zip(mf.mo_coeff, kappas, strict=True)]
        yield mf.make_rdm1(np.stack(rotated), mf.mo_occ)


@pytest.mark.slow
@pytest.mark.parametrize("xc", ["lda", "pbe", "r2scan", "b3lyp", "xcdiff", "nnmgga", "skala-mgga"])
def test_even_electrons_as_restricted(xc):
    """Same energy, matrices and response, on an even-electron molecule: spin is not read off the molecule."""
    mol = molecule("water", "sto-3g")
    small = {"n_hidden": 16} if xc in ("nnmgga", "skala-mgga") else {}
    functional = dixc.create(xc, **small)
    restricted = converge(dixc.pyscf.RKS(mol, xc=functional))
    unrestricted = converge(dixc.pyscf.UKS(mol, xc=functional))
    assert abs(unrestricted.e_tot - restricted.e_tot) < 1e-9
    change = np.random.default_rng(0).normal(size=(2, mol.nao, mol.nao))
    change += change.swapaxes(1, 2)
    orbitals = np.stack([restricted.mo_coeff] * 2), np.stack([restricted.mo_occ / 2] * 2)
    response = unrestricted.gen_response(*orbitals, hermi=1)
    for singlet, sign in ((True, 1), (False, -1)):
        expected = restricted.gen_response(singlet=singlet, hermi=1)(change)
        v1 = response(np.stack([change, sign * change]) / 2)
        np.testing.assert_allclose(v1, np.stack([expected, sign * expected]), atol=1e-9)


@pytest.mark.slow
def test_newton_and_copy():
    mol = open_shell("NO")
    mf = dixc.pyscf.UKS(mol, xc="pbe")
    mf.grids.level = 0
    second = mf.copy().newton()
    second.conv_tol = 1e-11
    second.kernel()
    assert second.converged
    assert abs(second.e_tot - converge(mf, second.make_rdm1()).e_tot) < 1e-9
    assert mf.copy().functional is mf.functional


@pytest.mark.slow
@pytest.mark.parametrize("xc", ["pbe", "nnmgga", "skala-mgga"])
def test_response_is_the_derivative_of_the_potential(xc):
    small = {} if xc == "pbe" else {"n_hidden": 16}
    # Li's one electron of minority spin would have a nodal surface, where PBE's kernel is singular
    mf = dixc.pyscf.UKS(open_shell("NO"), xc=dixc.create(xc, **small)).set(max_cycle=1)
    mf.grids.level = 0
    mf.kernel()
    # orbitals are changed, not the matrix: the density stays positive
    occupied = [c[:, occ > 0] for c, occ in zip(mf.mo_coeff, mf.mo_occ, strict=True)]
    rng = np.random.default_rng(1)
    shifts = [0.3 * rng.normal(size=c.shape) for c in occupied]

    def fock(h):
        dm = np.stack([(c + h * d) @ (c + h * d).T for c, d in zip(occupied, shifts, strict=True)])
        return np.asarray(mf.get_veff(mf.mol, dm))

    dm1 = np.stack([c @ d.T + d @ c.T for c, d in zip(occupied, shifts, strict=True)])
    exact = mf.gen_response(hermi=1)(dm1)
    errors = [np.abs((fock(h) - fock(-h)) / (2 * h) - exact).max() for h in (2.4e-3, 3e-4)]
    assert errors[1] < 1e-5
    assert errors[1] < errors[0] / 40  # 64 expected

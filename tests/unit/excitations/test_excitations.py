"""Dense and iterative excitations against PySCF's own matrices and solver."""

from __future__ import annotations

import numpy as np
import pytest
from pyscf import dft, gto
from small_molecules import molecule

import dixc.pyscf
from dixc.errors import UserError
from dixc.excitations import CasidaMatrix, ResponseSolver, Window, dense_matrices
from dixc.grassmann import OrbitalRotations


@pytest.fixture(scope="module", params=["b3lyp", "dixc r2scan"])
def mf(request):
    mol = molecule("ammonia")
    mf = (
        dixc.pyscf.RKS(mol, xc=request.param.split()[1])
        if "dixc" in request.param
        else dft.RKS(mol, xc="b3lyp")
    )
    mf.grids.level, mf.conv_tol, mf.conv_tol_grad = 0, 1e-12, 1e-8
    mf.kernel()
    return mf


def test_matrices_are_pyscfs(mf):
    a, b = (m.transpose(1, 0, 3, 2) for m in mf.TDDFT().get_ab())
    plus, minus = dense_matrices(mf)
    assert np.abs(plus - (a + b).reshape(plus.shape)).max() < 2e-7
    assert np.abs(minus - (a - b).reshape(minus.shape)).max() < 1e-10


def test_hessian_is_four_times_a_plus_b(mf):
    plus, _ = dense_matrices(mf)
    rotations = OrbitalRotations(mf)
    kappa = np.random.default_rng(0).standard_normal(rotations.gradient().shape)
    assert np.abs(rotations.hvp(kappa).ravel() - 4 * plus @ kappa.ravel()).max() < 5e-6


@pytest.mark.slow
@pytest.mark.parametrize("method", ["tddft", "tda"])
def test_lowest_states(mf, method):
    td = mf.TDDFT() if method == "tddft" else mf.TDA()
    td.nstates, td.conv_tol = 4, 1e-6
    expected = td.kernel()[0]
    dense = CasidaMatrix(*dense_matrices(mf)).solve(Window.of(mf).differences.shape, 4, method)
    solver = ResponseSolver(mf, n_block=24)
    iterative = solver.solve(4, method, conv_tol=1e-4)
    assert np.abs(dense.energies - expected).max() < 1e-6
    assert np.abs(iterative.energies - expected).max() < 1e-6
    known = ResponseSolver(mf, n_block=24, matrices=dense_matrices(mf)).solve(4, method, conv_tol=1e-5)
    assert np.abs(known.energies - expected).max() < 1e-6
    assert iterative.converged.all()
    assert solver.n_products < 80
    # the same states up to sign (state 2 and 3 of ammonia are degenerate: compare the others)
    for state in (0,):
        overlap = np.vdot(dense.amplitudes[state], iterative.amplitudes[state])
        norm = np.linalg.norm(dense.amplitudes[state]) * np.linalg.norm(iterative.amplitudes[state])
        assert abs(abs(overlap) / norm - 1) < 1e-4


def test_amplitudes_are_normalised(mf):
    """(X + Y) . (X - Y) = 1, with (X - Y) = (A + B)(X + Y) / w."""
    plus, minus = dense_matrices(mf)
    found = CasidaMatrix(plus, minus).solve(Window.of(mf).differences.shape, 3, "tddft")
    for energy, amplitude in zip(found.energies, found.amplitudes, strict=True):
        other = plus @ amplitude.ravel() / energy
        assert abs(np.vdot(other, amplitude) - 1) < 1e-8


@pytest.mark.parametrize(("atom", "charge"), [("He 0 0 0", 0), ("H 0 0 0", 1)])
def test_no_pairs_no_excitations(atom, charge):
    mf = dixc.pyscf.RKS(gto.M(atom=atom, charge=charge, basis="sto-3g", verbose=0), xc="pbe").run()
    with pytest.raises(UserError, match="both occupied and virtual"):
        ResponseSolver(mf)

"""Orbital rotations at points that are not stationary, against finite differences and PySCF."""

from __future__ import annotations

import numpy as np
import pytest
from pyscf import dft, scf
from pyscf.soscf.newton_ah import gen_g_hop_rhf
from small_molecules import molecule

import dixc.pyscf
from dixc.core.orbitals import rotate, split_orbitals
from dixc.errors import UserError
from dixc.grassmann import OrbitalRotations

METHODS = ["hf", "b3lyp", "dixc pbe", "dixc r2scan", "dixc xcdiff"]


def mean_field(method: str):
    """Two SCF cycles from the default guess, then a random rotation: far from stationary, with low-density tails."""
    mol = molecule("water")
    if method == "hf":
        mf = scf.RHF(mol)
    elif method.startswith("dixc"):
        mf = dixc.pyscf.RKS(mol, xc=method.split()[1])
    else:
        mf = dft.RKS(mol, xc=method)
    if hasattr(mf, "grids"):
        mf.grids.level = 0
    mf.max_cycle = 2
    mf.kernel()
    orbo, orbv = split_orbitals(mf.mo_coeff, mf.mo_occ)
    kappa = 0.05 * np.random.default_rng(0).standard_normal((orbv.shape[1], orbo.shape[1]))
    mf.mo_coeff = np.hstack(rotate(orbo, orbv, kappa))
    mf.mo_energy = None
    return mf


@pytest.fixture(scope="module", params=METHODS)
def rotations(request):
    return OrbitalRotations(mean_field(request.param))


def direction(rotations, seed=1):
    shape = rotations.orbv.shape[1], rotations.orbo.shape[1]
    kappa = np.random.default_rng(seed).standard_normal(shape)
    return kappa / np.linalg.norm(kappa)


def test_gradient_and_hessian_are_derivatives_of_the_energy(rotations):
    """Central differences with a step study: the error is small and falls with the step until rounding."""
    kappa, gradient = direction(rotations), rotations.gradient()
    assert np.linalg.norm(gradient) > 0.05, "the point must not be stationary"
    slope, curvature = np.vdot(gradient, kappa), np.vdot(kappa, rotations.hvp(kappa))
    first, second = [], []
    for h in (4e-2, 2e-2, 1e-2):
        up, mid, down = rotations.energy(h * kappa), rotations.energy(0 * kappa), rotations.energy(-h * kappa)
        first.append((up - down) / (2 * h))
        second.append((up - 2 * mid + down) / h**2)
    # Richardson: the leading h^2 error cancels between the two finest steps
    assert abs((4 * first[2] - first[1]) / 3 - slope) < 1e-6
    assert abs((4 * second[2] - second[1]) / 3 - curvature) < 1e-5 * abs(curvature)
    assert abs(first[2] - slope) < 0.3 * abs(first[1] - slope) < 0.1 * abs(first[0] - slope)


def test_hessian_is_the_derivative_of_the_gradient(rotations):
    """H kappa is compared element by element with the second mixed difference of the energy."""
    rng = np.random.default_rng(4)
    kappa = direction(rotations)
    product = rotations.hvp(kappa)
    for _ in range(3):
        other = direction(rotations, int(rng.integers(100)))

        def mixed(h, other=other):
            corner = [s * t * rotations.energy(h * (s * kappa + t * other)) for s in (1, -1) for t in (1, -1)]
            return sum(corner) / (4 * h**2)

        assert abs((4 * mixed(5e-3) - mixed(1e-2)) / 3 - np.vdot(other, product)) < 2e-6


def test_twice_pyscf(rotations):
    mf = rotations.mf
    gradient, hop, _ = gen_g_hop_rhf(mf, mf.mo_coeff, mf.mo_occ)
    kappa = direction(rotations)
    assert np.abs(rotations.gradient().ravel() - 2 * gradient).max() < 1e-9
    assert np.abs(rotations.hvp(kappa).ravel() - 2 * hop(kappa.ravel())).max() < 1e-9


def test_symmetric_linear_and_batched(rotations):
    a, b = direction(rotations, 1), direction(rotations, 2)
    h_a, h_b = rotations.hvp(np.stack([a, b]))
    assert abs(np.vdot(b, h_a) - np.vdot(a, h_b)) < 1e-11
    assert np.abs(rotations.hvp(a + 2 * b) - h_a - 2 * h_b).max() < 1e-10


@pytest.mark.parametrize("method", ["b3lyp", "dixc r2scan"])
def test_occupied_rotation_changes_nothing_but_the_frame(method):
    mf = mean_field(method)
    before = OrbitalRotations(mf)
    energy, gradient = before.energy(0 * before.gradient()), before.gradient()
    kappa = direction(before)
    product = before.hvp(kappa)
    nocc = gradient.shape[1]
    turn, _ = np.linalg.qr(np.random.default_rng(3).standard_normal((nocc, nocc)))
    mf.mo_coeff = np.hstack([mf.mo_coeff[:, :nocc] @ turn, mf.mo_coeff[:, nocc:]])
    after = OrbitalRotations(mf)
    assert abs(after.energy(0 * gradient) - energy) < 1e-10
    assert np.abs(after.gradient() - gradient @ turn).max() < 1e-10
    assert np.abs(after.hvp(kappa @ turn) - product @ turn).max() < 1e-9


def test_columns_follow_mo_occ():
    """Occupied orbitals need not come first."""
    mf = mean_field("b3lyp")
    plain = OrbitalRotations(mf)
    order = np.random.default_rng(5).permutation(len(mf.mo_occ))
    mf.mo_coeff, mf.mo_occ = mf.mo_coeff[:, order], mf.mo_occ[order]
    shuffled = OrbitalRotations(mf)
    occupied = [list(range(plain.orbo.shape[1])).index(i) for i in order if i < plain.orbo.shape[1]]
    virtual = [i - plain.orbo.shape[1] for i in order if i >= plain.orbo.shape[1]]
    assert np.abs(shuffled.gradient() - plain.gradient()[np.ix_(virtual, occupied)]).max() < 1e-9


def test_refusals():
    mf = scf.RHF(molecule("water"))
    with pytest.raises(UserError, match="kernel"):
        OrbitalRotations(mf)
    unrestricted = scf.UHF(molecule("water")).run()
    with pytest.raises(UserError, match="restricted"):
        OrbitalRotations(unrestricted)

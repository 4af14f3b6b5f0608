"""States of both spin cases on every kind of Hamiltonian, against finite differences and PySCF's own programs."""

from __future__ import annotations

import numpy as np
import pytest
from pyscf import dft, gto, scf
from pyscf.soscf.newton_ah import gen_g_hop_uhf
from pyscf.tdscf.rhf import get_ab as get_ab_rks
from pyscf.tdscf.uhf import get_ab as get_ab_uhf
from small_molecules import molecule

import dixc
import dixc.pyscf
from dixc.core.grid import AOGrid
from dixc.core.hamiltonian import FunctionalHamiltonian
from dixc.core.integrals import ExactIntegrals
from dixc.core.monopole_exchange import MonopoleExchange
from dixc.core.state import State
from dixc.core.two_electron import TwoElectron
from dixc.errors import UserError
from dixc.pyscf.hamiltonian import state_of

OPEN = ["hf", "b3lyp", "camb3lyp", "dixc pbe", "dixc r2scan", "dixc xcdiff"]


def amino(spin: int = 1, method: str = "hf"):
    """The radical NH2, two SCF cycles from the default guess."""
    mol = gto.M(atom="N 0 0 .1; H 0 .8 -.5; H 0 -.8 -.5", basis="def2-svp", spin=spin, verbose=0)
    if method == "hf":
        mf = scf.UHF(mol)
    elif method.startswith("dixc"):
        mf = dixc.pyscf.UKS(mol, xc=method.split()[1])
    else:
        mf = dft.UKS(mol, xc=method)
    if hasattr(mf, "grids"):
        mf.grids.level = 0
    mf.max_cycle = 2
    mf.kernel()
    return mf


def direction(state: State, seed: int = 1):
    rng = np.random.default_rng(seed)
    shapes = state.shape if isinstance(state.shape[0], tuple) else (state.shape,)
    kappa = [rng.standard_normal(shape) for shape in shapes]
    norm = np.sqrt(sum((k**2).sum() for k in kappa))
    scaled = tuple(k / norm for k in kappa)
    return scaled if len(scaled) > 1 else scaled[0]


def times(factor: float, kappa):
    return tuple(factor * k for k in kappa) if isinstance(kappa, tuple) else factor * kappa


def inner(a, b) -> float:
    pairs = zip(a, b, strict=True) if isinstance(a, tuple) else ((a, b),)
    return float(sum(np.vdot(x, y) for x, y in pairs))


def off_stationary(state: State) -> State:
    return state.rotated(times(0.2, direction(state, 7)))


def check_derivatives(state: State) -> None:
    """Gradient and Hessian by central differences; the error falls with the step until rounding."""
    kappa, gradient = direction(state), state.gradient()
    assert np.sqrt(inner(gradient, gradient)) > 0.05, "the point must not be stationary"
    slope, curvature = inner(gradient, kappa), inner(kappa, state.hvp(kappa))
    first, second = [], []
    for h in (4e-2, 2e-2, 1e-2):
        up, mid, down = (state.rotated(times(step, kappa)).energy for step in (h, 0.0, -h))
        first.append((up - down) / (2 * h))
        second.append((up - 2 * mid + down) / h**2)
    assert abs((4 * first[2] - first[1]) / 3 - slope) < 1e-6
    assert abs((4 * second[2] - second[1]) / 3 - curvature) < 2e-5 * abs(curvature)
    assert abs(first[2] - slope) < 0.3 * abs(first[1] - slope) + 1e-9


@pytest.mark.slow
@pytest.mark.parametrize("method", OPEN)
def test_open_shell_derivatives_of_a_mean_field(method):
    mf = amino(method=method)
    state = off_stationary(state_of(mf))
    assert abs(state_of(mf).energy - mf.energy_tot(mf.make_rdm1())) < 1e-10
    check_derivatives(state)


@pytest.mark.slow
@pytest.mark.parametrize("method", OPEN)
def test_open_shell_is_twice_pyscf(method):
    mf = amino(method=method)
    gradient, hop, _ = gen_g_hop_uhf(mf, mf.mo_coeff, mf.mo_occ)
    state = state_of(mf)
    kappa = direction(state)
    flat = np.concatenate([k.ravel() for k in kappa])
    ours = np.concatenate([g.ravel() for g in state.gradient()])
    product = np.concatenate([p.ravel() for p in state.hvp(kappa)])
    assert np.abs(ours - 2 * gradient).max() < 1e-8
    assert np.abs(product - 2 * hop(flat)).max() < 1e-8


def test_imaginary_rotations_of_an_open_shell_are_a_minus_b():
    mf = scf.UHF(gto.M(atom="Li 0 0 0", basis="6-31g", spin=1, verbose=0)).run(conv_tol=1e-12)
    state = state_of(mf)
    (a_aa, a_ab, a_bb), (b_aa, b_ab, b_bb) = get_ab_uhf(mf)

    def matrix(aa, ab, bb):
        shapes = [x.shape for x in (aa, bb)]
        pairs = [s[0] * s[1] for s in shapes]
        whole = np.zeros((sum(pairs), sum(pairs)))
        order = (1, 0, 3, 2)  # (i, a) of PySCF, (a, i) here
        whole[: pairs[0], : pairs[0]] = aa.transpose(order).reshape(pairs[0], -1)
        whole[pairs[0] :, pairs[0] :] = bb.transpose(order).reshape(pairs[1], -1)
        whole[: pairs[0], pairs[0] :] = ab.transpose(order).reshape(pairs[0], -1)
        whole[pairs[0] :, : pairs[0]] = whole[: pairs[0], pairs[0] :].T
        return whole

    plus = matrix(a_aa + b_aa, a_ab + b_ab, a_bb + b_bb)
    minus = matrix(a_aa - b_aa, a_ab - b_ab, a_bb - b_bb)
    assert np.abs(state.dense() - 2 * plus).max() < 1e-8
    assert np.abs(state.dense(imaginary=True) - 2 * minus).max() < 1e-8


@pytest.mark.slow
@pytest.mark.parametrize("method", ["hf", "b3lyp", "dixc r2scan"])
def test_dense_hessians_of_a_closed_shell_are_a_plus_and_minus_b(method):
    mol = gto.M(atom="H 0 0 0; F 0 0 0.92", basis="6-31g", verbose=0)
    if method == "hf":
        mf = scf.RHF(mol)
    else:
        mf = dixc.pyscf.RKS(mol, xc="r2scan") if method.startswith("dixc") else dft.RKS(mol, xc=method)
    mf.small_rho_cutoff = 0
    mf.run(conv_tol=1e-13, conv_tol_grad=1e-8)
    a, b = get_ab_rks(mf)
    plus, minus = (x.transpose(1, 0, 3, 2).reshape(a.shape[0] * a.shape[1], -1) for x in (a + b, a - b))
    state = state_of(mf)
    assert np.abs(state.dense() - 4 * plus).max() < 1e-6
    assert np.abs(state.dense(imaginary=True) - 4 * minus).max() < 1e-6


@pytest.mark.slow
@pytest.mark.parametrize("functional", ["pbe", "b3lyp", "egxc"])
@pytest.mark.parametrize("spins", [1, 2])
def test_functional_hamiltonian(functional, spins):
    """dixc's own Hamiltonian in both spin cases, with a second exchange operator on top, against finite differences."""
    mol = molecule("water")
    keywords = {"features": 2, "layers": 1, "n_radial": 2} if functional == "egxc" else {}
    xc = dixc.create(functional, **keywords)
    grids = dft.gen_grid.Grids(mol)
    grids.level = 0
    grids.build()
    fitting = scf.RHF(mol).density_fit().with_df.build()
    extra = MonopoleExchange(mol.intor_symmetric("int1e_ovlp"), fitting, 0.15)
    two_electron = TwoElectron(ExactIntegrals(mol).get_jk, xc.exact_exchange, [extra])
    hamiltonian = FunctionalHamiltonian(
        scf.hf.get_hcore(mol), mol.energy_nuc(), two_electron, xc, AOGrid(mol, grids.coords, grids.weights, xc.xctype)
    )  # fmt: skip
    orbitals = scf.RHF(mol).run(max_cycle=2).mo_coeff
    if spins == 1:
        state = State(hamiltonian, orbitals[:, :5], orbitals[:, 5:])
    else:
        state = State(hamiltonian, (orbitals[:, :6], orbitals[:, :4]), (orbitals[:, 6:], orbitals[:, 4:]))
    check_derivatives(off_stationary(state))


def test_a_closed_shell_is_an_open_shell_with_equal_spins():
    """Energy, gradient and Hessians agree; a rotation of both spins is the closed shell's."""
    mol = molecule("water")
    mf = dixc.pyscf.RKS(mol, xc="b3lyp")
    mf.grids.level = 0
    mf.max_cycle = 2
    mf.kernel()
    closed = off_stationary(state_of(mf))
    open_shell = dixc.pyscf.UKS(mol, xc="b3lyp")
    open_shell.grids.level = 0
    open_shell.mo_coeff = np.stack([np.hstack([closed.orbo, closed.orbv])] * 2)
    open_shell.mo_occ = np.stack([np.repeat([1, 0], [closed.orbo.shape[1], closed.orbv.shape[1]])] * 2)
    both = state_of(open_shell)
    kappa = direction(closed)
    assert abs(both.energy - closed.energy) < 1e-9
    for gradient, product, imaginary in zip(
        both.gradient(), both.hvp((kappa, kappa)), both.hvp_imaginary((kappa, kappa)), strict=True
    ):
        assert np.abs(2 * gradient - closed.gradient()).max() < 1e-9
        assert np.abs(2 * product - closed.hvp(kappa)).max() < 1e-8
        assert np.abs(2 * imaginary - closed.hvp_imaginary(kappa)).max() < 1e-8


@pytest.mark.slow
@pytest.mark.parametrize("spins", [1, 2])
def test_solve_inverts_the_hessian(spins):
    if spins == 1:
        mf = dft.RKS(molecule("water"), xc="pbe")
        mf.grids.level = 0
    else:
        mf = amino(method="b3lyp")
    mf.max_cycle = 50
    mf.kernel()
    state = state_of(mf)
    rhs = direction(state)
    solution, converged = state.solve(rhs, rtol=1e-8, max_iter=200)
    assert converged
    residual = inner(state.hvp(solution), state.hvp(solution)) + 1 - 2 * inner(state.hvp(solution), rhs)
    assert abs(residual) < 1e-12


@pytest.mark.slow
@pytest.mark.parametrize("kind", [dft.RKS, dixc.pyscf.RKS])
def test_solvent_responds(kind):
    """The reaction field is in the energy, so it must be in the Hessian."""
    from pyscf import solvent

    mf = solvent.ddCOSMO(kind(molecule("water"), xc="pbe"))
    mf.grids.level = 0
    mf.max_cycle = 2
    mf.verbose = 0
    mf.kernel()
    state = off_stationary(state_of(mf))
    kappa, second = direction(state), []
    for h in (2e-2, 1e-2):
        up, mid, down = (state.rotated(step * kappa).energy for step in (h, 0.0, -h))
        second.append((up - 2 * mid + down) / h**2)
    assert abs((4 * second[1] - second[0]) / 3 - inner(kappa, state.hvp(kappa))) < 2e-4


def test_fractional_occupations_are_refused():
    mf = amino()
    mf.mo_occ = mf.mo_occ * 0.5
    with pytest.raises(UserError, match="occupations 0 and 1"):
        state_of(mf)

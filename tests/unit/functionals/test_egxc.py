"""EG-XC: symmetries, size consistency, derivatives, and its way through SCF, TDDFT and training."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from pyscf import gto
from small_molecules import molecule

import dixc
import dixc.pyscf
from dixc.config.training import Training
from dixc.core.orbitals import rotate
from dixc.core.xc.expansion import XCExpansion
from dixc.core.xc.invariants import invariants
from dixc.errors import UserError
from dixc.excitations import CasidaMatrix, ResponseSolver, Window, dense_matrices
from dixc.functionals import files, registry
from dixc.functionals.base import GridPoints
from dixc.functionals.egxc.geometry import PARTITIONS, envelope
from dixc.grassmann import OrbitalRotations
from dixc.training import model_scf, prefit, terms
from dixc.training.molecule import TrainingMolecule
from dixc.training.sinks import GradientSink

pytestmark = pytest.mark.slow

SMALL = {
    "features": 6,
    "layers": 2,
    "n_radial": 3,
    "n_message_radial": 4,
    "reweighting_hidden": 4,
    "base_hyperparameters": {"n_hidden": 5, "n_layers": 2},
}


def trained(**changes) -> torch.nn.Module:
    """A small functional with weights under which graph and readout matter (about 0.1 hartree in water)."""
    functional = registry.create("egxc", **(SMALL | {"seed": 2} | changes))
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(7)
        functional.gamma.scale.fill_(0.05)
        functional.readout.layers[-1].weight.normal_()
    return functional


@pytest.fixture(scope="module")
def system():
    """Water's guess density: grid points and density rows (1, 5, N)."""
    mol = molecule("water", "sto-3g")
    mf = dixc.pyscf.RKS(mol, xc="r2scan")
    mf.grids.level = 0
    grid = mf._numint.ao_grid(mol, mf.grids, "MGGA")
    return grid.points, grid.density(mf.get_init_guess())[None]


def expand(functional, system, order=1):
    grid, rho = system
    return XCExpansion(functional, rho, grid, order)


def moved(system, matrix=None, shift=(0.0, 0.0, 0.0), atoms=None):
    """The same density after an orthogonal map, a translation and a renumbering of the nuclei."""
    grid, rho = system
    matrix = torch.eye(3, dtype=rho.dtype) if matrix is None else torch.as_tensor(matrix)
    shift = torch.tensor(shift, dtype=rho.dtype)
    atoms = torch.arange(len(grid.atom_coords)) if atoms is None else torch.tensor(atoms)
    rho = rho.clone()
    rho[:, 1:4] = torch.einsum("xy,syg->sxg", matrix, rho[:, 1:4])
    places = (c @ matrix.T + shift for c in (grid.coords, grid.atom_coords[atoms]))
    return GridPoints(grid.weights, *places, grid.atom_charges[atoms]), rho


def rotation(seed: int) -> np.ndarray:
    return np.linalg.qr(np.random.default_rng(seed).standard_normal((3, 3)))[0]


def test_default_sizes_are_those_of_the_public_implementation():
    functional = registry.create("egxc")
    assert sum(p.numel() for p in functional.parameters()) == 1_804_166
    known = {"features": 128, "layers": 3, "l_max": 1, "n_radial": 16, "cutoff": 5.0, "message_cutoff": 5.0}
    assert functional.hyperparameters.items() >= known.items()
    assert {p.dtype for p in functional.parameters()} == {torch.float64}
    assert "egxc" in dixc.available()


def test_untrained_is_its_base(system):
    functional = registry.create("egxc", **SMALL)
    ours, base = (expand(f, system, order=2) for f in (functional, functional.base))
    assert ours.energy == pytest.approx(base.energy, rel=1e-13)
    torch.testing.assert_close(ours.potential, base.potential, rtol=1e-10, atol=1e-14)
    change = 0.1 * system[1][None]
    torch.testing.assert_close(ours.product(change), base.product(change), rtol=1e-8, atol=1e-13)


@pytest.mark.parametrize("l_max", [1, 2])
@pytest.mark.parametrize("partition", PARTITIONS)
def test_invariance(system, partition, l_max):
    functional = trained(partition=partition, l_max=l_max)
    here = expand(functional, system)
    plain = expand(functional.base, system)
    assert abs(here.energy - plain.energy) > 1e-3, "the graph must count in this test"
    moves = {
        "rotation": moved(system, rotation(1)),
        "reflection": moved(system, rotation(1) @ np.diag([1.0, 1.0, -1.0])),
        "translation": moved(system, shift=(3.0, -20.0, 1.5)),
        "permutation": moved(system, atoms=[2, 0, 1]),
    }
    for name, there in moves.items():
        other = expand(functional, there)
        assert other.energy == pytest.approx(here.energy, abs=1e-9), name
        # in hartree a point: slopes themselves are unbounded where there is no density
        torch.testing.assert_close(here.x * other._e1, here.x * here._e1, rtol=1e-7, atol=1e-11, msg=name)


def test_fixed_density_in_another_frame_changes_energy(system):
    """The test above can fail: turning the nuclei but not the density does change the energy."""
    functional = trained()
    grid, rho = system
    turned, _ = moved(system, rotation(1))
    wrong = GridPoints(grid.weights, grid.coords, turned.atom_coords, grid.atom_charges)
    assert abs(expand(functional, (wrong, rho)).energy - expand(functional, system).energy) > 1e-4


@pytest.mark.parametrize("angstrom", [10.0, 60.0])
@pytest.mark.parametrize("partition", PARTITIONS)
def test_size_consistency(system, partition, angstrom):
    """Fragments farther apart than two cut-offs (plus their own extent) do not know of each other."""
    functional = trained(partition=partition, cutoff=3.5, message_cutoff=4.0)
    grid, rho = system
    near = (grid.coords - grid.atom_coords.mean(0)).norm(dim=1) < 5.0  # tails reach into the other fragment
    grid = GridPoints(grid.weights[near], grid.coords[near], grid.atom_coords, grid.atom_charges)
    first = (grid, rho[..., near])
    second = moved(first, rotation(3), shift=(angstrom / 0.529177, 0.0, 0.0))
    both = [torch.cat(pair) for pair in zip(parts(first[0]), parts(second[0]), strict=True)]
    together = expand(functional, (GridPoints(*both), torch.cat([first[1], second[1]], dim=-1)))
    alone = expand(functional, first)
    assert together.energy == pytest.approx(2 * alone.energy, abs=1e-10)
    n = alone._e1.shape[1]
    ours, theirs = alone.x * together._e1[:, :n], alone.x * alone._e1
    torch.testing.assert_close(ours, theirs, rtol=1e-7, atol=1e-11)


def parts(grid):
    return grid.weights, grid.coords, grid.atom_coords, grid.atom_charges


def test_interaction_fades_smoothly_at_the_cutoff():
    t = torch.tensor([0.0, 1 - 1e-4, 1.0, 1.5], dtype=torch.float64, requires_grad=True)
    u = envelope(t)
    (slope,) = torch.autograd.grad(u.sum(), t, create_graph=True)
    (curvature,) = torch.autograd.grad(slope.sum(), t)
    assert u.tolist() == pytest.approx([1, 0, 0, 0], abs=1e-10)
    assert slope.tolist() == pytest.approx([0, 0, 0, 0], abs=1e-5)
    assert curvature.tolist() == pytest.approx([0, 0, 0, 0], abs=5e-2)


def test_ghost_atoms_are_no_nodes(system):
    grid, rho = system
    functional = trained()
    coords = torch.cat([grid.atom_coords, grid.atom_coords[:1] + 2.0])
    charges = torch.cat([grid.atom_charges, torch.zeros(1, dtype=torch.float64)])
    ghost = GridPoints(grid.weights, grid.coords, coords, charges)
    assert expand(functional, (ghost, rho)).energy == expand(functional, system).energy


def spin_system(system):
    """A spin-polarised density on the same points."""
    grid, rho = system
    up = torch.linspace(0.3, 0.7, rho.shape[-1], dtype=rho.dtype)
    return grid, torch.cat([up * rho, (1 - up) * rho])


def test_spins_are_alike(system):
    functional = trained()
    grid, rho = spin_system(system)
    first, swapped = (expand(functional, (grid, r)) for r in (rho, rho.flip(0)))
    assert swapped.energy == pytest.approx(first.energy, rel=1e-13)
    torch.testing.assert_close(swapped.potential.flip(0), first.potential, rtol=1e-9, atol=1e-13)
    assert abs(first.energy - expand(functional, system).energy) > 1e-3


def test_closed_shell_is_equal_spins(system):
    functional = trained()
    grid, rho = system
    closed = expand(functional, system, order=2)
    spins = expand(functional, (grid, torch.cat([rho, rho]) / 2), order=2)
    assert spins.energy == pytest.approx(closed.energy, rel=1e-12)
    torch.testing.assert_close(spins.potential[1], closed.potential[0], rtol=1e-7, atol=1e-12)
    change = 0.1 * rho * torch.linspace(-1, 1, rho.shape[-1], dtype=rho.dtype)
    products = closed.product(change[None])[0, 0], spins.product(torch.cat([change, change])[None] / 2)[0, 0]
    torch.testing.assert_close(*products, rtol=1e-6, atol=1e-10)


@pytest.mark.parametrize("ns", [1, 2])
def test_products_are_forward_over_reverse(system, ns):
    functional = trained()
    grid, rho = system if ns == 1 else spin_system(system)
    expansion = expand(functional, (grid, rho), order=2)
    direction = 0.1 * expansion.x * torch.linspace(-1, 1, rho.shape[-1], dtype=rho.dtype)
    slope = torch.func.grad(lambda x: functional(x, grid))
    _, expected = torch.func.jvp(slope, (expansion.x,), (direction,))
    product = expansion._e2_product(direction[None])[0]
    torch.testing.assert_close(expansion.x * product, expansion.x * expected, rtol=1e-7, atol=1e-12)


def few_points(system, count=25, ns=1):
    """Points of all distances and densities, from the whole range and below."""
    grid, rho = system if ns == 1 else spin_system(system)
    order = torch.argsort(rho[:, 0].sum(0))
    chosen = order[torch.linspace(0, len(order) - 1, count).long()]
    part = GridPoints(grid.weights[chosen], grid.coords[chosen], grid.atom_coords, grid.atom_charges)
    return part, invariants(rho[..., chosen])


@pytest.mark.parametrize("ns", [1, 2])
def test_gradcheck(system, ns):
    functional = trained(n_radial=2)
    grid, x = few_points(system, 9, ns)
    weights = 1 / (grid.weights * x[0] + 1e-3)  # all points count alike
    grid = GridPoints(weights * grid.weights, *parts(grid)[1:])

    def energy(m):
        return functional(x * m, grid)

    m = torch.ones_like(x).requires_grad_()
    assert torch.autograd.gradcheck(energy, (m,), eps=1e-5, atol=1e-6, fast_mode=True)
    assert torch.autograd.gradgradcheck(energy, (m,), eps=1e-5, atol=1e-5, fast_mode=True)


def test_parameter_gradient_of_second_derivatives_matches_finite_differences(system):
    functional = trained()
    grid, x = few_points(system)
    chosen = {
        "decoder.spread.1.layers.2.weight": (3, 2),
        "interaction.embed.weight": (5,),
        "interaction.messages.0.filter.weight": (7, 1),
        "gamma.offset": (1, 0),
        "base.exchange.output.weight": (0, 3),
    }
    parameters = dict(functional.named_parameters())

    change = torch.linspace(-1, 2, x.shape[1], dtype=x.dtype)

    def curvature():
        t = torch.zeros((), dtype=x.dtype, requires_grad=True)
        (slope,) = torch.autograd.grad(functional(x * (1 + t * change), grid), t, create_graph=True)
        return torch.autograd.grad(slope, t, create_graph=True)[0]

    analytic = torch.autograd.grad(curvature(), [parameters[name] for name in chosen])
    for gradient, (name, index) in zip(analytic, chosen.items(), strict=True):
        values = []
        for step in (1e-4, -1e-4):
            with torch.no_grad():
                parameters[name][index] += step
            values.append(curvature().item())
            with torch.no_grad():
                parameters[name][index] -= step
        slope = (values[0] - values[1]) / 2e-4
        assert slope == pytest.approx(gradient[index].item(), rel=1e-4, abs=1e-8), name


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("ns", [1, 2])
def test_third_derivatives_are_numbers_everywhere(system, ns, dtype):
    functional = trained().to(dtype)
    grid, x = few_points(system, 60, ns)
    x[:, :3] = 0.0  # no density at all
    x[:, 3] *= 1e-12
    x = x.to(dtype).requires_grad_()
    energy = functional(x, grid)
    (e1,) = torch.autograd.grad(energy, x, create_graph=True)
    assert energy.dtype == dtype
    for row in e1:
        (e2,) = torch.autograd.grad(row.sum(), x, create_graph=True)
        assert torch.isfinite(e2).all()
        size = e2.detach().abs().clamp(min=1)
        gradients = torch.autograd.grad(
            (e2 / size).sum(), functional.parameters(), retain_graph=True, materialize_grads=True
        )
        assert all(torch.isfinite(g).all() for g in gradients)


def test_no_density_and_atoms_without_vectors():
    """An empty grid and a free atom, whose vectors vanish by symmetry, have finite derivatives."""
    functional = trained()
    mol = gto.M(atom="He 0 0 0", basis="sto-3g", verbose=0)
    mf = dixc.pyscf.RKS(mol, xc=functional)
    mf.grids.level = 0
    grid = mf._numint.ao_grid(mol, mf.grids, "MGGA")
    for dm in (mf.get_init_guess(), np.zeros((1, 1))):
        expansion = XCExpansion(functional, grid.density(dm)[None], grid.points, order=2)
        product = expansion.product(grid.density(np.ones((1, 1)))[None, None])
        assert torch.isfinite(expansion.potential).all()
        assert torch.isfinite(product).all()


@pytest.fixture(scope="module")
def solved():
    """Lithium hydride, converged from PySCF's default guess with a non-trivial functional."""
    mol = gto.M(atom="Li 0 0 0; H 0.3 0.2 1.55", basis="sto-3g", verbose=0)
    mf = dixc.pyscf.RKS(mol, xc=trained())
    mf.grids.level, mf.conv_tol, mf.conv_tol_grad = 0, 1e-12, 1e-8
    mf.kernel()
    assert mf.converged
    return mf


def test_orbital_rotations_against_finite_differences():
    """Energy, gradient and Hessian away from any stationary point, the non-local potential included."""
    mol = molecule("water", "sto-3g")
    mf = dixc.pyscf.RKS(mol, xc=trained())
    mf.grids.level = 0
    guess = mf.get_fock(dm=mf.get_init_guess())
    mf.mo_energy, mf.mo_coeff = mf.eig(guess, mf.get_ovlp())
    mf.mo_occ = mf.get_occ(mf.mo_energy, mf.mo_coeff)
    rotations = OrbitalRotations(mf)
    kappa = 0.3 * np.random.default_rng(0).standard_normal(rotations.gradient().shape)
    h = 5e-3
    values = {k: rotations.energy(k * h * kappa) for k in (-2, -1, 0, 1, 2)}
    first = (8 * (values[1] - values[-1]) - (values[2] - values[-2])) / (12 * h)
    second = (16 * (values[1] + values[-1]) - (values[2] + values[-2]) - 30 * values[0]) / (12 * h**2)
    assert np.vdot(rotations.gradient(), kappa) == pytest.approx(first, abs=1e-6)
    assert np.vdot(kappa, rotations.hvp(kappa)) == pytest.approx(second, abs=1e-6)


def test_tddft_is_that_of_the_finite_difference_hessian(solved):
    """4 (A + B) from gradients at rotated orbitals; PySCF's and our solver find its excitation energies."""
    rotations, step = OrbitalRotations(solved), 1e-4
    shape = rotations.gradient().shape
    window = Window.of(solved)
    hessian = np.zeros((np.prod(shape), np.prod(shape)))
    for pair in range(len(hessian)):
        unit = np.zeros(len(hessian))
        unit[pair] = step
        slopes = []
        for sign in (1, -1):
            rotated = solved.copy()
            rotated.mo_coeff = np.hstack(rotate(window.orbo, window.orbv, sign * unit.reshape(shape)))
            rotated.mo_occ = np.array([2] * shape[1] + [0] * shape[0])
            slopes.append(OrbitalRotations(rotated).gradient().ravel())
        hessian[pair] = (slopes[0] - slopes[1]) / (2 * step)
    plus, minus = dense_matrices(solved)
    assert np.abs(4 * plus - hessian).max() < 1e-6
    expected = CasidaMatrix((hessian + hessian.T) / 8, minus).solve(shape, 3, "tddft").energies
    ours = ResponseSolver(solved).solve(3, "tddft", conv_tol=1e-6)
    theirs = solved.TDDFT().set(nstates=3, conv_tol=1e-8).kernel()[0]
    assert np.abs(ours.energies - expected).max() < 1e-6
    assert np.abs(theirs - expected).max() < 1e-6
    triplets = solved.TDDFT().set(nstates=1, singlet=False).kernel()[0]
    assert 0 < triplets[0] < expected[0]


def test_pointwise_derivatives_and_forces_are_refused(solved):
    with pytest.raises(UserError, match="no nuclear derivatives"):
        solved.nuc_grad_method()
    with pytest.raises(UserError, match="not pointwise"):
        solved.TDDFT().get_ab()
    with pytest.raises(ValueError, match="coordinates"):
        solved.functional(torch.ones(3, 4, dtype=torch.float64), GridPoints(torch.ones(4)))


TIGHT = {"scf_conv_tol_grad": 1e-9, "cg_tol": 1e-10}
CASES = {
    "energy": {"density": {"weight": 0.0, **TIGHT}, "energy": {"method": "gradient"}},
    "density": {"energy": {"weight": 0.0}},
    "gradient": {},
    "hessian": {},
}


@pytest.fixture(scope="module")
def training_molecule(water):
    return TrainingMolecule(*water, grid_level=0, hessian_grid_level=0)


@pytest.mark.parametrize("case", CASES)
def test_training_gradient_is_that_of_the_loss(case, training_molecule):
    values = {"density": {"weight": 1e3, **TIGHT}, "hessian": {"weight": 10.0, "probes": 2}, "grid_level": 0}
    options = Training.model_validate(values | CASES[case])
    functional = trained(base="r2scan", base_hyperparameters=None)

    def value(backward: bool) -> float:
        names, scf = (case,), None
        if case in ("energy", "density"):
            names = ("energy", "density")
            scf = model_scf.solve(training_molecule, functional, None, 1e-9, max_steps=40)
            assert scf.converged
        elif case != "gradient":
            names = ("hessian", "excitation")
        sink, rng = GradientSink() if backward else None, np.random.default_rng(5)
        values = terms.evaluate(names, training_molecule, functional, options, scf, rng, sink)
        return sum(v.weighted for v in values)

    value(True)
    generator = torch.Generator().manual_seed(1)
    direction = [torch.randn(p.shape, generator=generator, dtype=p.dtype) for p in functional.parameters()]
    pairs = list(zip(functional.parameters(), direction, strict=True))
    analytic = sum(float((p.grad * d).sum()) for p, d in pairs)
    start = copy.deepcopy(functional.state_dict())
    results = []
    for step in (1e-4, -1e-4):
        with torch.no_grad():
            for p, d in pairs:
                p += step * d
        results.append(value(False))
        functional.load_state_dict(start)
    assert (results[0] - results[1]) / 2e-4 == pytest.approx(analytic, rel=1e-4)


def test_prefit_moves_the_base_alone(training_molecule):
    functional = registry.create("egxc", **SMALL)
    before = copy.deepcopy(functional.state_dict())
    x = invariants(training_molecule.rho_ref[None])
    weights = training_molecule.grid().points.weights
    target = registry.create("r2scan")
    first, last = (
        prefit.fit(functional.pointwise_part, target, x, weights, steps, 300, 0) for steps in (0, 60)
    )
    assert last < 0.3 * first
    changed = {k for k, v in functional.state_dict().items() if not torch.equal(v, before[k])}
    assert changed
    assert all(name.startswith("base.") for name in changed)
    exact = registry.create("egxc", **(SMALL | {"base": "r2scan", "base_hyperparameters": None}))
    assert prefit.fit(exact.pointwise_part, target, x, weights, 60, 300, 0) == 0.0


def test_model_file_round_trip(tmp_path, system):
    functional = trained()
    files.save(functional, tmp_path / "model.pt", {"note": "test"})
    again = dixc.load(tmp_path / "model.pt")
    assert again.hyperparameters == functional.hyperparameters
    assert expand(again, system).energy == expand(functional, system).energy


def test_geometry_is_made_once_and_shared(system, monkeypatch):
    from dixc.functionals.egxc import geometry

    calls, build = [], geometry.build
    monkeypatch.setattr(geometry, "build", lambda *a: calls.append(a) or build(*a))
    grid = GridPoints(*parts(system[0]))
    functional = trained()
    for f in (functional, copy.deepcopy(functional), trained(seed=5)):
        expand(f, (grid, system[1]), order=2)
    assert len(calls) == 1
    expand(copy.deepcopy(functional).float(), (grid, system[1]))
    assert len(calls) == 2


def test_initial_weights_depend_on_the_seed_alone():
    state = torch.get_rng_state()
    first, second, other = (registry.create("egxc", **SMALL, seed=s) for s in (0, 0, 1))
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.get_default_dtype() == torch.float32
    pairs = zip(first.parameters(), second.parameters(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)
    assert not torch.equal(first.decoder.mix, other.decoder.mix)


@pytest.mark.parametrize(
    "wrong",
    [
        {"features": 0},
        {"cutoff": -1.0},
        {"partition": "voronoi"},
        {"base": "pbe"},
        {"base": "b3lyp"},
        {"base": "nonesuch"},
        {"readout": 1},
        {"base_hyperparameters": {"nonesuch": 1}},
        {"seed": 1.5},
    ],
)
def test_wrong_hyperparameters(wrong):
    with pytest.raises(UserError):
        registry.create("egxc", **(SMALL | wrong))

"""What holds for every learned pointwise functional: symmetry, derivatives, tail, pre-fit, SCF, files."""

import itertools
import math

import pytest
import torch
from density_points import closed_shell, energy_density, open_shell, random_closed, scaled_energy
from small_molecules import molecule

import dixc.pyscf
from dixc.core.grid import AOGrid
from dixc.core.xc.expansion import XCExpansion
from dixc.core.xc.invariants import invariants
from dixc.functionals import files, registry
from dixc.functionals.base import GridPoints, SpinDensity
from dixc.functionals.lda import slater
from dixc.functionals.reduced import EMPTY_BELOW, SpinPoints
from dixc.functionals.tail import TAIL_END, TAIL_START, TailSwitch
from dixc.training import prefit

SMALL = {
    "xcdiff": {"n_hidden": 16},
    "nnmgga": {"n_hidden": 16},
    "skala-mgga": {"n_hidden": 16, "n_input_layers": 1, "n_layers": 2},
}
N_PARAMETERS = {"xcdiff": 1250, "nnmgga": 20_801, "skala-mgga": 265_473}


def create(name, factor=1.0, seed=3):
    """A small functional; a factor on its weights makes the energy vary a lot."""
    functional = registry.create(name, seed=seed, **SMALL[name])
    with torch.no_grad():
        for parameter in functional.parameters():
            parameter *= factor
    return functional


# four times the weights of Skala-mGGA's deeper network would saturate its sigmoid
@pytest.fixture(
    params=[(n, f) for n in SMALL for f in (1.0, 2.0 if n == "skala-mgga" else 4.0)],
    ids=lambda p: f"{p[0]}, weights x {p[1]:g}",
)
def model(request):
    return create(*request.param)


@pytest.fixture(params=SMALL)
def name(request):
    return request.param


def test_size_and_source(name):
    functional = registry.create(name)
    assert sum(p.numel() for p in functional.parameters()) == N_PARAMETERS[name]
    assert functional.source
    assert functional.pointwise


def test_spins_are_alike(model):
    up, down = random_closed(seed=1), random_closed(seed=2)
    e = energy_density(model, open_shell(up, down))
    swapped = energy_density(model, open_shell(down, up))
    torch.testing.assert_close(swapped, e, rtol=1e-12, atol=0)
    empty = torch.zeros_like(down)
    torch.testing.assert_close(
        energy_density(model, open_shell(empty, up)), energy_density(model, open_shell(up, empty))
    )


def test_closed_shell_is_equal_spins(model):
    x = random_closed().requires_grad_()
    e = energy_density(model, x)
    # x is what the spin-resolved invariants depend on, so the slopes compare potentials of both cases
    e_spin = energy_density(model, open_shell(x, x, cosine=1.0))
    torch.testing.assert_close(e_spin, e, rtol=1e-12, atol=0)
    slopes = [torch.autograd.grad(v.sum(), x)[0] for v in (e, e_spin)]
    for row, row_spin in zip(*slopes, strict=True):
        torch.testing.assert_close(row_spin, row, rtol=1e-8, atol=0)


@pytest.mark.slow
@pytest.mark.parametrize("ns", [1, 2])
def test_gradcheck(model, ns):
    n = [1e-12, 1e-9, 1.1e-7, 3e-7, 2e-6, 8e-6, 1e-3, 1.0, 50.0]
    s, alpha = [1.0, 3.0, 2.0, 6.0, 1.0, 3.0, 2.0, 0.01, 0.3], [2.0, 0.5, 1.0, 3.0, 1.0, 0.1, 0.5, 1.0, 4.0]
    x = closed_shell(n, s, alpha)
    x = x if ns == 1 else open_shell(x, closed_shell(0.3 * x[0], s[::-1], alpha[::-1]))
    m = torch.ones_like(x).requires_grad_()
    fast = not hasattr(model, "exchange")
    assert torch.autograd.gradcheck(scaled_energy(model, x), (m,), eps=1e-6, atol=1e-6)
    assert torch.autograd.gradgradcheck(scaled_energy(model, x), (m,), eps=1e-6, atol=1e-5, fast_mode=fast)


def test_features_of_skala_are_an_invertible_combination_of_the_published_ones():
    """A first layer on plain logarithms that has absorbed the map gives the same function."""
    functional = registry.create("skala-mgga", **SMALL["skala-mgga"], seed=1)
    names = [f"{x}{s}" for x in ("n", "s", "t") for s in "ab"]
    rows = torch.zeros(7, 7, dtype=torch.float64)
    shift = torch.zeros(7, dtype=torch.float64)
    for i, name in enumerate(names):
        kind, power = "nst".index(name[0]), {"n": 0.0, "s": -8 / 3, "t": -5 / 3}[name[0]]
        rows[i, i] = 1.0
        rows[i, names.index("n" + name[1])] += power
        rows[i] /= functional.spread[kind]
        shift[i] = functional.centre[kind] / functional.spread[kind]
    rows[6, 6], rows[6, names.index("sa")], rows[6, names.index("sb")] = 1.0, -0.5, -0.5
    assert abs(torch.linalg.det(rows)) > 0.01
    x = open_shell(
        closed_shell([0.3, 1.0], [1.0, 0.5], [0.5, 2.0]), closed_shell([0.1, 2.0], [0.3, 0.9], [1.0, 0.7])
    )
    density = SpinDensity(x, "MGGA")
    n_a, n_b, s_a, s_b, t_a, t_b = x[0], x[1], x[2], x[4], x[5], x[6]
    logs = torch.log(torch.stack([n_a, n_b, s_a, s_b, t_a, t_b, density.sigma], dim=-1) + 1e-5)
    first = functional.input[0]
    encoded = []
    for order in (list(range(7)), [1, 0, 3, 2, 5, 4, 6]):
        weight = first.weight @ rows
        hidden = logs[:, order] @ weight.T + first.bias - first.weight @ shift
        hidden = torch.nn.functional.silu(hidden)
        for layer in functional.input[1:]:
            hidden = torch.nn.functional.silu(layer(hidden))
        encoded.append(hidden)
    expected = 2 * torch.sigmoid(functional.network(sum(encoded) / 2) / 2)
    points = SpinPoints(density)
    torch.testing.assert_close(functional.factor(density, points, TailSwitch(points.total)), expected)


def test_parameter_gradient_of_second_derivatives_matches_finite_differences(name):
    functional = registry.create(name, **SMALL[name])
    x = closed_shell([1e-6, 1e-3, 0.5], [2.0, 1.0, 0.5], [0.5, 2.0, 1.1])
    weight = [p for p in functional.parameters() if p.ndim == 2][1]
    energy = scaled_energy(functional, x)

    def curvature():
        m = torch.ones_like(x).requires_grad_()
        (slope,) = torch.autograd.grad(energy(m).sum(), m, create_graph=True)
        return torch.autograd.grad(slope[1].sum(), m, create_graph=True)[0].sum()

    (analytic,) = torch.autograd.grad(curvature(), weight)
    values = []
    for step in (1e-5, -1e-5):
        with torch.no_grad():
            weight[2, 3] += step
        values.append(curvature().item())
        with torch.no_grad():
            weight[2, 3] -= step
    assert analytic[2, 3].item() == pytest.approx((values[0] - values[1]) / 2e-5, rel=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("ns", [1, 2])
def test_third_derivatives_are_numbers_everywhere(name, ns, dtype):
    functional = create(name, 3.0, seed=0).to(dtype)
    cut = EMPTY_BELOW[dtype]
    n = [0.0, 1e-30, 1e-12, 0.99 * cut, 1.01 * cut, 1e-8, 0.99e-7, 1.01e-7, 1e-6, 1.01e-5, 1e-3, 1.0, 1e3]
    sigma, tau = [0.0, 1e-30, 1e-10, 1e-3, 1e6], [0.0, 1e-15, 1e-6, 1e5]
    if ns == 1:
        rows = itertools.product(n, sigma, tau)
    else:
        rows = itertools.product(n[::2], n[1::3], sigma[::2], [0.0], sigma[::2], tau[::2], tau[::3])
    x = torch.tensor(list(rows), dtype=dtype).T.contiguous().requires_grad_()
    e = energy_density(functional, x)
    (e1,) = torch.autograd.grad(e.sum(), x, create_graph=True)
    assert torch.isfinite(e).all()
    assert torch.isfinite(e1).all()
    for row in e1:
        (e2,) = torch.autograd.grad(row.sum(), x, create_graph=True)
        assert torch.isfinite(e2).all()
        # of size at most 1 at each point, so that only the derivative itself can overflow
        size = e2.detach().abs().clamp(min=1)
        gradients = torch.autograd.grad((e2 / size).sum(), functional.parameters(), retain_graph=True)
        assert all(torch.isfinite(g).all() for g in gradients)


@pytest.mark.parametrize("start", [TAIL_START, TAIL_END, math.sqrt(TAIL_START * TAIL_END)])
def test_finite_differences_across_the_tail(model, start):
    """Central differences of the slope in n converge with the square of the step, also across the joins."""
    x0 = closed_shell(start, 2.0, 0.7)[:, None]
    energy = scaled_energy(model, x0)

    def slope(shift):
        m = (torch.ones_like(x0) + torch.tensor([[shift], [0.0], [0.0]], dtype=x0.dtype)).requires_grad_()
        return m, torch.autograd.grad(energy(m).sum(), m, create_graph=True)[0][0]

    m, g = slope(0.0)
    exact = torch.autograd.grad(g, m)[0][0].item()
    errors = []
    for h in (4e-3, 5e-4):
        errors.append(abs((slope(h)[1] - slope(-h)[1]).item() / (2 * h) / exact - 1))
    assert errors[-1] < 1e-3
    assert errors[-1] < errors[0] / 40  # 64 expected; a kink or a step would not converge like this


def test_tail_is_the_same_closed_form(model):
    x = closed_shell(10.0 ** torch.linspace(-12, -7, 20), 3.0, 2.0)
    e = energy_density(model, x)
    for name in SMALL:
        torch.testing.assert_close(energy_density(create(name, seed=7), x), e, rtol=1e-14, atol=0)


@pytest.mark.slow
def test_function_transforms(model):
    up, down = random_closed(40, seed=1), random_closed(40, seed=2)
    for x in (up, open_shell(up, down)):
        grid = GridPoints(torch.ones(x.shape[1], dtype=x.dtype))
        slope = torch.func.grad(lambda y, grid=grid: model(y, grid))
        _, product = torch.func.jvp(slope, (x,), (x,))
        y = x.clone().requires_grad_()
        (g,) = torch.autograd.grad(model(y, grid), y, create_graph=True)
        (expected,) = torch.autograd.grad((g * x).sum(), y)
        torch.testing.assert_close(product, expected, rtol=1e-7, atol=1e-12)


def test_weights_in_single_precision_under_features_in_double(name):
    functional = create(name)
    x = open_shell(random_closed(n_min=1e-6, seed=1), random_closed(n_min=1e-6, seed=2))
    e = energy_density(functional, x)
    mixed = energy_density(functional.to(torch.float32), x)
    assert mixed.dtype == torch.float64
    torch.testing.assert_close(mixed, e, rtol=1e-5, atol=0)


@pytest.mark.parametrize("ns", [1, 2])
def test_second_derivatives_on_a_molecule_with_tails(name, ns):
    """Slope of the energy along a change of the orbitals by finite steps: the error goes with the step squared."""
    functional, mol = create(name, 2.0), molecule("water", "sto-3g")
    mf = dixc.pyscf.RKS(mol, xc="lda")
    mf.grids.level = 0
    mf.grids.build()
    grid = AOGrid(mol, mf.grids.coords, mf.grids.weights)
    generator = torch.Generator().manual_seed(0)
    overlap = torch.as_tensor(mol.intor("int1e_ovlp"))
    start = torch.linalg.inv(torch.linalg.cholesky(overlap)).T[:, :5]
    change = 0.1 * torch.randn(2, *start.shape, generator=generator, dtype=torch.float64)

    def expand(h, order):
        """Expansion at h, and first and second derivative of the density rows by h."""
        orbitals = [start + h * c for c in change[:ns]]
        size = 1 if ns == 1 else 0.5
        rho = torch.stack([size * grid.density_of_orbitals(o) for o in orbitals])
        first = torch.stack(
            [2 * size * grid.density_of_pairs(c, o) for c, o in zip(change, orbitals, strict=False)]
        )
        second = torch.stack([2 * size * grid.density_of_pairs(c, c) for c in change[:ns]])
        return XCExpansion(functional, rho, grid.points, order), first, second

    def slope(h):
        expansion, first, _ = expand(h, 1)
        return (expansion.potential * first).sum().item()

    expansion, first, second = expand(0.0, 2)
    assert expansion.rho[:, 0].sum(0).min() < TAIL_END
    exact = ((expansion.product(first) * first).sum() + (expansion.potential * second).sum()).item()
    errors = [abs((slope(h) - slope(-h)) / (2 * h) - exact) for h in (2.4e-3, 3e-4)]
    assert errors[1] < errors[0] / 50  # 64 expected
    assert errors[1] < 1e-8 * abs(exact)


def test_initial_weights_depend_on_the_seed_alone(name):
    state = torch.get_rng_state()
    first, second, other = (create(name, seed=s) for s in (0, 0, 1))
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))
    assert not any(
        torch.equal(a, b) for a, b in zip(first.parameters(), other.parameters(), strict=True) if a.ndim == 2
    )


def test_saved_and_loaded(name, tmp_path):
    functional = create(name, 2.0)
    files.save(functional, tmp_path / "model.pt", {"seed": 3})
    loaded = dixc.load(tmp_path / "model.pt")
    assert type(loaded) is type(functional)
    assert loaded.hyperparameters == functional.hyperparameters
    x = open_shell(random_closed(seed=1), random_closed(seed=2))
    assert torch.equal(energy_density(loaded, x), energy_density(functional, x))


@pytest.fixture(scope="module")
def water_invariants():
    """Meta-GGA invariants (3, N) and weights (N,) of a density near that of water."""
    mol = molecule("water")
    mf = dixc.pyscf.RKS(mol, xc="lda").set(max_cycle=2)
    mf.grids.level = 0
    mf.kernel()
    grid = AOGrid(mol, mf.grids.coords, mf.grids.weights)
    return invariants(grid.density(mf.make_rdm1())[None]), grid.points.weights


@pytest.mark.slow
def test_prefit_reaches_r2scan(name, water_invariants):
    functional, target = registry.create(name, seed=0, **SMALL[name]), registry.create("r2scan")
    untrained = prefit.fit(functional, target, *water_invariants, 0, 400, seed=0)
    steps = 200 if name == "skala-mgga" else 80
    error = prefit.fit(functional, target, *water_invariants, steps, 400, seed=0)
    assert error < 0.025  # hartree per electron, of r2SCAN's energy and its three slopes together
    assert error < untrained / 5


@pytest.mark.slow
def test_scf_and_tddft_from_the_default_guess(name):
    functional = create(name)
    mf = dixc.pyscf.RKS(molecule("water", "sto-3g"), xc=functional)
    mf.grids.level = 0
    mf.kernel()
    assert mf.converged
    dense = mf.TDDFT().get_ab()
    excitations = {}
    for singlet in (True, False):
        td = mf.TDDFT().set(nstates=1, singlet=singlet, conv_tol=1e-7)
        excitations[singlet] = td.kernel()[0][0]
    a, b = (torch.as_tensor(m).flatten(2).flatten(0, 1) for m in dense)
    root = torch.linalg.cholesky(a - b)
    lowest = torch.linalg.eigvalsh(root.T @ (a + b) @ root)[0].sqrt().item()
    assert excitations[True] == pytest.approx(lowest, abs=1e-7)
    assert 0 < excitations[False] < excitations[True]


def test_enhancement_bounds():
    """Skala-mGGA: 0 < F < 2 over local exchange outside of the tail; NN-mGGA: F > 0."""
    up, down = random_closed(n_min=2e-5, seed=1), random_closed(n_min=2e-5, seed=2)
    density = SpinDensity(open_shell(up, down), "MGGA")
    points = SpinPoints(density)
    local = points.spin_mean([slater(c) for c in points.channels])
    for name, weights, bound in (("skala-mgga", 2.0, 2.0), ("nnmgga", 4.0, math.inf)):
        factor = create(name, weights).energy_density(density) / local
        assert (factor > 0).all()
        assert (factor < bound).all()
        assert factor.max() - factor.min() > 0.05


def test_published_elu():
    functional = registry.create("nnmgga", n_hidden=8, activation="elu")
    assert functional.network.activation == "elu"
    x = random_closed(n_min=1e-4)
    assert (energy_density(functional, x) < 0).all()
    with pytest.raises(dixc.errors.UserError, match="activation must be one of gelu, elu"):
        registry.create("nnmgga", activation="relu")


@pytest.mark.parametrize(("key", "value"), [("n_hidden", 0), ("n_layers", True), ("seed", 0.5)])
def test_refused_hyperparameters(name, key, value):
    with pytest.raises(dixc.errors.UserError, match=f"functional {name}: {key} must be"):
        registry.create(name, **{key: value})

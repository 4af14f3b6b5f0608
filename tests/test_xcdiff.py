"""XCdiff: exact constraints, derivatives up to third order, and its tail."""

import itertools
import math

import numpy as np
import pytest
import torch

from dixc.functionals import registry
from dixc.functionals.base import GridPoints, SpinDensity
from dixc.functionals.lda import pw92, slater
from dixc.functionals.reduced import EMPTY_BELOW, P_FACTOR, TAU_FACTOR, SpinPoints
from dixc.functionals.xcdiff import EXCHANGE_BOUND, TAIL_END, TAIL_START


@pytest.fixture(params=[1.0, 4.0], ids=["untrained", "large weights"])
def model(request):
    functional = registry.create("xcdiff", seed=3)
    with torch.no_grad():
        for parameter in functional.parameters():
            parameter *= request.param
    return functional


def closed_shell(n, s, alpha):
    """Invariants (3, N) with density n, reduced gradient s and (tau - tau_W) / tau_unif = alpha."""
    n, s, alpha = torch.broadcast_tensors(*(torch.as_tensor(v, dtype=torch.float64) for v in (n, s, alpha)))
    sigma = P_FACTOR * s**2 * n ** (8 / 3)
    return torch.stack([n, sigma, sigma / (8 * n) + alpha * TAU_FACTOR * n ** (5 / 3)])


def open_shell(up, down, cosine=0.3):
    """Invariants (7, N) from spin-scaled ones (3, N) of each spin and the angle between the gradients."""
    (n_a, s_a, t_a), (n_b, s_b, t_b) = up, down
    return torch.stack(
        [n_a / 2, n_b / 2, s_a / 4, cosine * (s_a * s_b).sqrt() / 4, s_b / 4, t_a / 2, t_b / 2]
    )


def random_closed(count=300, n_min=1e-9, seed=0):
    rng = np.random.default_rng(seed)
    s, alpha = 10 ** rng.uniform(-3, 1.5, count), 10 ** rng.uniform(-3, 2.5, count)
    return closed_shell(10 ** rng.uniform(math.log10(n_min), 3, count), s, alpha)


def exchange(functional, x):
    """Exchange energy per volume of a closed shell or a spin-resolved density."""
    points = SpinPoints(SpinDensity(x, "MGGA"))
    return points.spin_mean([slater(c) * f for c, f in functional._exchange_factors(points.channels)])


def correlation(functional, x):
    points = SpinPoints(SpinDensity(x, "MGGA"))
    return points.total.energy(points.total.n * functional._correlation(points))


def test_uniform_gas(model):
    n = 10.0 ** torch.arange(-9, 3, dtype=torch.float64)
    x = closed_shell(n, 0.0, 1.0)
    local = registry.create("lda")
    reference = local.energy_density(SpinDensity(x[:1], "LDA"))
    torch.testing.assert_close(model.energy_density(SpinDensity(x, "MGGA")), reference, rtol=1e-12, atol=0)
    polarised = open_shell(x, x * torch.tensor([0.1, 0.1 ** (8 / 3), 0.1 ** (5 / 3)])[:, None].double())
    reference = local.energy_density(SpinDensity(polarised[:2], "LDA"))
    torch.testing.assert_close(
        model.energy_density(SpinDensity(polarised, "MGGA")), reference, rtol=1e-12, atol=0
    )


def test_bounds(model):
    grid = itertools.product(10.0 ** np.arange(-12, 4), [0, 0.1, 1, 5, 50, 1000], [0, 0.3, 1, 3, 50, 1e4])
    x = closed_shell(*np.array(list(grid)).T)
    points = SpinPoints(SpinDensity(x, "MGGA"))
    (_, factor), *_ = model._exchange_factors(points.channels)
    assert (factor > 0).all()
    assert (factor <= EXCHANGE_BOUND).all()
    for y in (x, open_shell(x, x.flip(-1))):
        assert (correlation(model, y) <= 0).all()
    local = points.total.n * pw92(points.total.rs_sqrt, points.polarisation)
    assert (correlation(model, x) >= local * (1 + 1e-12)).all()


def test_exchange_scales_with_coordinates(model):
    x = random_closed(n_min=1e-4)
    for scale in (0.5, 3.0):
        scaled = x * torch.tensor([scale**3, scale**8, scale**5], dtype=x.dtype)[:, None]
        torch.testing.assert_close(exchange(model, scaled), scale**4 * exchange(model, x), rtol=1e-10, atol=0)


def test_exchange_scales_with_spin(model):
    up, down = random_closed(seed=1), random_closed(seed=2)
    expected = (exchange(model, up) + exchange(model, down)) / 2
    torch.testing.assert_close(exchange(model, open_shell(up, down)), expected, rtol=1e-12, atol=0)


def test_spins_are_alike(model):
    up, down = random_closed(seed=1), random_closed(seed=2)
    e = model.energy_density(SpinDensity(open_shell(up, down), "MGGA"))
    swapped = model.energy_density(SpinDensity(open_shell(down, up), "MGGA"))
    torch.testing.assert_close(swapped, e, rtol=1e-12, atol=0)


def test_closed_shell_is_equal_spins(model):
    x = random_closed().requires_grad_()
    e = model.energy_density(SpinDensity(x, "MGGA"))
    # x is what the spin-resolved invariants depend on, so the slopes compare potentials of both cases
    e_spin = model.energy_density(SpinDensity(open_shell(x, x, cosine=1.0), "MGGA"))
    torch.testing.assert_close(e_spin, e, rtol=1e-12, atol=0)
    slopes = [torch.autograd.grad(v.sum(), x)[0] for v in (e, e_spin)]
    for row, row_spin in zip(*slopes, strict=True):
        torch.testing.assert_close(row_spin, row, rtol=1e-8, atol=0)


def scaled_energy(functional, x0):
    """Function of dimensionless multipliers of x0 (rows, N), in units of the energy at x0 now."""
    unit = functional.energy_density(SpinDensity(x0, "MGGA")).detach().abs()
    return lambda m: functional.energy_density(SpinDensity(x0 * m, "MGGA")) / unit


@pytest.mark.parametrize("ns", [1, 2])
def test_gradcheck(model, ns):
    n = [1e-12, 1e-9, 1.1e-7, 3e-7, 2e-6, 8e-6, 1e-3, 1.0, 50.0]
    s, alpha = [1.0, 3.0, 2.0, 6.0, 1.0, 3.0, 2.0, 0.01, 0.3], [2.0, 0.5, 1.0, 3.0, 1.0, 0.1, 0.5, 1.0, 4.0]
    x = closed_shell(n, s, alpha)
    x = x if ns == 1 else open_shell(x, closed_shell(0.3 * x[0], s[::-1], alpha[::-1]))
    m = torch.ones_like(x).requires_grad_()
    assert torch.autograd.gradcheck(scaled_energy(model, x), (m,), eps=1e-6, atol=1e-6)
    assert torch.autograd.gradgradcheck(scaled_energy(model, x), (m,), eps=1e-6, atol=1e-5)


def test_parameter_gradient_of_second_derivatives_matches_finite_differences():
    functional = registry.create("xcdiff")
    x = closed_shell([1e-6, 1e-3, 0.5], [2.0, 1.0, 0.5], [0.5, 2.0, 1.1])
    weight = functional.exchange.hidden[1].weight

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


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("ns", [1, 2])
def test_third_derivatives_are_numbers_everywhere(ns, dtype):
    functional = registry.create("xcdiff").to(dtype)
    with torch.no_grad():
        for parameter in functional.parameters():
            parameter *= 3
    cut = EMPTY_BELOW[dtype]
    n = [0.0, 1e-30, 1e-12, 0.99 * cut, 1.01 * cut, 1e-8, 0.99e-7, 1.01e-7, 1e-6, 1.01e-5, 1e-3, 1.0, 1e3]
    sigma, tau = [0.0, 1e-30, 1e-10, 1e-3, 1e6], [0.0, 1e-15, 1e-6, 1e5]
    if ns == 1:
        rows = itertools.product(n, sigma, tau)
    else:
        rows = itertools.product(n[::2], n[1::3], sigma[::2], [0.0], sigma[::2], tau[::2], tau[::3])
    x = torch.tensor(list(rows), dtype=dtype).T.contiguous().requires_grad_()
    e = functional.energy_density(SpinDensity(x, "MGGA"))
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


def test_tail_is_its_closed_form(model):
    x = closed_shell(10.0 ** np.linspace(-12, -7, 20), 3.0, 2.0)
    e = model.energy_density(SpinDensity(x, "MGGA"))
    other = registry.create("xcdiff", seed=7).energy_density(SpinDensity(x, "MGGA"))
    torch.testing.assert_close(e, other, rtol=0, atol=0)


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


def test_initial_weights_depend_on_the_seed_alone():
    state = torch.get_rng_state()
    first, second, other = (registry.create("xcdiff", seed=s) for s in (0, 0, 1))
    assert torch.equal(torch.get_rng_state(), state)
    same = [torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True)]
    assert all(same)
    assert not torch.equal(first.exchange.hidden[0].weight, other.exchange.hidden[0].weight)


def test_hyperparameters_build_it_again():
    functional = registry.create("xcdiff", n_hidden=5, n_layers=2, seed=4)
    assert functional.hyperparameters == {"n_hidden": 5, "n_layers": 2, "seed": 4}
    assert len(functional.exchange.hidden) == 2
    again = registry.create("xcdiff", **functional.hyperparameters)
    again.load_state_dict(functional.state_dict())

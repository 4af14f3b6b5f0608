"""XCdiff: its exact constraints. What holds for every learned functional is in test_learned.py."""

import itertools

import numpy as np
import pytest
import torch
from density_points import closed_shell, open_shell, random_closed

from dixc.functionals import registry
from dixc.functionals.base import SpinDensity
from dixc.functionals.lda import pw92, slater
from dixc.functionals.reduced import SpinPoints
from dixc.functionals.tail import EXCHANGE_BOUND


@pytest.fixture(params=[1.0, 4.0], ids=["untrained", "large weights"])
def model(request):
    functional = registry.create("xcdiff", seed=3)
    with torch.no_grad():
        for parameter in functional.parameters():
            parameter *= request.param
    return functional


def exchange(functional, x):
    """Exchange energy per volume of a closed shell or a spin-resolved density."""
    points = SpinPoints(SpinDensity(x, "MGGA"))
    return points.spin_mean([slater(c) * f for c, f in functional.exchange_factors(points.channels)])


def correlation(functional, x):
    points = SpinPoints(SpinDensity(x, "MGGA"))
    return points.total.energy(points.total.n * functional.correlation_per_electron(points))


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
    (_, factor), *_ = model.exchange_factors(points.channels)
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

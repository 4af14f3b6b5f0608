"""Learning rates: parts of a functional at their own, cosine annealing of all, the same in the fit of energies."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from dixc import create
from dixc.functionals.base import PointwiseFunctional
from dixc.training.energies import LONGEST, EnergyFit
from dixc.training.learning_rates import cosine_annealing, learning_rates, parameter_groups


class ThreeParts(PointwiseFunctional):
    """Fast and slow parameters, interleaved."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Parameter(torch.zeros(2))
        self.slow = nn.Parameter(torch.zeros(1, 3))
        self.last = nn.Parameter(torch.zeros(()))

    def relative_learning_rate(self, name: str) -> float:
        return 0.25 if name == "slow" else 1.0


@pytest.fixture
def adam():
    functional = ThreeParts()
    return functional, torch.optim.Adam(parameter_groups(functional, 0.1))


def test_rates_of_elements_follow_the_order_of_the_parameters(adam):
    functional, optimizer = adam
    rates = learning_rates(optimizer, list(functional.parameters()))
    assert torch.allclose(rates, torch.tensor([0.1, 0.1, 0.025, 0.025, 0.025, 0.1]))


def test_optimizer_steps_have_the_rates(adam):
    functional, optimizer = adam
    sum(parameter.sum() for parameter in functional.parameters()).backward()
    optimizer.step()
    assert torch.allclose(functional.first, torch.tensor(-0.1))
    assert torch.allclose(functional.slow, torch.tensor(-0.025))


def test_all_rates_anneal_to_the_same_fraction(adam):
    functional, optimizer = adam
    schedule = cosine_annealing(optimizer, 10, 0.01)
    seen = []
    for _ in range(10):
        seen.append(learning_rates(optimizer, list(functional.parameters()))[[0, 2]])
        optimizer.step()
        schedule.step()
    seen.append(learning_rates(optimizer, list(functional.parameters()))[[0, 2]])
    rates = torch.stack(seen)
    assert torch.allclose(rates[:, 0], 4 * rates[:, 1])
    assert torch.allclose(rates[[0, 5, 10], 0], torch.tensor([0.1, 0.0505, 0.001]))


def test_energy_fit_spares_what_is_to_change_slowly():
    rates = torch.tensor([1e-2, 1e-2, 1e-4, 1e-4])
    fit, weights = EnergyFit(4), torch.zeros(4)
    fit.learn("a", torch.ones(1, 4), torch.tensor([1e-3]), weights)
    change = fit.change(weights, weights, torch.ones(4), rates)
    assert torch.allclose(change[2:], 0.01 * change[:2])
    fit.learn("a", torch.ones(1, 4), torch.tensor([1e6]), weights)
    longest = fit.change(weights, weights, torch.ones(4), rates).abs()
    assert torch.allclose(longest, LONGEST * rates)


def test_graph_of_egxc_changes_slower_than_its_base():
    functional = create("egxc", features=4, layers=1, n_radial=4)
    groups = parameter_groups(functional, 1.0)
    sizes = {group["lr"]: sum(p.numel() for p in group["params"]) for group in groups}
    base = sum(p.numel() for p in functional.base.parameters())
    assert sizes[1.0] == base
    assert [rate for rate in sizes if rate != 1.0] == [0.1]
    assert sizes[0.1] == sum(p.numel() for p in functional.parameters()) - base

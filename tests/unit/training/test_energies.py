"""Energies by least squares beside the optimizer: exact where errors are linear, harmless to the rest, resumable."""

from __future__ import annotations

import copy

import pytest
import torch

from dixc import create
from dixc.core.grid import AOGrid
from dixc.core.xc.expansion import XCExpansion
from dixc.training import energies
from dixc.training.energies import EnergyFit

P, N = 12, 5


@pytest.fixture
def linear():
    """Energy errors of N molecules that are linear in P parameters, with gradients that are nearly parallel."""
    generator = torch.Generator().manual_seed(0)

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    gradients = 1000 * (normal(P) + 0.3 * normal(N, P))
    offsets = 50 * normal(N)
    return gradients, offsets, normal(P)


def learned(fit: EnergyFit, gradients, offsets, weights) -> EnergyFit:
    for number, (gradient, offset) in enumerate(zip(gradients, offsets, strict=True)):
        fit.learn(str(number), gradient[None], (offset + gradient @ weights)[None], weights)
    return fit


def test_errors_of_all_molecules_fall_to_nothing(linear):
    gradients, offsets, weights = linear
    fit = learned(EnergyFit(64), gradients, offsets, weights)
    before = offsets + gradients @ weights
    for _ in range(60):
        weights = weights + fit.change(weights, weights, torch.ones(P), learning_rate=1.0)
    errors = offsets + gradients @ weights
    assert torch.allclose(fit.at(weights), errors, atol=1e-9)
    assert errors.norm() < 0.02 * before.norm()


def test_what_a_step_does_to_energies_is_undone(linear, monkeypatch):
    """A step that is repeated leaves no error behind, however long it is."""
    monkeypatch.setattr(energies, "RIDGE", 1e-6)
    gradients, offsets, weights = linear
    fit = learned(EnergyFit(64), gradients, offsets, weights)
    step = 0.1 * torch.ones(P, dtype=torch.float64)
    added = (gradients @ step).abs().max()
    for _ in range(20):
        before, weights = weights, weights + step
        weights = weights + fit.change(before, weights, torch.ones(P), learning_rate=1.0)
    assert (offsets + gradients @ weights).abs().max() < 0.01 * added


def test_parameters_that_others_depend_on_are_spared(linear):
    gradients, offsets, weights = linear
    fit = learned(EnergyFit(64), gradients, offsets, weights)
    moments = torch.ones(P)
    moments[: P // 2] = 1e6
    change = fit.change(weights, weights, moments, learning_rate=10.0).abs()
    assert change[: P // 2].max() < 0.01 * change[P // 2 :].max()
    assert torch.allclose(change, fit.change(weights, weights, 7 * moments, learning_rate=10.0).abs())


def test_change_is_bounded_by_the_learning_rate(linear):
    gradients, offsets, weights = linear
    fit = learned(EnergyFit(64), gradients, offsets + 1e6, weights)
    change = fit.change(weights, weights, torch.ones(P), learning_rate=1e-3)
    assert abs(float(change.abs().max()) - energies.LONGEST * 1e-3) < 1e-12


def test_no_molecule_no_change():
    assert not EnergyFit(4).change(torch.ones(P), torch.ones(P), torch.zeros(P), 1.0).any()


def test_molecules_met_longest_ago_are_forgotten(linear):
    gradients, offsets, weights = linear
    fit = learned(EnergyFit(3), gradients, offsets, weights)
    assert list(fit.by_molecule) == ["2", "3", "4"]
    fit.learn("2", gradients[2:3], torch.zeros(1), weights)
    fit.learn("5", gradients[:1], torch.zeros(1), weights)
    assert list(fit.by_molecule) == ["4", "2", "5"]


def test_state_repeats_the_next_change(linear):
    gradients, offsets, weights = linear
    fit, again = learned(EnergyFit(3), gradients, offsets, weights), EnergyFit(3)
    again.load_state_dict(copy.deepcopy(fit.state_dict()))
    moments = torch.linspace(1, 2, P)
    assert torch.equal(
        fit.change(weights, weights, moments, 1e-2), again.change(weights, weights, moments, 1e-2)
    )


@pytest.mark.parametrize("order", [0, 1, 2])
@pytest.mark.parametrize("name", ["xcdiff", "egxc"])
def test_energy_gradient_by_finite_differences(water, order, name):
    """Of a network, on a molecule with low-density tails; central differences with a step study."""
    record, _ = water
    points = record.grid(0)
    grid = AOGrid(record.mol, points.coords, points.weights, "MGGA")
    rho = grid.density(record.dm)[None]
    small = (
        {"n_hidden": 6, "n_layers": 2} if name == "xcdiff" else {"features": 4, "layers": 1, "n_radial": 4}
    )
    functional = create(name, seed=3, **small)
    analytic = XCExpansion(functional, rho, grid.points, order, trainable=True).gradients.of_energy()
    generator = torch.Generator().manual_seed(1)
    direction = torch.randn(len(analytic), generator=generator, dtype=torch.float64)
    start = torch.nn.utils.parameters_to_vector(functional.parameters()).detach()

    def energy(step: float) -> float:
        torch.nn.utils.vector_to_parameters(start + step * direction, functional.parameters())
        return XCExpansion(functional, rho, grid.points, 0).energy

    first = next(functional.parameters())
    first.requires_grad_(False)
    frozen = XCExpansion(functional, rho, grid.points, order, trainable=True).gradients.of_energy()
    assert not frozen[: first.numel()].any()
    assert torch.allclose(frozen[first.numel() :], analytic[first.numel() :])
    expected = float(analytic @ direction)
    errors = [abs((energy(h) - energy(-h)) / (2 * h) / expected - 1) for h in (1e-3, 1e-4)]
    assert errors[1] < 1e-6
    assert errors[1] < max(errors[0], 1e-8), "the error must fall with the step"

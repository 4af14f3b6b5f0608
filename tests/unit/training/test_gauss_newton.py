"""Gauss-Newton steps: rows of Jacobians are those of the terms, and steps solve what is linear."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from small_references import reference_record

from dixc import create
from dixc.config.training import Training
from dixc.training import gauss_newton, model_scf, terms
from dixc.training.gauss_newton import GaussNewton
from dixc.training.learning_rates import add_to
from dixc.training.loop import Trainer
from dixc.training.molecule import TrainingMolecule
from dixc.training.sinks import GradientSink, JacobianSink

TIGHT = {"scf_conv_tol_grad": 1e-9, "cg_tol": 1e-10}
P = 7


def settings(**changes) -> Training:
    values = {
        "grid_level": 0,
        "density": {"weight": 1e3, **TIGHT},
        "hessian": {"weight": 10.0, "probes": 3, "grid_level": 0},
    }
    return Training.model_validate(values | changes)


@pytest.fixture(scope="module")
def molecule(water) -> TrainingMolecule:
    return TrainingMolecule(*water, grid_level=0, hessian_grid_level=0)


FUNCTIONALS = {
    "xcdiff": lambda: create("xcdiff", n_hidden=4, n_layers=1, seed=3),
    "egxc": lambda: create(
        "egxc", features=2, layers=1, n_radial=2, base_hyperparameters={"n_hidden": 4, "n_layers": 1}
    ),
}


def value(term, molecule, functional, options, sink=None) -> float:
    scf = None
    if "energy" in term:
        scf = model_scf.solve(molecule, functional, None, options.density.scf_conv_tol_grad, max_steps=30)
        assert scf.converged
    names, rng = term.split(" and "), np.random.default_rng(5)
    values = terms.evaluate(names, molecule, functional, options, scf, rng, sink)
    return sum(v.weighted for v in values)


@pytest.mark.slow
@pytest.mark.parametrize("name", FUNCTIONALS)
@pytest.mark.parametrize("term", ["energy and density", "gradient", "hessian and excitation"])
def test_rows_and_residuals_make_the_gradient(term, name, molecule):
    """A^T r is the gradient that Adam would see, whatever random directions there are beside."""
    functional, options = FUNCTIONALS[name](), settings(energy={"method": "gradient"})
    value(term, molecule, functional, options, GradientSink())
    parts = [torch.zeros_like(p) if p.grad is None else p.grad for p in functional.parameters()]
    gradient = torch.cat([part.flatten() for part in parts])
    sketch = JacobianSink(3, np.random.default_rng(1))
    value(term, molecule, functional, options, sink=sketch)
    rows, residuals = sketch.collected()
    assert len(rows) > len(torch.nonzero(residuals)) > 0, "random directions have no residual of their own"
    assert torch.allclose(rows.T @ residuals, gradient, rtol=1e-7, atol=1e-9 * float(gradient.abs().max()))


@pytest.mark.slow
def test_all_directions_make_the_gauss_newton_matrix(molecule):
    """With as many directions as there are pairs nothing is left to chance: A^T A from finite differences."""
    functional, options = FUNCTIONALS["xcdiff"](), settings()
    sketch = JacobianSink(molecule.metric_diagonal.size, np.random.default_rng(1))
    value("gradient", molecule, functional, options, sink=sketch)
    rows, _ = sketch.collected()
    generator = torch.Generator().manual_seed(2)
    direction = torch.randn(rows.shape[1], generator=generator, dtype=torch.float64)

    class Kept(JacobianSink):
        def directions(self, residuals, count=None):
            self.residuals = residuals.copy()
            return super().directions(residuals, 1)

    def residuals(step: float) -> np.ndarray:
        moved, kept = copy.deepcopy(functional), Kept(1, np.random.default_rng(0))
        add_to(list(moved.parameters()), step * direction)
        value("gradient", molecule, moved, options, sink=kept)
        return kept.residuals

    wanted = float((rows @ direction).norm())
    errors = [abs(np.linalg.norm(residuals(h) - residuals(-h)) / (2 * h) / wanted - 1) for h in (1e-2, 1e-3)]
    assert errors[1] < 1e-5
    assert errors[1] < errors[0], "the error must fall with the step"


def test_few_directions_have_the_right_sum_on_average():
    matrix = np.random.default_rng(0).standard_normal((40, 3))
    residuals = np.random.default_rng(1).standard_normal(40)
    totals = []
    for seed in range(400):
        directions, values = JacobianSink(5, np.random.default_rng(seed)).directions(residuals)
        assert np.allclose(values @ directions, residuals)
        totals.append((directions @ matrix).T @ (directions @ matrix))
    exact = matrix.T @ matrix
    assert np.abs(np.mean(totals, axis=0) - exact).max() < 0.1 * np.abs(exact).max()


def problem(molecules: int = 3, rows: int = 6) -> list[tuple[torch.Tensor, torch.Tensor]]:
    generator = torch.Generator().manual_seed(0)

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    # one direction in each molecule is far stiffer than the others, like an energy
    scale = torch.tensor([1e3] + [1.0] * (rows - 1), dtype=torch.float64)
    return [(scale[:, None] * normal(rows, P), scale * normal(rows)) for _ in range(molecules)]


def optimizer(rate: float, memory: int = 64) -> tuple[list[torch.nn.Parameter], GaussNewton]:
    weights = [torch.nn.Parameter(torch.zeros(n, dtype=torch.float64)) for n in (2, P - 2)]
    groups = [{"params": [weights[1]], "lr": rate}, {"params": [weights[0]], "lr": rate}]
    return weights, GaussNewton(groups, weights, memory)


def visit(steps: GaussNewton, weights, number: int, data) -> None:
    rows, offset = data[number % len(data)]
    steps.learn(str(number % len(data)), rows, offset + rows @ torch.cat([w.detach() for w in weights]))
    steps.step()


def test_a_linear_problem_is_solved_in_one_visit_each(monkeypatch):
    monkeypatch.setattr(gauss_newton, "LONGEST", 1e9)
    data = problem()
    weights, steps = optimizer(rate=1e4)
    for number in range(len(data)):
        visit(steps, weights, number, data)
    rows, offsets = (torch.cat(parts) for parts in zip(*data, strict=True))
    solution = torch.linalg.lstsq(rows, -offsets[:, None]).solution[:, 0]
    assert torch.allclose(torch.cat([w.detach() for w in weights]), solution, rtol=1e-5, atol=1e-6)


def test_weights_move_by_learning_rates():
    weights, steps = optimizer(rate=1e-3)
    for number, group in enumerate(steps.param_groups):
        group["lr"] *= (0.1, 1.0)[number]  # the second tensor is in the first group
    visit(steps, weights, 0, problem())
    moved = [w.detach().abs().max() for w in weights]
    assert 0 < moved[0] <= 1.0001 * gauss_newton.LONGEST * 1e-3
    assert 0 < moved[1] <= 1.0001 * gauss_newton.LONGEST * 1e-4


def test_only_the_last_molecules_are_remembered():
    data = problem(molecules=5)
    weights, steps = optimizer(rate=0.1, memory=2)
    for number in range(5):
        visit(steps, weights, number, data)
    assert list(steps.molecules.by_molecule) == ["3", "4"]
    alone, again = optimizer(rate=0.1, memory=2)
    add_to(alone, torch.cat([w.detach() for w in weights]))
    for number in (3, 4):
        rows, offset = data[number]
        again.learn(str(number), rows, offset + rows @ torch.cat([w.detach() for w in alone]))
    for both in (steps, again):
        both.step()
    assert torch.allclose(weights[1], alone[1], rtol=1e-8)


def test_a_restored_state_makes_the_same_steps():
    data = problem()
    weights, steps = optimizer(rate=0.1)
    for number in range(4):
        visit(steps, weights, number, data)
    others, again = optimizer(rate=0.1)
    add_to(others, torch.cat([w.detach() for w in weights]))
    again.load_state_dict(copy.deepcopy(steps.state_dict()))
    for number in range(4, 8):
        visit(steps, weights, number, data)
        visit(again, others, number, data)
    assert all(torch.equal(a, b) for a, b in zip(weights, others, strict=True))


@pytest.mark.slow
def test_training_beats_adam_in_few_visits():
    """Two visits to each of two molecules; the loss at their third."""
    known = {name: reference_record(name) for name in ("water", "ammonia")}
    losses = {}
    for method in ("gauss_newton", "adam"):
        options = Training(optimizer=method, steps=8, grid_level=0, precision="double")
        train = {
            name: TrainingMolecule(*record, grid_level=0, hessian_grid_level=0)
            for name, record in known.items()
        }
        run = Trainer(create("xcdiff", n_hidden=6, n_layers=2), "grad", 0, options, train, {}, None)
        rows = [run.train_step() for _ in range(6)]
        losses[method] = rows[4]["loss"] + rows[5]["loss"]
    assert losses["gauss_newton"] < 0.5 * losses["adam"]

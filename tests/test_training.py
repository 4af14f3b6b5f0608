"""Loss terms against finite differences in the parameters, and the optimisation loop's promises."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch

from dixc import create
from dixc.config.training import Training
from dixc.training import model_scf, terms
from dixc.training.data import TrainingMolecule

TIGHT = {"scf_conv_tol_grad": 1e-9, "cg_tol": 1e-10}


def settings(**changes) -> Training:
    values = {"density": {"weight": 1e3, **TIGHT}, "hessian": {"weight": 10.0, "probes": 3, "grid_level": 0}}
    return Training.model_validate(values | {"grid_level": 0} | changes)


@pytest.fixture(scope="module")
def molecule(water) -> TrainingMolecule:
    return TrainingMolecule(*water, grid_level=0, hessian_grid_level=0)


@pytest.fixture
def functional():
    return create("xcdiff", n_hidden=6, n_layers=2, seed=3)


def term_value(term: str, molecule, functional, options: Training, backward: bool) -> float:
    if term in ("energy", "density"):
        point = model_scf.solve(molecule, functional, None, options.density.scf_conv_tol_grad, max_steps=30)
        assert point.converged
        values = terms.energy_and_density(molecule, functional, point, options, backward)
        return sum(v.weighted for v in values)
    if term == "gradient":
        return terms.gradient(molecule, functional, options, backward).weighted
    return terms.hessian(molecule, functional, options, np.random.default_rng(5), backward).weighted


CASES = {
    "energy": settings(density={"weight": 0.0, **TIGHT}),
    "density": settings(energy={"weight": 0.0}),
    "gradient": settings(),
    "gradient, diagonal": settings(gradient={"metric": "diagonal"}),
    "gradient, plain": settings(gradient={"metric": "plain"}),
    "hessian": settings(),
    "hessian, plain": settings(hessian={"metric": "plain", "probes": 2, "grid_level": 0}),
}


@pytest.mark.parametrize("case", CASES)
def test_parameter_gradient_is_that_of_the_value(case, molecule, functional):
    """Directional derivative along a random direction, central differences with a step study."""
    options, term = CASES[case], case.split(",")[0]
    parameters = list(functional.parameters())
    generator = torch.Generator().manual_seed(1)
    direction = [torch.randn(p.shape, generator=generator, dtype=p.dtype) for p in parameters]
    term_value(term, molecule, functional, options, backward=True)
    analytic = sum(
        float((p.grad * d).sum()) for p, d in zip(parameters, direction, strict=True) if p.grad is not None
    )

    def at(step: float) -> float:
        moved = copy.deepcopy(functional)
        with torch.no_grad():
            for p, d in zip(moved.parameters(), direction, strict=True):
                p += step * d
        return term_value(term, molecule, moved, options, backward=False)

    errors = [abs((at(h) - at(-h)) / (2 * h) - analytic) / abs(analytic) for h in (1e-3, 1e-4)]
    assert errors[1] < 2e-5
    assert errors[1] < max(errors[0], 1e-6), "the error must fall with the step"

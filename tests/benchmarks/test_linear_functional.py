"""benchmarks/linear_functional.py: its gradients are those of its energies, and its solutions those of its losses."""

from __future__ import annotations

import importlib.util
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from small_references import reference_record

from dixc import create
from dixc.config.training import Training

PATH = Path(__file__).parents[2] / "benchmarks/linear_functional.py"


@pytest.fixture(scope="module")
def benchmark():
    spec = importlib.util.spec_from_file_location("linear_functional", PATH)
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def water_pbe():
    """A reference that is a functional of dixc too, on the benchmark's grid."""
    return reference_record("water", functional="pbe", grid_level=1)


def test_gradients_are_those_of_energies(benchmark, water):
    record, _ = water
    molecule = benchmark.Molecule(record, create("r2scan"))
    rng = np.random.default_rng(0)
    at, direction = (0.03 * rng.standard_normal(molecule.data.shape) for _ in range(2))
    gradients = molecule.at(at)[2].each
    # the gradient belongs to the orbitals at `at`, so a direction from there is the second rotation of two
    orbo, orbv = benchmark.rotate(molecule.data.orbo_ref, molecule.data.orbv_ref, at)
    molecule.data.orbo_ref, molecule.data.orbv_ref = orbo, orbv
    slopes = {}
    for step in (1e-2, 1e-3):
        ahead, behind = (molecule.at(sign * step * direction)[0] for sign in (1, -1))
        slopes[step] = (ahead - behind) / (2 * step)
    wanted = gradients @ (direction * molecule.root).ravel()
    errors = [np.abs(slopes[step] - wanted).max() for step in slopes]
    assert errors[1] < 0.02 * errors[0]
    assert errors[1] < 1e-5 * np.abs(wanted).max()


def test_nothing_is_missing_where_the_start_is_the_reference(benchmark, water_pbe):
    record, derivatives = water_pbe
    found = benchmark.linear(record, create("pbe"), derivatives["a_plus_b"])
    assert abs(found.energy) < 1e-6
    for gradients in (found.gradient, found.hessian, *found.away):
        assert np.abs(gradients.wanted).max() < 1e-4
        assert np.abs(gradients.each).max() > 0.1
    assert len(found.hessian.wanted) == benchmark.PROBES * len(found.gradient.wanted)


def test_orbitals_away_from_the_reference_have_the_energy_that_is_asked_for(
    benchmark, water_pbe, monkeypatch
):
    record, derivatives = water_pbe
    rises = []
    at = benchmark.Molecule.at

    def watched(self, kappa):
        orbo, _ = benchmark.rotate(self.data.orbo_ref, self.data.orbv_ref, kappa)
        rises.append(1000 * (self.hybrid.energy_tot(2 * orbo @ orbo.T) - record.e_tot))
        return at(self, kappa)

    monkeypatch.setattr(benchmark.Molecule, "at", watched)
    benchmark.linear(record, create("pbe"), derivatives["a_plus_b"])
    assert np.allclose(rises[-benchmark.AWAY :], benchmark.AWAY_MEH, rtol=0.1)


def test_every_loss_finds_a_functional_that_has_no_error(benchmark, water):
    record, derivatives = water
    found = benchmark.linear(record, create("r2scan"), derivatives["a_plus_b"])
    true = np.random.default_rng(0).standard_normal(len(found.energies))

    def of(gradients):
        return benchmark.Gradients(gradients.each, true @ gradients.each)

    known = replace(
        found,
        energy=true @ found.energies,
        gradient=of(found.gradient),
        hessian=of(found.hessian),
        away=[of(gradients) for gradients in found.away],
    )
    before = benchmark.errors([known], np.zeros_like(true))
    equations = [benchmark.equations(known, Training())]
    for loss in benchmark.LOSSES:
        energy, e_rho = benchmark.errors([known], benchmark.solve(equations, loss, ridge=1e-3))
        assert np.abs(energy).max() < 1e-4 * np.abs(before[0]).max()
        assert loss == "energy" or e_rho < 1e-4 * before[1]


def test_choices_of_molecules_have_all_elements(benchmark):
    elements = np.zeros((12, 3), int)
    elements[:, 0], elements[3, 1], elements[7, 2] = 1, 1, 2
    found = list(benchmark.draws(elements, 4, 20))
    assert len(found) == 20
    assert len({tuple(chosen) for chosen in found}) > 10
    for chosen in found:
        assert len(set(chosen)) == 4
        assert {3, 7} <= set(chosen)
    assert [chosen.tolist() for chosen in benchmark.draws(elements, 12, 20)] == [list(range(12))]
    with pytest.raises(SystemExit, match="--molecules 1: too few"):
        next(benchmark.draws(elements, 1, 1))

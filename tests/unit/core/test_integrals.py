"""Fitted integrals that are exact at a reference density, against the exact ones."""

import dataclasses

import numpy as np
import pytest
from small_references import reference_record

from dixc.core.integrals import FittedIntegrals, on_fitted_integrals
from dixc.errors import UserError
from dixc.functionals.registry import create
from dixc.grassmann import OrbitalRotations
from dixc.pyscf.exchange import exchange_fraction


@pytest.fixture(scope="module", params=["water", "hydrogen sulfide"])
def record(request):
    return reference_record(request.param)[0]


def pair(record, functional=None):
    """A mean field on exact integrals, and one on fitted integrals."""
    exact, fitted = record.mean_field(functional), record.mean_field(functional)
    correction = record.fitting_correction(exchange_fraction(fitted))
    return exact, on_fitted_integrals(fitted, FittedIntegrals(record.mol), *correction)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["pbe", "b3lyp"])
def test_energy_and_gradient_are_exact_at_the_reference(record, name):
    functional = create(name)
    exact, fitted = (record.with_orbitals(mf) for mf in pair(record, functional))
    assert abs(exact.energy_tot(dm=record.dm) - fitted.energy_tot(dm=record.dm)) < 1e-9
    gradients = [OrbitalRotations(mf).gradient() for mf in (exact, fitted)]
    assert np.abs(gradients[0] - gradients[1]).max() < 1e-7


def test_the_energy_differs_in_second_order_away_from_it(record):
    """At half the rotation the error is a quarter; a rotation by 0.2 is far more than other functionals need."""
    exact, fitted = (OrbitalRotations(record.with_orbitals(mf)) for mf in pair(record))
    direction = np.random.default_rng(0).standard_normal(exact.gradient().shape)
    direction *= 0.2 / np.linalg.norm(direction)
    errors = [exact.energy(scale * direction) - fitted.energy(scale * direction) for scale in (1.0, 0.5)]
    assert abs(errors[0]) < 1e-4
    assert errors[0] / errors[1] == pytest.approx(4, rel=0.1)


def test_solutions_of_other_functionals_are_close(record):
    exact, fitted = pair(record, create("pbe"))
    for mf in (exact, fitted):
        mf.conv_tol = 1e-11
        mf.kernel(dm0=record.dm)
    assert abs(exact.e_tot - fitted.e_tot) < 1e-6
    assert np.abs(exact.dip_moment(verbose=0) - fitted.dip_moment(verbose=0)).max() < 1e-3


def test_hessian_products_of_fitted_integrals(record):
    """The fitting error of a product is a ten-thousandth of it: far below the errors that training supervises."""
    exact, fitted = (OrbitalRotations(record.with_orbitals(mf)) for mf in pair(record, create("pbe")))
    probes = np.random.default_rng(0).standard_normal((4, *exact.gradient().shape))
    products = exact.hvp(probes)
    assert np.linalg.norm(fitted.hvp(probes) - products) < 2e-4 * np.linalg.norm(products)


def test_a_record_without_errors_says_so(record):
    bare = dataclasses.replace(record, coulomb_error=None)
    with pytest.raises(UserError, match="no fitting errors"):
        bare.fitting_correction(0.0)

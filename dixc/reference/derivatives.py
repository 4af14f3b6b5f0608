"""Second derivatives of the reference energy and its excitation energies, of one molecule."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from dixc.excitations import Excitations, ResponseSolver, Window, dense_matrices
from dixc.grassmann import OrbitalRotations
from dixc.reference.packing import pack
from dixc.reference.record import ReferenceRecord

if TYPE_CHECKING:
    pass


METHODS = ("tddft", "tda")


CONV_TOL = 3e-4  # residual of iterated excitations, hartree; the energies are good to its square


DENSE_STATES_PAIRS = 800  # up to here dense matrices are the fastest way to a few states too


UNITS = {
    "a_plus_b": "hartree",
    "a_minus_b": "hartree",
    "probes": "1",
    "hessian_probes": "hartree",
    "tddft_energies": "hartree",
    "tda_energies": "hartree",
    "tddft_amplitudes": "1",
    "tddft_conjugates": "1",  # X - Y; amplitudes are X + Y. Not of test molecules
    "tda_amplitudes": "1",
}


def compute(record: ReferenceRecord, settings: dict) -> dict[str, NDArray]:
    """Datasets of one molecule (names and units in `UNITS`); pairs are ordered as kappa, (a, i) with i fastest."""
    mf = record.with_orbitals(record.mean_field())
    window = Window.of(mf)
    supervised = record.split != "test"
    arrays: dict[str, NDArray] = {}
    pairs, matrices = window.differences.size, None
    if pairs <= settings["max_dense_pairs"] and (supervised or pairs <= DENSE_STATES_PAIRS):
        matrices = dense_matrices(mf, window)
    if supervised and matrices is None:
        arrays |= _probe_products(record, mf, settings)
    elif supervised:
        arrays |= {"a_plus_b": pack(matrices[0]), "a_minus_b": pack(matrices[1])}
    solver = ResponseSolver(mf, matrices=matrices)
    for method in METHODS:
        found = solver.solve(settings["n_states"], method, conv_tol=CONV_TOL)
        arrays[f"{method}_energies"] = found.energies
        arrays[f"{method}_amplitudes"] = found.amplitudes.astype(np.float32)
        if supervised and method == "tddft":
            arrays["tddft_conjugates"] = _conjugates(solver, found).astype(np.float32)
    return arrays


def _conjugates(solver: ResponseSolver, found: Excitations) -> NDArray:
    """X - Y = (A + B) (X + Y) / w of excitations, (n_states, n_vir, n_occ)."""
    sums = found.amplitudes.reshape(len(found.energies), -1)
    return (solver.plus(sums) / found.energies[:, None]).reshape(found.amplitudes.shape)


def _probe_products(record: ReferenceRecord, mf, settings: dict) -> dict[str, NDArray]:
    """Random probes D^-1/2 z and their Hessian products, D the diagonal of orbital-energy differences times 4.

    Probes are rounded to half precision before anything is done with them: what is stored are the very directions of
    the products, and these keep the seven digits of float32.
    """
    rng = np.random.default_rng([settings["seed"], *record.name.encode()])
    differences = Window.of(mf).differences
    probes = rng.standard_normal((settings["n_probes"], *differences.shape)) / np.sqrt(4 * differences)
    probes = probes.astype(np.float16)
    products = OrbitalRotations(mf).hvp(probes.astype(float))
    return {"probes": probes, "hessian_probes": products.astype(np.float32)}

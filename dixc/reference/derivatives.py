"""Second derivatives of the reference energy and its excitation energies, of one molecule."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dixc.config.sections import Derivatives
from dixc.excitations import Excitations, ResponseSolver, Window, dense_matrices
from dixc.grassmann import OrbitalRotations
from dixc.reference.packing import pack
from dixc.reference.record import ReferenceRecord

if TYPE_CHECKING:
    from pyscf.scf.hf import RHF

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


def is_left_out(record: ReferenceRecord, settings: Derivatives) -> bool:
    """Whether a molecule gets no derivatives: a test molecule too large for excitations."""
    limit = settings.states_max_heavy
    return record.split == "test" and limit is not None and record.n_heavy > limit


def compute(record: ReferenceRecord, settings: Derivatives) -> dict[str, NDArray[Any]]:
    """Datasets of one molecule (names and units in `UNITS`).

    Pairs are ordered as kappa, (a, i) with i fastest.
    """
    mf = record.with_orbitals(record.mean_field())
    window = Window.of(mf)
    supervised = record.split != "test"
    arrays: dict[str, NDArray[Any]] = {}
    pairs, matrices = window.differences.size, None
    if pairs <= settings.max_dense_pairs and (supervised or pairs <= DENSE_STATES_PAIRS):
        matrices = dense_matrices(mf, window)
    if supervised and matrices is not None:
        arrays |= {"a_plus_b": pack(matrices[0]), "a_minus_b": pack(matrices[1])}
    elif supervised:
        arrays |= _probe_products(record, mf, settings)
    solver = ResponseSolver(mf, matrices=matrices)
    for method in METHODS:
        excitations = solver.solve(settings.n_states, method, conv_tol=CONV_TOL)
        arrays[f"{method}_energies"] = excitations.energies
        arrays[f"{method}_amplitudes"] = excitations.amplitudes.astype(np.float32)
        if supervised and method == "tddft":
            arrays["tddft_conjugates"] = _conjugates(solver, excitations).astype(np.float32)
    return arrays


def excitations_of(datasets: Any, method: str) -> Excitations:
    """The excitations by a method of `METHODS` among a molecule's datasets."""
    energies = np.array(datasets[f"{method}_energies"])
    amplitudes = np.array(datasets[f"{method}_amplitudes"])
    return Excitations(energies, amplitudes, np.ones(len(energies), dtype=bool))


def has_excitations(datasets: Any) -> bool:
    """Whether a molecule's datasets have excitations; a large test molecule has none."""
    return f"{METHODS[0]}_energies" in datasets


def _conjugates(solver: ResponseSolver, excitations: Excitations) -> NDArray[np.float64]:
    """X - Y = (A + B) (X + Y) / w of excitations, (n_states, n_vir, n_occ)."""
    sums = excitations.amplitudes.reshape(len(excitations.energies), -1)
    products = solver.plus(sums) / excitations.energies[:, None]
    return products.reshape(excitations.amplitudes.shape)


def _probe_products(record: ReferenceRecord, mf: RHF, settings: Derivatives) -> dict[str, NDArray[Any]]:
    """Random probes D^-1/2 z and their Hessian products.

    D is the diagonal of orbital-energy differences times 4.

    Probes are rounded to half precision before anything is done with them: what is stored are the
    very directions of the products, and these keep the seven digits of float32.
    """
    rng = np.random.default_rng([settings.seed, *record.name.encode()])
    differences = Window.of(mf).differences
    probes = rng.standard_normal((settings.n_probes, *differences.shape)) / np.sqrt(4 * differences)
    probes = probes.astype(np.float16)
    products = OrbitalRotations(mf).hvp(probes.astype(float))
    return {"probes": probes, "hessian_probes": products.astype(np.float32)}

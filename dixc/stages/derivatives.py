"""Derivative stage: Hessian of the reference energy and its excitation energies, molecule by molecule.

Training and validation molecules get dense A+B and A-B below `derivatives.max_dense_pairs` pairs, products with fixed
probes above it. All molecules get the lowest singlets by full TDDFT and in the Tamm-Dancoff approximation, but for test
molecules above `derivatives.states_max_heavy` heavy atoms, which get nothing.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from dixc.excitations import Excitations, ResponseSolver, Window, dense_matrices
from dixc.grassmann import OrbitalRotations
from dixc.provenance import file_hash, hash_of, origin
from dixc.records import ReferenceRecord, read_records
from dixc.store import ChunkWriter, molecules_hash

if TYPE_CHECKING:
    from dixc.config import Config

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


def run(reference: Path, config: Config, out: Path) -> None:
    """Write the derivative chunk that belongs to a reference chunk."""
    settings = config.derivatives.model_dump()
    records = read_records(reference)
    key = hash_of([settings, file_hash(reference)])
    made_from = origin(config, molecules_hash(reference), reference=reference)
    writer = ChunkWriter(out, stage="derivatives", settings=settings, key=key, origin=made_from)
    for record in tqdm(records, desc=f"derivatives {out.stem}", unit="mol", disable=None):
        if not writer.has(record.name):
            attributes = {"split": record.split, "n_heavy": record.n_heavy}
            arrays = {} if _is_left_out(record, settings) else compute(record, settings)
            writer.write(record.name, arrays, attributes, UNITS)
    writer.finish(0.0)


def _is_left_out(record: ReferenceRecord, settings: dict) -> bool:
    limit = settings.get("states_max_heavy")
    return record.split == "test" and limit is not None and record.n_heavy > limit


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


def pack(matrix: NDArray) -> NDArray:
    """Lower triangle of a symmetric matrix in float32."""
    return matrix[np.tril_indices(len(matrix))].astype(np.float32)


def unpack(triangle: NDArray) -> NDArray:
    """The symmetric float64 matrix whose lower triangle `pack` made."""
    size = int((np.sqrt(8 * len(triangle) + 1) - 1) / 2)
    matrix = np.zeros((size, size))
    matrix[np.tril_indices(size)] = triangle
    return matrix + np.tril(matrix, -1).T


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

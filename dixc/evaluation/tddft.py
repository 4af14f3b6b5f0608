"""Lowest singlets of a functional on one molecule against the reference's, by state and matched by character."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from tqdm import tqdm

from dixc.core.integrals import FittedIntegrals
from dixc.errors import UserError
from dixc.excitations import (
    HARTREE_EV,
    Excitations,
    ResponseSolver,
    exchange_fraction,
    oscillator_strengths,
)
from dixc.grassmann import split_orbitals
from dixc.reference.record import ReferenceRecord

if TYPE_CHECKING:
    pass


CONV_TOL = 2e-3  # residual norm, hartree: energies are right to some 1e-5 hartree, far below their errors


def solved_mean_field(record: ReferenceRecord, xc, orbitals: Mapping[str, NDArray], converged: bool):
    """A functional's mean field with the orbitals that its SCF had (`mo_coeff`, `mo_occ`, `mo_energy`), grid built.

    Without exact exchange its Coulomb integrals are fitted: they enter excitation energies by the response alone.
    """
    mf = record.mean_field(xc)
    if not exchange_fraction(mf):
        mf = mf.density_fit(with_df=FittedIntegrals(record.mol).df)
    mf.grids.build()
    for name in ("mo_coeff", "mo_occ", "mo_energy"):
        setattr(mf, name, np.array(orbitals[name]))
    mf.converged = converged
    return mf


def _solver(mf, name: str) -> ResponseSolver | None:
    try:
        return ResponseSolver(mf)
    except UserError as error:
        tqdm.write(f"{name}: {error}")
        return None


def _excitations(solver: ResponseSolver | None, n_states: int, method: str, name: str) -> Excitations | None:
    """Lowest singlets; None where the response problem has no real solution."""
    if solver is None:
        return None
    try:
        found = solver.solve(n_states, method, conv_tol=CONV_TOL)
    except UserError as error:
        tqdm.write(f"{name}: {error}")
        return None
    shown = ", ".join(
        f"{HARTREE_EV * energy:.3f} eV{'' if ok else ' (NOT CONVERGED)'}"
        for energy, ok in zip(found.energies, found.converged, strict=True)
    )
    tqdm.write(f"{name}: {method} {shown}")
    return found


def compare(
    record: ReferenceRecord, mf, found: Excitations | None, target: Excitations, n_states: int
) -> list[dict]:
    """Rows of the lowest `n_states` reference states, energies in eV, oscillator strengths without unit."""
    reference = HARTREE_EV * target.energies
    bright = oscillator_strengths(record, target)
    rows = []
    if found is not None:
        energies = HARTREE_EV * found.energies
        partner = match(in_reference_orbitals(record, mf, found.amplitudes), target.amplitudes)
        strengths = oscillator_strengths(mf, found)
    for state in range(min(n_states, len(reference))):
        row = {"state": state + 1, "reference_eV": reference[state], "converged": False}
        row["reference_strength"] = bright[state]
        if found is not None:
            row |= {
                "converged": bool(found.converged[state]),
                "excitation_eV": energies[state],
                "error_eV": energies[state] - reference[state],
                "overlap_error_eV": energies[partner[state]] - reference[state],
                "oscillator_strength": strengths[state],
            }
        rows.append(row)
    return rows


def in_reference_orbitals(record: ReferenceRecord, mf, amplitudes: NDArray) -> NDArray:
    """Amplitudes (n_states, n_vir, n_occ) of a mean field, projected on the pairs of the reference orbitals."""
    overlap = record.mol.intor_symmetric("int1e_ovlp")
    orbo, orbv = split_orbitals(mf.mo_coeff, mf.mo_occ)
    orbo_ref, orbv_ref = split_orbitals(record.mo_coeff, record.mo_occ)
    return (orbv_ref.T @ overlap @ orbv) @ amplitudes @ (orbo.T @ overlap @ orbo_ref)


def match(found: NDArray, target: NDArray) -> NDArray:
    """Index of the found state assigned to each target state, by the largest total overlap of amplitudes."""
    found = found.reshape(len(found), -1)
    target = target.reshape(len(target), -1)
    found = found / np.linalg.norm(found, axis=1, keepdims=True)
    target = target / np.linalg.norm(target, axis=1, keepdims=True)
    rows, columns = linear_sum_assignment(-np.abs(target @ found.T))
    partner = np.zeros(len(target), dtype=int)
    partner[rows] = columns
    return partner

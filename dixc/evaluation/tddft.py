"""Lowest singlets of a functional on one molecule against the reference's."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import linear_sum_assignment

from dixc.config.evaluation import Tddft
from dixc.core.integrals import FittedIntegrals
from dixc.core.orbitals import split_orbitals
from dixc.errors import UserError
from dixc.excitations import HARTREE_EV, Excitations, ResponseSolver, oscillator_strengths
from dixc.functionals.base import Functional
from dixc.pyscf.exchange import exchange_fraction
from dixc.reference.derivatives import excitations_of
from dixc.reference.record import ReferenceRecord

if TYPE_CHECKING:
    from pyscf.scf.hf import RHF

CONV_TOL = 2e-3  # residual norm, hartree: energies are right to some 1e-5 hartree, far below their errors
logger = logging.getLogger(__name__)


def solved_mean_field(
    record: ReferenceRecord, xc: Functional, orbitals: Mapping[str, ArrayLike], converged: bool
) -> RHF:
    """A functional's mean field with the orbitals that its SCF had, grid built.

    Without exact exchange its Coulomb integrals are fitted: they enter excitation energies by the
    response alone.
    """
    mf = record.mean_field(xc)
    if not exchange_fraction(mf):
        mf = mf.density_fit(with_df=FittedIntegrals(record.mol).df)
    mf.grids.build()
    for name in ("mo_coeff", "mo_occ", "mo_energy"):
        setattr(mf, name, np.array(orbitals[name]))
    mf.converged = converged
    return mf


def state_rows(
    record: ReferenceRecord, mf: RHF, derivatives: Mapping[str, ArrayLike], settings: Tddft
) -> list[dict[str, Any]]:
    """Rows of all methods and states of one molecule, energies in eV.

    Args:
        mf: as of `solved_mean_field`; its rows have no energies if it did not converge.
        derivatives: the molecule's datasets, with the excitations of the reference.
    """
    solver = _solver(mf, record.name) if mf.converged else None
    if not mf.converged:
        logger.info("%s: no excitations, the SCF did not converge", record.name)
    rows = []
    for method in settings.methods:
        target = excitations_of(derivatives, method)
        excitations = _excitations(solver, len(target.energies), method, record.name)
        compared = compare(record, mf, excitations, target, settings.n_states)
        rows += [{"method": method} | row for row in compared]
    return rows


def compare(
    record: ReferenceRecord, mf: RHF, excitations: Excitations | None, target: Excitations, n_states: int
) -> list[dict[str, Any]]:
    """Rows of the lowest `n_states` reference states.

    Energies are in eV; oscillator strengths have no unit.
    """
    reference = HARTREE_EV * target.energies
    bright = oscillator_strengths(record, target)
    rows: list[dict[str, Any]] = []
    if excitations is not None:
        energies = HARTREE_EV * excitations.energies
        partner = match(in_reference_orbitals(record, mf, excitations.amplitudes), target.amplitudes)
        strengths = oscillator_strengths(mf, excitations)
    for state in range(min(n_states, len(reference))):
        row = {"state": state + 1, "reference_eV": reference[state], "converged": False}
        row["reference_strength"] = bright[state]
        if excitations is not None:
            row |= {
                "converged": bool(excitations.converged[state]),
                "excitation_eV": energies[state],
                "error_eV": energies[state] - reference[state],
                "overlap_error_eV": energies[partner[state]] - reference[state],
                "oscillator_strength": strengths[state],
            }
        rows.append(row)
    return rows


def in_reference_orbitals(record: ReferenceRecord, mf: RHF, amplitudes: NDArray) -> NDArray[np.float64]:
    """Amplitudes (n_states, n_vir, n_occ) of a mean field, on pairs of the reference orbitals."""
    overlap = record.mol.intor_symmetric("int1e_ovlp")
    orbo, orbv = split_orbitals(mf.mo_coeff, mf.mo_occ)
    orbo_ref, orbv_ref = split_orbitals(record.mo_coeff, record.mo_occ)
    return (orbv_ref.T @ overlap @ orbv) @ amplitudes @ (orbo.T @ overlap @ orbo_ref)


def match(amplitudes: NDArray, target: NDArray) -> NDArray[np.int_]:
    """Index of the state assigned to each target state, by the largest total overlap of amplitudes.

    Args:
        amplitudes, target: (n_states, n_vir, n_occ), on the same orbitals.
    """
    amplitudes = amplitudes.reshape(len(amplitudes), -1)
    target = target.reshape(len(target), -1)
    amplitudes = amplitudes / np.linalg.norm(amplitudes, axis=1, keepdims=True)
    target = target / np.linalg.norm(target, axis=1, keepdims=True)
    rows, columns = linear_sum_assignment(-np.abs(target @ amplitudes.T))
    partner = np.zeros(len(target), dtype=int)
    partner[rows] = columns
    return partner


def _solver(mf: RHF, name: str) -> ResponseSolver | None:
    """The solver of the response problem; None, and the reason in the log, where there is none."""
    try:
        return ResponseSolver(mf)
    except UserError as error:
        logger.info("%s: %s", name, error)
        return None


def _excitations(solver: ResponseSolver | None, n_states: int, method: str, name: str) -> Excitations | None:
    """Lowest singlets; None where the response problem has no real solution."""
    if solver is None:
        return None
    try:
        excitations = solver.solve(n_states, method, conv_tol=CONV_TOL)
    except UserError as error:
        logger.info("%s: %s", name, error)
        return None
    energies = ", ".join(
        f"{HARTREE_EV * energy:.3f} eV{'' if converged else ' (NOT CONVERGED)'}"
        for energy, converged in zip(excitations.energies, excitations.converged, strict=True)
    )
    logger.info("%s: %s %s", name, method, energies)
    return excitations

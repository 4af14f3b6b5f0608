"""TDDFT stage: lowest singlets of a functional against the reference's, state by state and matched by character.

`error_eV` compares states in order of energy. `overlap_error_eV` compares each reference state with the state of the
functional whose transition amplitudes (in the reference orbitals) overlap most, states being assigned one to one.
Test molecules above `derivatives.states_max_heavy` heavy atoms have no row. Functionals without exact exchange have
fitted Coulomb integrals here, which moves excitation energies by some 1e-4 eV.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from tqdm import tqdm

from dixc import provenance
from dixc.errors import UserError
from dixc.excitations import (
    HARTREE_EV,
    Excitations,
    ResponseSolver,
    exchange_fraction,
    oscillator_strengths,
)
from dixc.functionals import registry
from dixc.grassmann import split_orbitals
from dixc.integrals import FittedIntegrals
from dixc.records import ReferenceRecord, read_failures, read_records
from dixc.stages.warmstart import TAGS, failed_row, read_tags
from dixc.store import (
    molecule_group,
    molecules_hash,
    open_chunk,
    require_made_from,
    require_writable,
    write_csv,
)

if TYPE_CHECKING:
    from dixc.config import Config

ENERGIES = ["excitation_eV", "reference_eV", "error_eV", "overlap_error_eV"]
STRENGTHS = [
    "oscillator_strength",
    "reference_strength",
]  # no unit; in the run's spectra.csv, not in its tddft.csv
COLUMNS = [*TAGS, "method", "state", *ENERGIES, *STRENGTHS]
CONV_TOL = 2e-3  # residual norm, hartree: energies are right to some 1e-5 hartree, far below their errors


def run(functional: str, config: Config, reference: Path, derivatives: Path, scf: Path, out: Path) -> None:
    """Write the TDDFT rows of a functional for the molecules of a chunk."""
    settings = config.evaluation.tddft
    require_writable(out)
    xc = registry.resolve(functional, config.classes())
    rows = []
    with open_chunk(scf, stage="scf") as solved, open_chunk(derivatives, stage="derivatives") as known:
        model = registry.model_file(functional)
        require_made_from(solved, scf, reference=reference, **({"functional": model} if model else {}))
        require_made_from(known, derivatives, reference=reference)
        tags = read_tags(solved, scf)
        for record in tqdm(
            read_records(reference), desc=f"tddft {out.parent.name}", unit="mol", disable=None
        ):
            group = molecule_group(solved, scf, record.name)
            states = molecule_group(known, derivatives, record.name)
            if f"{settings.methods[0]}_energies" not in states:  # a large test molecule
                continue
            common = tags | {"split": record.split, "molecule": record.name, "n_heavy": record.n_heavy}
            mf = solved_mean_field(record, xc, group, bool(group.attrs["converged"]))
            solver = _solver(mf, record.name) if mf.converged else None
            if not mf.converged:
                tqdm.write(f"{record.name}: no excitations, the SCF did not converge")
            for method in settings.methods:
                energies = np.array(states[f"{method}_energies"])
                amplitudes = np.array(states[f"{method}_amplitudes"])
                target = Excitations(energies, amplitudes, np.ones(len(energies), dtype=bool))
                found = _excitations(solver, len(energies), method, record.name)
                for row in compare(record, mf, found, target, settings.n_states):
                    rows.append(common | {"method": method} | row)
        for name, failure in read_failures(reference).items():
            for method, state in product(settings.methods, range(1, settings.n_states + 1)):
                rows.append(tags | failed_row(name, failure) | {"method": method, "state": state})
    made_from = provenance.origin(
        config,
        molecules_hash(reference),
        functional=model,
        reference=reference,
        derivatives=derivatives,
        scf=scf,
    )
    write_csv(out, pd.DataFrame(rows, columns=COLUMNS), provenance.collect() | made_from)


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

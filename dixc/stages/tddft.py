"""TDDFT stage: lowest singlets of a functional against the reference's, state by state and matched by character.

`error_eV` compares states in order of energy. `overlap_error_eV` compares each reference state with the state of the
functional whose transition amplitudes (in the reference orbitals) overlap most, states being assigned one to one.
Test molecules above `derivatives.states_max_heavy` heavy atoms have no row. Functionals without exact exchange have
fitted Coulomb integrals here, which moves excitation energies by some 1e-4 eV.
"""

from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from tqdm import tqdm

from dixc import provenance
from dixc.evaluation.tddft import (
    _excitations,
    _solver,
    compare,
    solved_mean_field,
)
from dixc.excitations import (
    Excitations,
)
from dixc.functionals import files
from dixc.reference.record import read_failures, read_records
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


def run(functional: str, config: Config, reference: Path, derivatives: Path, scf: Path, out: Path) -> None:
    """Write the TDDFT rows of a functional for the molecules of a chunk."""
    settings = config.evaluation.tddft
    require_writable(out)
    xc = files.resolve(functional, config.classes())
    rows = []
    with open_chunk(scf, stage="scf") as solved, open_chunk(derivatives, stage="derivatives") as known:
        model = files.model_file(functional)
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

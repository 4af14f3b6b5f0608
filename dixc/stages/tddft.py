"""The stage `tddft`: lowest singlets of a functional against the reference's.

`error_eV` compares states in order of energy. `overlap_error_eV` compares each reference state with
the state of the functional whose transition amplitudes (in the reference orbitals) overlap most,
states being assigned one to one. Test molecules above `derivatives.states_max_heavy` heavy atoms
have no row. Functionals without exact exchange have fitted Coulomb integrals here, which moves
excitation energies by some 1e-4 eV.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import Any

import pandas as pd
from tqdm import tqdm

from dixc import provenance
from dixc.config.evaluation import Tddft
from dixc.evaluation.tddft import solved_mean_field, state_rows
from dixc.functionals import files
from dixc.reference.derivatives import has_excitations
from dixc.reference.record import read_failures, read_records
from dixc.stages.parts import failed_row, read_tags
from dixc.store import (
    molecule_group,
    molecules_hash,
    open_chunk,
    require_made_from,
    require_writable,
    write_csv,
)
from dixc.tables.schema import TABLES


def run(
    functional: str,
    settings: Tddft,
    reference: Path,
    derivatives: Path,
    scf: Path,
    out: Path,
    classes: Sequence[str] = (),
    config_hash: str | None = None,
) -> None:
    """Write the TDDFT rows of a functional for the molecules of a chunk.

    Args:
        functional: registry name or model file.
        settings: methods and number of states; its `splits` are the workflow's.
        reference, derivatives, scf: chunks of the stages of these names.
        out: CSV to write.
        classes: import paths of classes outside of dixc that a model file may name.
        config_hash: hash of the run's config, for the provenance.
    """
    require_writable(out)
    xc, model = files.resolve(functional, classes), files.model_file(functional)
    rows: list[dict[str, Any]] = []
    with open_chunk(scf, stage="scf") as solutions, open_chunk(derivatives, stage="derivatives") as targets:
        require_made_from(solutions, scf, reference=reference, **({"functional": model} if model else {}))
        require_made_from(targets, derivatives, reference=reference)
        tags = read_tags(solutions, scf)
        records = read_records(reference)
        for record in tqdm(records, desc=f"tddft {out.parent.name}", unit="mol", disable=None):
            solution = molecule_group(solutions, scf, record.name)
            target = molecule_group(targets, derivatives, record.name)
            if not has_excitations(target):  # a large test molecule
                continue
            mf = solved_mean_field(record, xc, solution, bool(solution.attrs["converged"]))
            common = {"split": record.split, "molecule": record.name, "n_heavy": record.n_heavy}
            rows += [tags | common | row for row in state_rows(record, mf, target, settings)]
    for name, failure in read_failures(reference).items():
        for method, state in product(settings.methods, range(1, settings.n_states + 1)):
            rows.append(tags | failed_row(name, failure) | {"method": method, "state": state})
    hashes = provenance.origin(
        config_hash,
        molecules_hash(reference),
        functional=model,
        reference=reference,
        derivatives=derivatives,
        scf=scf,
    )
    table = pd.DataFrame(rows, columns=TABLES["tddft"].part_columns)
    write_csv(out, table, provenance.collect() | hashes)

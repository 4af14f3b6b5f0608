"""Warm-start stage: the reference SCF from PySCF's default guess, from the density of a cheaper functional, and
accelerated by its Hessian as well.

The convergence thresholds are those of the evaluation for both, every Fock build of the reference is counted, and the
final energy is compared with the tightly converged reference.
"""

from __future__ import annotations

import gc
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
from tqdm import tqdm

from dixc import provenance
from dixc.evaluation.history import BUILD_ERRORS
from dixc.evaluation.warmstart import density_rows, guess_row
from dixc.functionals import files
from dixc.reference.record import read_failures, read_records
from dixc.store import (
    decoding,
    molecule_group,
    molecules_hash,
    open_chunk,
    require_made_from,
    require_writable,
    write_csv,
)

if TYPE_CHECKING:
    from dixc.config import Config

TAGS = ["model", "loss", "seed", "split", "molecule", "n_heavy", "converged"]
BUILDS = ["cycles", "hybrid_fock_builds", "cheap_fock_builds"]
HISTORY = [
    "scf_energies",
    "scf_gradients",
]  # hartree, one number a cycle, spaces between; not in the run's table
COLUMNS = [*TAGS, "guess", *BUILDS, "wall_s", "wall_total_s", "e_diff_Eh", *HISTORY, *BUILD_ERRORS]


def run(functional: str, config: Config, reference: Path, scf: Path | None, out: Path) -> None:
    """Write warm-start rows: of the default guess if `scf` is None, else of the densities in an SCF chunk."""
    settings = config.evaluation.scf.model_dump()
    require_writable(out)
    records = read_records(reference)
    guesses = ["minao"] if scf is None else ["density"]
    if scf is None:
        tags = {"model": config.reference.functional, "loss": "none", "seed": 0}
        bar = tqdm(records, desc="default guess", unit="mol", disable=None)
        rows = [guess_row(record, "minao", None, settings)[0] for record in bar]
    else:
        with open_chunk(scf, stage="scf") as chunk:
            require_made_from(chunk, scf, reference=reference)
            tags = read_tags(chunk, scf)
            xc = None
            if config.evaluation.warmstart.accelerate:
                guesses.append("accelerate")
                xc = files.resolve(functional, config.classes())
            rows = []
            for record in tqdm(records, desc=f"warm start {functional}", unit="mol", disable=None):
                solved = molecule_group(chunk, scf, record.name)
                rows += density_rows(record, solved, settings, xc)
                gc.collect()  # mean fields refer to themselves, and would keep their integrals for molecules to come
    failed = read_failures(reference).items()
    rows += [failed_row(name, why) | {"guess": guess} for guess in guesses for name, why in failed]
    made_from = provenance.origin(config, molecules_hash(reference), reference=reference, scf=scf)
    table = pd.DataFrame([tags | row for row in rows], columns=COLUMNS)
    write_csv(out, table, provenance.collect() | made_from)


def read_tags(chunk, path: Path) -> dict:
    """Model, loss and seed of an open SCF chunk.

    Raises:
        InputError: it does not say.
    """
    with decoding(path):
        return {key: chunk.attrs[key] for key in ("model", "loss", "seed")}


def failed_row(name: str, failure: dict) -> dict:
    """The row of a molecule without a reference: nothing but its name, and that it failed."""
    known = {"split": failure["split"], "n_heavy": failure["n_heavy"]}
    return {"molecule": name, "converged": False} | known

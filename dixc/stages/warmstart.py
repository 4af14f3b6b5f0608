"""The stage `warmstart`: the reference SCF from PySCF's default guess and from a functional.

From the functional come the density alone, and density and Hessian.

The convergence thresholds are those of the evaluation for both, every Fock build of the reference
is counted, and the final energy is compared with the tightly converged reference.
"""

from __future__ import annotations

import gc
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from tqdm import tqdm

from dixc import provenance
from dixc.config.evaluation import EvaluationScf
from dixc.evaluation.warmstart import density_rows, guess_row
from dixc.functionals import files
from dixc.functionals.base import Functional
from dixc.reference.record import read_failures, read_records, read_settings
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

Rows = list[dict[str, Any]]


def run_default_guess(
    settings: EvaluationScf, reference: Path, out: Path, config_hash: str | None = None
) -> None:
    """Write the rows of the reference SCF from PySCF's default guess.

    Args:
        settings: thresholds of the SCF.
        reference: chunk of the stage `reference`.
        out: CSV to write.
        config_hash: hash of the run's config, for the provenance.
    """
    require_writable(out)
    tags = {"model": read_settings(reference).functional, "loss": "none", "seed": 0}
    bar = tqdm(read_records(reference), desc="default guess", unit="mol", disable=None)
    rows = [guess_row(record, "minao", None, settings)[0] for record in bar]
    rows += _failed_rows(reference, ["minao"])
    made_from = provenance.origin(config_hash, molecules_hash(reference), reference=reference)
    _write(out, tags, rows, made_from)


def run(
    functional: str,
    settings: EvaluationScf,
    accelerate: bool,
    reference: Path,
    scf: Path,
    out: Path,
    classes: Sequence[str] = (),
    config_hash: str | None = None,
) -> None:
    """Write the rows of the reference SCF from a functional's densities.

    Args:
        functional: registry name or model file.
        settings: thresholds of the SCF.
        accelerate: also rows of the SCF that is accelerated by the functional.
        reference: chunk of the stage `reference`.
        scf: chunk of the stage `evaluate`, which has the densities.
        out: CSV to write.
        classes: import paths of classes outside of dixc that a model file may name.
        config_hash: hash of the run's config, for the provenance.
    """
    require_writable(out)
    records = read_records(reference)
    rows: Rows = []
    with open_chunk(scf, stage="scf") as chunk:
        require_made_from(chunk, scf, reference=reference)
        tags = read_tags(chunk, scf)
        accelerator: Functional | None = files.resolve(functional, classes) if accelerate else None
        for record in tqdm(records, desc=f"warm start {functional}", unit="mol", disable=None):
            solution = molecule_group(chunk, scf, record.name)
            rows += density_rows(record, solution, settings, accelerator)
            gc.collect()  # mean fields refer to themselves, and would keep their integrals for molecules to come
    rows += _failed_rows(reference, ["density", "accelerate"] if accelerate else ["density"])
    made_from = provenance.origin(config_hash, molecules_hash(reference), reference=reference, scf=scf)
    _write(out, tags, rows, made_from)


def _failed_rows(reference: Path, guesses: Sequence[str]) -> Rows:
    failures = read_failures(reference).items()
    return [failed_row(name, failure) | {"guess": guess} for guess in guesses for name, failure in failures]


def _write(out: Path, tags: dict[str, Any], rows: Rows, made_from: dict[str, Any]) -> None:
    table = pd.DataFrame([tags | row for row in rows], columns=TABLES["warmstart"].part_columns)
    write_csv(out, table, provenance.collect() | made_from)

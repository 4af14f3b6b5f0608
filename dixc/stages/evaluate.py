"""The stage `evaluate`: SCF with a functional, and its errors against the reference."""

from __future__ import annotations

import gc
import logging
import warnings
from collections.abc import Sequence
from pathlib import Path

from tqdm import tqdm

from dixc.config.evaluation import EvaluationScf
from dixc.errors import DixcWarning
from dixc.evaluation import scf
from dixc.functionals import files
from dixc.functionals.base import Functional
from dixc.provenance import file_hash, hash_of, origin
from dixc.reference.record import ReferenceRecord, read_failures, read_records
from dixc.store import ChunkWriter, molecules_hash

SHOWN = 10  # molecules that a message names
logger = logging.getLogger(__name__)


def run(
    functional: str,
    settings: EvaluationScf,
    reference: Path,
    out: Path,
    classes: Sequence[str] = (),
    config_hash: str | None = None,
) -> None:
    """Write the SCF chunk of a functional for a reference chunk.

    Args:
        functional: registry name or model file.
        settings: thresholds of the SCF.
        reference: chunk of the stage `reference`.
        out: file to write.
        classes: import paths of classes outside of dixc that a model file may name.
        config_hash: hash of the run's config, for the provenance.
    """
    xc = files.resolve(functional, classes)
    records, failures = read_records(reference), read_failures(reference)
    _warn_of_training_molecules(functional, xc, records)
    model, stored = files.model_file(functional), settings.model_dump()
    key = hash_of([stored, functional if model is None else file_hash(model), file_hash(reference)])
    made_from = origin(config_hash, molecules_hash(reference), functional=model, reference=reference)
    tags = scf.label(xc, functional)
    writer = ChunkWriter(out, stage="scf", settings=stored, key=key, attributes=tags, origin=made_from)
    for record in tqdm(records, desc=f"scf {out.parent.name} {out.stem}", unit="mol", disable=None):
        if not writer.has(record.name):
            writer.write(record.name, *scf.evaluate(record, xc, settings), scf.UNITS)
            gc.collect()  # mean fields refer to themselves, and would keep their integrals for molecules to come
    for name, failure in failures.items():
        if not writer.has(name):
            reason = f"no reference: {failure['reason']}"
            attributes = {"split": str(failure["split"]), "n_heavy": int(failure["n_heavy"])}
            writer.fail(name, reason, attributes)
            logger.info("%s: %s", name, reason)
    writer.finish(1.0)


def _warn_of_training_molecules(name: str, functional: Functional, records: list[ReferenceRecord]) -> None:
    """Warns if a model file is tested on molecules that its training had, which is no test."""
    metadata = functional.metadata
    trained = {*metadata.get("train_molecules", []), *metadata.get("validation_molecules", [])}
    names = [record.name for record in records if record.split == "test" and record.name in trained]
    if names:
        shown = ", ".join(names[:SHOWN]) + (" and more" if len(names) > SHOWN else "")
        warnings.warn(
            f"{name}: {len(names)} of the test molecules have names of molecules that it was trained on or chosen by: "
            f"{shown}; its errors on these are no test",
            DixcWarning,
            stacklevel=2,
        )

"""Evaluation stage: SCF with a functional, and its errors against the reference.

Test molecules start from PySCF's default guess, as a user's do. Of the others only the solution is wanted (above all
the energies that the energy of each element is fitted to): they start from the reference density.

All metrics are taken at the functional's own density P*. E_rho = E_ref[P*] - E_ref[P_ref] >= 0 is the density error
measured by the reference method itself.
"""

from __future__ import annotations

import gc
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from tqdm import tqdm

from dixc.errors import DixcWarning
from dixc.evaluation.scf import (
    UNITS,
    evaluate,
    label,
)
from dixc.functionals import files
from dixc.functionals.base import Functional
from dixc.provenance import file_hash, hash_of, origin
from dixc.reference.record import ReferenceRecord, read_failures, read_records
from dixc.store import ChunkWriter, molecules_hash

if TYPE_CHECKING:
    from dixc.config import Config

SHOWN = 10  # molecules that a message names


def run(functional: str, config: Config, reference: Path, out: Path) -> None:
    """Write the SCF chunk of a functional (registry name or model file) for a reference chunk."""
    settings = config.evaluation.scf.model_dump()
    xc = files.resolve(functional, config.classes())
    records = read_records(reference)
    _warn_of_known(functional, xc, records)
    model = files.model_file(functional)
    source = functional if model is None else file_hash(model)
    key = hash_of([settings, source, file_hash(reference)])
    tags = label(xc, functional)
    made_from = origin(config, molecules_hash(reference), functional=model, reference=reference)
    writer = ChunkWriter(out, stage="scf", settings=settings, key=key, attributes=tags, origin=made_from)
    for record in tqdm(records, desc=f"scf {out.parent.name} {out.stem}", unit="mol", disable=None):
        if not writer.has(record.name):
            arrays, attributes = evaluate(record, xc, settings)
            writer.write(record.name, arrays, attributes | {"split": record.split}, UNITS)
            gc.collect()  # mean fields refer to themselves, and would keep their integrals for molecules to come
    for name, failure in read_failures(reference).items():
        if not writer.has(name):
            known = {"split": str(failure["split"]), "n_heavy": int(failure["n_heavy"])}
            writer.fail(name, f"no reference: {failure['reason']}", known)
            tqdm.write(f"{name}: no reference: {failure['reason']}")
    writer.finish(1.0)


def _warn_of_known(name: str, functional: Functional, records: list[ReferenceRecord]) -> None:
    """Warns if a model file is tested on molecules that its training knew, which is no test."""
    metadata = getattr(functional, "metadata", None) or {}
    known = {*metadata.get("train_molecules", []), *metadata.get("validation_molecules", [])}
    both = [record.name for record in records if record.split == "test" and record.name in known]
    if both:
        shown = ", ".join(both[:SHOWN]) + (" and more" if len(both) > SHOWN else "")
        warnings.warn(
            f"{name}: {len(both)} of the test molecules have names of molecules that it was trained on or chosen by: "
            f"{shown}; its errors on these are no test",
            DixcWarning,
            stacklevel=2,
        )

"""Derivative stage: Hessian of the reference energy and its excitation energies, molecule by molecule.

Training and validation molecules get dense A+B and A-B below `derivatives.max_dense_pairs` pairs, products with fixed
probes above it. All molecules get the lowest singlets by full TDDFT and in the Tamm-Dancoff approximation, but for test
molecules above `derivatives.states_max_heavy` heavy atoms, which get nothing.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from tqdm import tqdm

from dixc.provenance import file_hash, hash_of, origin
from dixc.reference.derivatives import (
    UNITS,
    compute,
)
from dixc.reference.record import ReferenceRecord, read_records
from dixc.store import ChunkWriter, molecules_hash

if TYPE_CHECKING:
    from dixc.config import Config


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

"""The stage `derivatives`: Hessian of the reference energy, and its excitation energies.

Training and validation molecules get dense A+B and A-B below `derivatives.max_dense_pairs` pairs,
products with fixed probes above it. All molecules get the lowest singlets by full TDDFT and in the
Tamm-Dancoff approximation, but for test molecules above `derivatives.states_max_heavy` heavy atoms,
which get nothing.
"""

from __future__ import annotations

from pathlib import Path

from tqdm import tqdm

from dixc.config.sections import Derivatives
from dixc.provenance import file_hash, hash_of, origin
from dixc.reference.derivatives import UNITS, compute, is_left_out
from dixc.reference.record import read_records
from dixc.store import ChunkWriter, molecules_hash


def run(reference: Path, settings: Derivatives, out: Path, config_hash: str | None = None) -> None:
    """Write the derivative chunk that belongs to a reference chunk.

    Args:
        reference: chunk of the stage `reference`.
        settings: what to store of a molecule.
        out: file to write.
        config_hash: hash of the run's config, for the provenance.
    """
    records, stored = read_records(reference), settings.model_dump()
    key = hash_of([stored, file_hash(reference)])
    made_from = origin(config_hash, molecules_hash(reference), reference=reference)
    writer = ChunkWriter(out, stage="derivatives", settings=stored, key=key, origin=made_from)
    for record in tqdm(records, desc=f"derivatives {out.stem}", unit="mol", disable=None):
        if not writer.has(record.name):
            arrays = {} if is_left_out(record, settings) else compute(record, settings)
            writer.write(record.name, arrays, {"split": record.split, "n_heavy": record.n_heavy}, UNITS)
    writer.finish(0.0)

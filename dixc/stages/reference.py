"""The stage `reference`: converged SCF of each molecule with the method to be distilled."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tqdm import tqdm

from dixc.config.sections import Reference
from dixc.errors import InputError, NotConverged, UserError
from dixc.molecules import Molecule, read_xyz
from dixc.provenance import file_hash, hash_of, origin, short_hash
from dixc.reference import scf
from dixc.reference.method import check_functional
from dixc.reference.record import UNITS
from dixc.store import ChunkWriter


def run(chunk: Path, settings: Reference, out: Path, config_hash: str | None = None) -> None:
    """Write the reference chunk of an xyz file; molecules that fail are recorded with their reason.

    Args:
        chunk: extended xyz, as the stage `molecules` writes it.
        settings: method, basis, grid and thresholds.
        out: file to write.
        config_hash: hash of the run's config, for the provenance.

    Raises:
        InputError: broken input, or a functional or basis that cannot be a reference.
        UserError: more failures than `max_failed_fraction`.
    """
    check_functional(settings.functional)
    molecules = read_xyz(chunk)
    _require_basis(molecules, settings.basis, chunk)
    stored, digest = settings.model_dump(), file_hash(chunk)
    key = hash_of([stored, digest])
    made_from = origin(config_hash, short_hash(digest), xyz=chunk)
    writer = ChunkWriter(out, stage="reference", settings=stored, key=key, origin=made_from)
    for molecule in tqdm(molecules, desc=f"reference {out.stem}", unit="mol", disable=None):
        if writer.has(molecule.name):
            continue
        try:
            writer.write(molecule.name, *scf.solve(molecule, settings), UNITS)
        except (InputError, NotConverged) as error:
            reason = str(error).removeprefix(f"{molecule.name}: ")
            writer.fail(molecule.name, reason, scf.attributes_of(molecule))
    writer.finish(settings.max_failed_fraction)


def _require_basis(molecules: Sequence[Molecule], basis: str, path: Path) -> None:
    """Refuses a basis that none of the molecules can have.

    A basis that some molecules cannot have is theirs: they are recorded as failed.
    """
    for molecule in molecules:
        try:
            molecule.to_pyscf(basis)
            return
        except UserError as error:
            reason = str(error)
    raise InputError(f"reference.basis: {reason} (nor for any other molecule of {path})")

"""The stage `molecules`: divides molecules into splits, and writes them in chunks."""

from __future__ import annotations

import csv
import io
import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from dixc import provenance
from dixc.config.base import SPLITS
from dixc.molecules.molecule import Molecule
from dixc.molecules.pool import Pool
from dixc.molecules.sources import source_files, source_versions
from dixc.molecules.splits import choose, divide
from dixc.molecules.xyz import write_xyz
from dixc.store import atomic_file, write_sidecar
from dixc.store.csvtext import inert

if TYPE_CHECKING:
    from dixc.config.sections import Molecules

COLUMNS = ("name", "split", "formula", "n_heavy", "n_electrons", "smiles", "source", "chunk")
Row = dict[str, str | int]
logger = logging.getLogger(__name__)


def run(settings: Molecules, out: Path, config_hash: str | None = None) -> None:
    """Writes `{split}-{i:03d}.xyz` and molecules.csv.

    Test is taken first, then validation, then train; no molecule is in two of them, by name or by
    formula and distances. A molecule's place in the draw follows from the seed, the split and its
    name alone: with a larger count the molecules chosen before stay, as far as the other splits
    leave them.

    Geometries are read when a molecule is about to be taken, and again when it is written, so that
    memory does not grow with the files.

    Args:
        settings: which molecules.
        out: folder to write to.
        config_hash: hash of the run's config, for the provenance.

    Raises:
        InputError: a file is wrong, a named molecule is unknown or no closed shell, or there are
            not enough.
    """
    pool = Pool(settings)
    entries_by_split = choose(pool)
    pool.report_skips()
    rows: list[Row] = []
    written: list[Path] = []
    for split in SPLITS:
        entries = entries_by_split[split]
        pieces = divide(entries, settings.chunk_size)
        for chunk, piece in zip(settings.chunks(split), pieces, strict=True):
            molecules = [replace(entry.load(), split=split) for entry in piece]
            written.append(Path(out) / f"{chunk}.xyz")
            write_xyz(written[-1], molecules)
            rows += [_row(m, entry.source, chunk) for m, entry in zip(molecules, piece, strict=True)]
        sizes = [entry.composition.n_heavy for entry in entries]
        heavy = f"{min(sizes)} to {max(sizes)} heavy atoms"
        logger.info("%s: %d molecules with %s", split, len(entries), heavy)
    written.append(Path(out) / "molecules.csv")
    _write_table(written[-1], rows)
    _write_provenance(settings, written, config_hash)


def _row(molecule: Molecule, source: str, chunk: str) -> Row:
    return {
        "name": molecule.name,
        "split": molecule.split,
        "formula": molecule.formula,
        "n_heavy": molecule.n_heavy,
        "n_electrons": molecule.n_electrons,
        "smiles": molecule.info.get("smiles", ""),
        "source": source,
        "chunk": chunk,
    }


def _write_table(path: Path, rows: Sequence[Row]) -> None:
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows({column: inert(value) for column, value in row.items()} for row in rows)
    with atomic_file(path) as file:
        file.write(text.getvalue().encode())


def _write_provenance(settings: Molecules, written: Sequence[Path], config_hash: str | None) -> None:
    files = [file for file in source_files(settings.files) if Path(file).is_file()]
    packages = source_versions(settings.files)
    made_from = provenance.origin(config_hash, **{f"file_{i}": file for i, file in enumerate(files)})
    record = provenance.collect() | made_from | ({"molecules_from": packages} if packages else {})
    write_sidecar(written[-1].with_name("provenance.json"), {p.name: p.read_bytes() for p in written}, record)

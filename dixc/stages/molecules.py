"""The stage `molecules`: divides molecules into train, validation and test, and writes them in chunks."""

from __future__ import annotations

import csv
import io
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from dixc.molecules.molecule import Molecule
from dixc.molecules.pool import Pool
from dixc.molecules.sources import source_files, source_versions
from dixc.molecules.splits import choose, divide
from dixc.molecules.xyz import write_xyz

if TYPE_CHECKING:
    from dixc.config import Config


COLUMNS = ("name", "split", "formula", "n_heavy", "n_electrons", "smiles", "source", "chunk")


def run(config: Config, out: Path) -> None:
    """Writes `{split}-{i:03d}.xyz` and molecules.csv.

    Test is taken first, then validation, then train; no molecule is in two of them, by name or by formula and
    distances. A molecule's place in the draw follows from the seed, the split and its name alone: with a
    larger count the molecules chosen before stay, as far as the other splits leave them.

    Geometries are read when a molecule is about to be taken, and again when it is written, so that memory does
    not grow with the files.

    Args:
        config: `molecules` and `chunks` of it are used.
        out: folder to write to.

    The config's functionals are looked at first: what is wrong with them would stop the run hours later.

    Raises:
        InputError: a file is wrong, a named molecule is unknown or no closed shell, or there are not enough; or a
            functional of the config cannot be used.
    """
    from dixc.config.functionals import check_functionals

    check_functionals(config)
    pool = Pool(config.molecules)
    chosen = choose(pool)
    pool.report_skips()

    rows, written = [], []
    for split in ("train", "validation", "test"):
        entries = chosen[split]
        for chunk, piece in zip(
            config.chunks(split), divide(entries, config.molecules.chunk_size), strict=True
        ):
            molecules = [replace(entry.load(), split=split) for entry in piece]
            written.append(Path(out) / f"{chunk}.xyz")
            write_xyz(written[-1], molecules)
            rows += [_row(m, entry.source, chunk) for m, entry in zip(molecules, piece, strict=True)]
        smallest, largest = (f(entry.composition.n_heavy for entry in entries) for f in (min, max))
        print(f"{split}: {len(entries)} molecules with {smallest} to {largest} heavy atoms")
    written.append(Path(out) / "molecules.csv")
    _write_table(written[-1], rows)
    _write_provenance(config, written)


def _row(molecule: Molecule, source: str, chunk: str) -> dict[str, str | int]:
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


def _write_provenance(config: Config, written: list[Path]) -> None:
    from dixc import provenance
    from dixc.store import write_sidecar

    files = [file for file in source_files(config.molecules.files) if Path(file).is_file()]
    packages = source_versions(config.molecules.files)
    made_from = provenance.origin(config, **{f"file_{i}": file for i, file in enumerate(files)})
    record = provenance.collect() | made_from | ({"molecules_from": packages} if packages else {})
    write_sidecar(written[-1].with_name("provenance.json"), {p.name: p.read_bytes() for p in written}, record)


def _write_table(path: Path, rows: list[dict[str, str | int]]) -> None:
    from dixc.store import atomic_file
    from dixc.store.csvtext import inert

    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows({column: inert(value) for column, value in row.items()} for row in rows)
    with atomic_file(path) as file:
        file.write(text.getvalue().encode())

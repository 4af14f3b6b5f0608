"""The stage `molecules`: divides molecules into train, validation and test, and writes them in chunks."""

from __future__ import annotations

import csv
import difflib
import hashlib
import io
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from dixc.errors import UserError
from dixc.molecules.molecule import Molecule, open_shell_reason
from dixc.molecules.xyz import read_xyz, write_xyz

if TYPE_CHECKING:
    from dixc.config import Config

SAME_DISTANCE = 1e-3  # angstrom
SHOWN_SKIPS = 10
COLUMNS = ("name", "split", "formula", "n_heavy", "n_electrons", "smiles", "source", "chunk")


def prepare(config: Config, out: Path) -> None:
    """Writes `{split}-{i:03d}.xyz` and molecules.csv.

    Test is taken first, then validation, then train; no molecule is in two of them, by name or by formula and
    distances. A molecule's place in the draw follows from the seed, the split and its name alone: with a
    larger count the molecules chosen before stay, as far as the other splits leave them.

    Args:
        config: `molecules` and `chunks` of it are used.
        out: folder to write to.

    Raises:
        UserError: a file is wrong, a named molecule is unknown or no closed shell, or there are not enough.
    """
    pool = _Pool(config.molecules.files, config.molecules.seed)
    chosen = {}
    test = config.molecules.test
    if test.names is not None:
        chosen["test"] = pool.take_named(test.names)
    else:
        chosen["test"] = pool.take_random("test", test.count, test.min_heavy, test.max_heavy)
    for split in ("validation", "train"):
        wanted = getattr(config.molecules, split)
        chosen[split] = pool.take_random(split, wanted.count, wanted.min_heavy, wanted.max_heavy)
    pool.report_skips()

    rows, written = [], []
    for split in ("train", "validation", "test"):
        molecules = [replace(m, split=split) for m in chosen[split]]
        size = config.molecules.chunk_size
        # divided in the order of the draw, sorted only then: more molecules change no file that was full before
        pieces = [sorted(molecules[i : i + size], key=_by_size) for i in range(0, len(molecules), size)]
        for chunk, piece in zip(config.chunks(split), pieces, strict=True):
            written.append(Path(out) / f"{chunk}.xyz")
            write_xyz(written[-1], piece)
            rows += [_row(m, pool.source[m.name], chunk) for m in piece]
        smallest, largest = (f(m.n_heavy for m in molecules) for f in (min, max))
        print(f"{split}: {len(molecules)} molecules with {smallest} to {largest} heavy atoms")
    written.append(Path(out) / "molecules.csv")
    _write_table(written[-1], rows)
    _write_provenance(config, written)


class _Pool:
    """Molecules of all files, and which of them are taken."""

    def __init__(self, files: Iterable[str], seed: int):
        self.seed = seed
        self.files = list(files)
        self.molecules: dict[str, Molecule] = {}
        self.source: dict[str, str] = {}
        for file in self.files:
            for molecule in read_xyz(file, closed_shells_only=False):
                if molecule.name in self.molecules:
                    known = self.source[molecule.name]
                    raise UserError(f"{file}: a molecule {molecule.name} is in {known} already")
                self.molecules[molecule.name] = molecule
                self.source[molecule.name] = file
        self.taken: set[str] = set()
        self._shapes: dict[str, list[np.ndarray]] = defaultdict(list)
        self._skips: dict[str, str] = {}

    def take_named(self, names: list[str]) -> list[Molecule]:
        """The test molecules of these names."""
        for name in names:
            if name not in self.molecules:
                close = difflib.get_close_matches(name, self.molecules, n=1)
                hint = f" (did you mean {close[0]}?)" if close else ""
                raise UserError(f"molecules.test.names: no {name} in {', '.join(self.files)}{hint}")
            reason = open_shell_reason(self.molecules[name])
            if reason:
                raise UserError(f"molecules.test.names: {name} of {self.source[name]}: {reason}")
        return [self._take(self.molecules[name]) for name in names]

    def take_random(self, split: str, count: int, min_heavy: int, max_heavy: int) -> list[Molecule]:
        """`count` molecules that are not taken yet."""
        sized = [m for m in self.molecules.values() if min_heavy <= m.n_heavy <= max_heavy]
        taken: list[Molecule] = []
        for molecule in sorted(sized, key=lambda m: self._draw(split, m.name)):
            if len(taken) == count:
                break
            if self._usable(molecule):
                taken.append(self._take(molecule))
        if len(taken) < count:
            self.report_skips()
            raise UserError(
                f"molecules.{split}: {count} molecules with {min_heavy} to {max_heavy} heavy atoms wanted, "
                f"only {len(taken)} left in {', '.join(self.files)} "
                "(test is taken first, then validation, then train)"
            )
        return taken

    def report_skips(self) -> None:
        """Prints which molecules were passed over, and why."""
        lines = [f"skipped {name} ({self.source[name]}): {reason}" for name, reason in self._skips.items()]
        if len(lines) > SHOWN_SKIPS:
            lines[SHOWN_SKIPS:] = [f"skipped {len(lines) - SHOWN_SKIPS} more molecules"]
        for line in lines:
            print(line)

    def _draw(self, split: str, name: str) -> tuple[str, str]:
        return hashlib.sha256(f"{self.seed}:{split}:{name}".encode()).hexdigest(), name

    def _usable(self, molecule: Molecule) -> bool:
        if molecule.name in self.taken:
            return False
        reason = open_shell_reason(molecule)
        shape = _shape(molecule)
        if reason is None and any(
            np.all(np.abs(shape - other) < SAME_DISTANCE) for other in self._shapes[molecule.formula]
        ):
            reason = "the same molecule, under another name, is taken already"
        if reason is not None:
            self._skips[molecule.name] = reason
        return reason is None

    def _take(self, molecule: Molecule) -> Molecule:
        self.taken.add(molecule.name)
        self._shapes[molecule.formula].append(_shape(molecule))
        return molecule


def _shape(molecule: Molecule) -> np.ndarray:
    """Distances between atoms, angstrom, sorted within each pair of elements: blind to order and mirror."""
    coords, numbers = molecule.coords_angstrom, np.array(molecule.atomic_numbers)
    i, j = np.triu_indices(len(numbers), 1)
    distances = np.linalg.norm(coords[i] - coords[j], axis=1)
    low, high = np.minimum(numbers[i], numbers[j]), np.maximum(numbers[i], numbers[j])
    return distances[np.lexsort((distances, high, low))]


def _by_size(molecule: Molecule) -> tuple[int, str]:
    return molecule.n_heavy, molecule.name


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

    sources = {f"file_{i}": file for i, file in enumerate(config.molecules.files)}
    record = provenance.collect() | provenance.origin(config, **sources)
    write_sidecar(written[-1].with_name("provenance.json"), {p.name: p.read_bytes() for p in written}, record)


def _write_table(path: Path, rows: list[dict[str, str | int]]) -> None:
    from dixc.store import atomic_file

    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    with atomic_file(path) as file:
        file.write(text.getvalue().encode())

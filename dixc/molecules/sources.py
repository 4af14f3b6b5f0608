"""Where molecules come from: the entries of `molecules.files`, told apart by what they are.

    qm9pack            the tables in the installed package of this name (QM9 without its uncharacterised molecules)
    a folder           QM40_xyz.csv if it is in there, else all .xyz files in it and in its subfolders
    *.csv              a table, see `dixc.molecules.csv_layouts`
    *.tar[.bz2|.gz|.xz]    xyz files in an archive, such as the QM9 release dsgdb9nsd.xyz.tar.bz2
    any other file     xyz, extended or of the QM9 release, see `dixc.molecules.frames`

Geometries of the data sets (QM9, QM40) are read when a molecule is chosen, all others are checked
at once.
"""

from __future__ import annotations

import importlib.metadata
import io
import logging
import os
import tarfile
import tempfile
import weakref
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from dixc.errors import InputError
from dixc.molecules import csv_layouts
from dixc.molecules.checks import Doubts
from dixc.molecules.entry import Entry, composition
from dixc.molecules.exclusions import UNCHARACTERIZED, excluded_names, is_archive, list_file
from dixc.molecules.frames import Frame, Place, frames, frames_of
from dixc.molecules.molecule import Molecule
from dixc.molecules.xyz import charge_of, molecule_of, symbols_of, with_names

if TYPE_CHECKING:
    from dixc.config.sections import MoleculeFile

QM9PACK = "qm9pack"
QM40_FILE = "QM40_xyz.csv"
# an xyz file each: Snakemake watches so many one by one, and only the folder's own date if there
# are more
MOST_WATCHED = 1000
logger = logging.getLogger(__name__)


def entries(file: MoleculeFile) -> Iterator[Entry]:
    """Molecules of an entry of `molecules.files`, without those that its list excludes.

    Raises:
        InputError: with file and place: missing, unreadable or broken; a molecule that `exclude`
            lists cannot be there.
    """
    exclusions = excluded_names(file)
    n_excluded = n_qm9 = 0
    for entry in _of_path(file.path):
        n_qm9 += entry.is_qm9
        if entry.name in exclusions:
            n_excluded += 1
        else:
            yield entry if file.charge is None else _recharged(entry, file.charge)
    if n_excluded:
        logger.info("%s: %d molecules left out, as %s says", file.path, n_excluded, list_file(file))
    elif n_qm9 > 1 and not exclusions:
        logger.info(
            "%s: no %s there, so the 3054 molecules of QM9 whose structure is doubtful are not left out",
            file.path,
            UNCHARACTERIZED,
        )


def _of_path(name: str) -> Iterator[Entry]:
    path = Path(name)
    if name == QM9PACK:
        for table in _qm9pack_tables():
            yield from csv_layouts.entries(table)
    elif path.is_dir():
        for file in _in_folder(path):
            yield from csv_layouts.entries(file) if file.suffix == ".csv" else _xyz_entries(file)
    elif path.suffix.lower() == ".csv":
        yield from csv_layouts.entries(path)
    elif is_archive(path):
        yield from _archive_entries(path)
    else:
        yield from _xyz_entries(path)


def _recharged(entry: Entry, charge: int) -> Entry:
    load = entry.load
    return replace(entry, charge=charge, load=lambda: replace(load(), charge=charge))


# --- files of each kind


def _qm9pack_tables() -> list[Path]:
    """The data files of the package; to import it would fail without setuptools."""
    try:
        package = importlib.metadata.distribution(QM9PACK)
    except importlib.metadata.PackageNotFoundError:
        raise InputError(f"molecules.files: {QM9PACK} is not installed: pip install 'dixc[qm9]'") from None
    tables = [
        Path(str(package.locate_file(file)))
        for file in package.files or []
        if file.match("data/qm9_part*.csv")
    ]
    if not tables:
        raise InputError(f"molecules.files: {QM9PACK} {package.version} has no data/qm9_part*.csv")
    return sorted(tables)


def _in_folder(path: Path) -> list[Path]:
    if (path / QM40_FILE).is_file():
        return [path / QM40_FILE]
    files: list[Path] = []
    for folder, subfolders, names in os.walk(path):
        subfolders[:] = sorted(name for name in subfolders if not name.startswith("."))
        files += [Path(folder, name) for name in sorted(names) if name.endswith(".xyz") and name[0] != "."]
    if not files:
        raise InputError(f"{path}: no .xyz files in this folder (and no {QM40_FILE})")
    return files


def _xyz_entries(path: Path) -> Iterator[Entry]:
    doubts, count = Doubts(path), 0
    for frame in with_names(frames(path), path):
        name, count = frame.entries["name"], count + 1
        # own molecules are checked as a whole; their geometry is not kept
        if not frame.is_qm9:
            doubts.see(molecule_of(frame))
        yield _frame_entry(frame, str(path), partial(_xyz_molecule, path, frame.place, name))
    doubts.warn(count)


def _frame_entry(frame: Frame, source: str, load: Callable[[], Molecule]) -> Entry:
    split = frame.entries.get("split", "")
    name = frame.entries["name"]
    return Entry(name, composition(symbols_of(frame)), charge_of(frame), split, source, load, frame.is_qm9)


def _xyz_molecule(path: Path, place: Place, name: str) -> Molecule:
    return _named_molecule(next(frames(path, place)), name)


def _named_molecule(frame: Frame, name: str) -> Molecule:
    frame.entries.setdefault("name", name)
    return molecule_of(frame)


# --- archives


def _archive_entries(path: Path) -> Iterator[Entry]:
    """Molecules of all xyz files in an archive.

    They are unpacked into one temporary file, of a few hundred MB for QM9.
    """
    unpacked, doubts = _Unpacked(), Doubts(path)
    number = count = 0
    try:
        with tarfile.open(path) as archive:
            for member in archive:
                file = archive.extractfile(member) if member.isfile() else None
                if file is None or not member.name.endswith(".xyz") or "/." in f"/{member.name}":
                    continue
                content, source = file.read(), f"{path}: {member.name}"
                start = unpacked.add(content)
                number += 1
                for frame in with_names(frames_of(io.BytesIO(content), source), member.name):
                    count += 1
                    if not frame.is_qm9:
                        doubts.see(molecule_of(frame))
                    place = frame.place._replace(offset=start + frame.place.offset)
                    name = frame.entries["name"]
                    load = partial(unpacked.molecule, place, source, name)
                    yield _frame_entry(frame, str(path), load)
    except (tarfile.TarError, EOFError, OSError) as error:
        raise InputError(f"{path}: a damaged archive ({error})") from None
    if not number:
        raise InputError(f"{path}: no .xyz files in this archive")
    doubts.warn(count)


class _Unpacked:
    """A temporary file, gone when no molecule can be read from it any more."""

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile()  # noqa: SIM115 (open for as long as this object)
        weakref.finalize(self, self._file.close)

    def add(self, content: bytes) -> int:
        """Appends a file's content; returns where it starts."""
        start = self._file.seek(0, io.SEEK_END)
        self._file.write(content)
        return start

    def molecule(self, place: Place, source: str, name: str) -> Molecule:
        """The molecule that starts at a place."""
        return _named_molecule(next(frames_of(self._file, source, place)), name)


# --- for the workflow


def source_files(files: Iterable[MoleculeFile]) -> list[str]:
    """Files whose change means to choose molecules anew.

    Of a folder with more than `MOST_WATCHED` files, the folder itself.

    Raises:
        InputError: qm9pack is not installed, or a table cannot be read.
    """
    watched: list[str] = []
    for file in files:
        path = Path(file.path)
        if file.path == QM9PACK:
            _qm9pack_tables()
        elif path.is_dir():
            inside = [str(p) for p in _in_folder(path)]
            watched += inside if len(inside) <= MOST_WATCHED else [file.path]
        else:
            watched.append(file.path)
            inside = csv_layouts.files_of(path) if path.suffix.lower() == ".csv" and path.is_file() else []
            watched += inside if len(inside) <= MOST_WATCHED else []
        if (exclusions := list_file(file)) is not None:
            watched.append(str(exclusions))
    return list(dict.fromkeys(watched))


def source_versions(files: Iterable[MoleculeFile]) -> str:
    """Versions of packages that molecules come from; empty without."""
    if all(file.path != QM9PACK for file in files):
        return ""
    _qm9pack_tables()
    return f"{QM9PACK} {importlib.metadata.version(QM9PACK)}"

"""Molecules in CSV tables, in one of three layouts that the header line tells apart.

own tables  `file` [, name, charge, split, smiles]: an xyz file a row, its path from the table's
            folder
qm9pack     XYZ_file, SMILES, Elements, XYZ_Ang: a molecule a row, as in the data files of qm9pack
            1.0.3 on PyPI
QM40        Zinc_id, smile, atom, final_x, final_y, final_z: an atom a row, as in QM40_xyz.csv, the
            optimised geometries of QM40 (A. Madushanka, R. T. Moura Jr., E. Kraka, Sci. Data 11,
            1376 (2024), figshare 25993060); all neutral. The layout was taken from public code that
            reads the release and from the tutorial of its authors (Ayeshmadu/QM40_dataset_for_ML on
            GitHub), not from the data themselves.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from itertools import groupby, islice
from pathlib import Path

from dixc.errors import InputError, UserError
from dixc.molecules.csvfile import Row, RowPlace, header, rows
from dixc.molecules.entry import Entry, composition
from dixc.molecules.frames import Frame, Place, excerpt
from dixc.molecules.molecule import Molecule
from dixc.molecules.xyz import NAME, NAME_RULE, molecule_of, read_xyz, symbols_of

OWN = ("file", "name", "charge", "split", "smiles")
QM9PACK = ("XYZ_file", "SMILES", "Elements", "XYZ_Ang")
QM40 = ("Zinc_id", "smile", "atom", "final_x", "final_y", "final_z")
SPLITS = ("", "train", "validation", "test")
WORD = re.compile(r"[A-Za-z]+")


def entries(path: Path) -> Iterator[Entry]:
    """Molecules of a CSV table.

    Raises:
        InputError: none of the layouts above, or a wrong row, with its line.
    """
    yield from _reader(path)(path)


def files_of(path: Path) -> list[str]:
    """The xyz files that an own table names; none for the other layouts."""
    if _reader(path) is not _own_entries:
        return []
    return [str(path.parent / row.values[0]) for row in rows(path, OWN[:1])]


def _reader(path: Path) -> Callable[[Path], Iterator[Entry]]:
    names = set(header(path))
    for needed, reader in ((QM40, _qm40_entries), (QM9PACK, _qm9pack_entries), (OWN[:1], _own_entries)):
        if names >= set(needed):
            return reader
    raise InputError(
        f"{path}: needs a column file (of xyz files; name, charge, split and smiles may stand beside it), or the "
        f"columns of qm9pack or QM40; it has {excerpt(', '.join(sorted(names)))}"
    )


def _where(path: Path, place: RowPlace, name: str = "") -> str:
    return f"{path}: line {place.line}" + (f" ({name})" if name else "")


# --- own tables


def _own_entries(path: Path) -> Iterator[Entry]:
    for row in rows(path, OWN):
        molecule = _own_molecule(path, row)
        load = partial(_own_again, path, row.place)
        yield Entry(
            molecule.name, composition(molecule.symbols), molecule.charge, molecule.split, str(path), load
        )


def _own_again(path: Path, place: RowPlace) -> Molecule:
    return _own_molecule(path, next(rows(path, OWN, place)))


def _own_molecule(path: Path, row: Row) -> Molecule:
    file, name, charge, split, smiles = (value.strip() for value in row.values)
    where = _where(path, row.place)
    if name and not NAME.fullmatch(name):
        raise InputError(f"{where}: name {excerpt(name)}: {NAME_RULE}")
    if charge and not re.fullmatch(r"[+-]?\d+", charge):
        raise InputError(f"{where}: charge {excerpt(charge)}: must be a whole number")
    if split not in SPLITS:
        raise InputError(f"{where}: split {excerpt(split)}: must be train, validation, test or empty")
    overruled = int(charge) if charge else None
    molecules = read_xyz(path.parent / file, closed_shells_only=False, charge=overruled)
    if len(molecules) > 1:
        raise InputError(
            f"{where}: {file} has {len(molecules)} molecules; a file named in a table must have one"
        )
    molecule = molecules[0]
    info = dict(molecule.info) | ({"smiles": smiles} if smiles else {})
    return replace(molecule, name=name or molecule.name, split=split or molecule.split, info=info)


# --- qm9pack and QM40: geometries in the table itself


class _Rows(Frame):
    """A molecule's rows as a frame of an xyz file, so that both are checked alike.

    Errors name the first row.
    """

    def error(self, problem: str, line: int | None = None) -> UserError:
        return InputError(f"{self.where} ({self.entries['name']}): {problem}")


def _frame(path: Path, place: RowPlace, name: str, smiles: str, atoms: list[str]) -> Frame:
    info = {"smiles": smiles.strip()} if smiles.strip() else {}
    return _Rows(_where(path, place), place.line, {"name": name} | info, atoms, Place())


def _qm9pack_entries(path: Path) -> Iterator[Entry]:
    for row in rows(path, QM9PACK):
        name, smiles, elements = (
            row.values[0].removesuffix(".xyz"),
            row.values[1],
            WORD.findall(row.values[2]),
        )
        symbols = symbols_of(_frame(path, row.place, name, smiles, [f"{word} 0 0 0" for word in elements]))
        load = partial(_qm9pack_molecule, path, row.place)
        yield Entry(name, composition(symbols), 0, "", str(path), load)


def _qm9pack_molecule(path: Path, place: RowPlace) -> Molecule:
    file, smiles, elements, geometry = next(rows(path, QM9PACK, place)).values
    symbols = WORD.findall(elements)
    # not JSON: it has numbers such as "0."
    coords = [row.split(",") for row in "".join(geometry.split()).strip("[]").split("],[")]
    frame = _frame(path, place, file.removesuffix(".xyz"), smiles, [])
    if len(coords) != len(symbols) or any(len(row) != 3 for row in coords):
        raise frame.error("XYZ_Ang does not have three coordinates for each of Elements")
    atoms = [f"{symbol} {' '.join(row)}" for symbol, row in zip(symbols, coords, strict=True)]
    return molecule_of(frame._replace(atoms=atoms))


def _qm40_entries(path: Path) -> Iterator[Entry]:
    seen = set()
    for name, group in groupby(rows(path, QM40), key=lambda row: row.values[0]):
        atoms = list(group)
        load = partial(_qm40_molecule, path, atoms[0].place, len(atoms))
        frame = _qm40_frame(path, atoms)
        if name in seen:
            raise frame.error("its atoms are not all in consecutive rows")
        seen.add(name)
        yield Entry(name, composition(symbols_of(frame)), 0, "", str(path), load)


def _qm40_molecule(path: Path, place: RowPlace, count: int) -> Molecule:
    return molecule_of(_qm40_frame(path, list(islice(rows(path, QM40, place), count))))


def _qm40_frame(path: Path, atoms: list[Row]) -> Frame:
    name, smiles = atoms[0].values[:2]
    return _frame(path, atoms[0].place, name, smiles, [" ".join(row.values[2:]) for row in atoms])

"""Extended-xyz files of many molecules, read through ASE, with errors that say where the file is wrong."""

from __future__ import annotations

import io
import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from dixc.errors import UserError
from dixc.molecules.checks import warn_of_bohr
from dixc.molecules.molecule import Molecule, open_shell_reason

MIN_DISTANCE = 0.4  # angstrom; the shortest bond, that of H2, has 0.74
MAX_DIGITS = 9  # of the number of atoms
MAX_COORDINATE = 1e5  # angstrom; squares of much larger ones overflow
NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.,:+@#()~*-]{0,99}")
ENTRY = re.compile(r"""([^\s="]+)=(?:"([^"]*)"|(\S+))""")
COLUMNS = re.compile(r"[^:\s]+:[SRIL]:\d{1,3}(:[^:\s]+:[SRIL]:\d{1,3})*")
DEFAULT_COLUMNS = "species:S:1:pos:R:3"
# entries of the comment line that have a place of their own, or follow from the rest
OWN_ENTRIES = {"name", "charge", "split", "n_heavy", "Properties", "pbc", "Lattice"}


class _Frame(NamedTuple):
    """One molecule's lines.

    Attributes:
        where: file and frame, for messages.
        line: number of the line with the count of atoms, from 1.
        entries: key=value pairs of the comment line.
        atoms: the other lines.
    """

    where: str
    line: int
    entries: dict[str, str]
    atoms: list[str]

    def error(self, problem: str, line: int | None = None) -> UserError:
        """The error that names file, frame, line and molecule."""
        name = f", {self.entries['name'][:100]}" if "name" in self.entries else ""
        return UserError(f"{self.where} (line {line or self.line}{name}): {problem}")


def read_xyz(
    path: str | os.PathLike[str], closed_shells_only: bool = True, charge: int | None = None
) -> list[Molecule]:
    """All molecules of an extended-xyz file.

    The comment line may give name (needed if there are several molecules), charge (0 without) and split; all
    else is kept as text.

    Args:
        path: the file.
        closed_shells_only: refuse other molecules; otherwise see `open_shell_reason`.
        charge: overrules the file's.

    Raises:
        UserError: with file, frame, line and molecule: broken or empty file, unknown element, coordinate that
            is no number, atoms closer than 0.4 angstrom, open shell, a name given twice, a periodic cell.
    """
    molecules: list[Molecule] = []
    first: dict[str, int] = {}
    frames = list(_frames(Path(path)))
    for frame in frames:
        if "name" not in frame.entries:
            if len(frames) > 1:
                raise frame.error("no name=... in the comment line", frame.line + 1)
            frame.entries["name"] = re.sub(r"[^A-Za-z0-9_-]", "_", Path(path).stem)
        molecule = _molecule(frame, charge)
        reason = open_shell_reason(molecule) if closed_shells_only else None
        if reason:
            raise frame.error(reason)
        if molecule.name in first:
            raise frame.error(f"a molecule of this name is at line {first[molecule.name]} already")
        first[molecule.name] = frame.line
        molecules.append(molecule)
    warn_of_bohr(path, molecules)
    return molecules


def write_xyz(path: str | os.PathLike[str], molecules: Iterable[Molecule]) -> None:
    """Writes an extended-xyz file in one step; coordinates keep 10 decimals (angstrom).

    Raises:
        UserError: it cannot be written.
    """
    from dixc.store import atomic_file

    text = "".join(_text(molecule) for molecule in molecules)
    with atomic_file(path) as file:
        file.write(text.encode())


def _text(molecule: Molecule) -> str:
    entries = {"name": molecule.name, "charge": str(molecule.charge)}
    if molecule.split:
        entries["split"] = molecule.split
    entries |= {"n_heavy": str(molecule.n_heavy), **molecule.info}
    comment = " ".join(f"{key}={_quoted(str(value))}" for key, value in entries.items())
    lines = [str(len(molecule.symbols)), comment]
    for symbol, xyz in zip(molecule.symbols, molecule.coords_angstrom, strict=True):
        lines.append(f"{symbol:2s} {xyz[0]:15.10f} {xyz[1]:15.10f} {xyz[2]:15.10f}")
    return "\n".join(lines) + "\n"


def _quoted(value: str) -> str:
    if re.fullmatch(r"[A-Za-z0-9_.:+-]+", value):
        return value
    return '"' + " ".join(value.replace('"', "'").split()) + '"'


def _frames(path: Path) -> Iterator[_Frame]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except UnicodeDecodeError:
        raise UserError(f"{path}: not a text file") from None
    except OSError as error:
        raise UserError(f"{path}: cannot read: {error.strerror or error}") from None
    at = number = 0
    while at < len(lines):
        if not lines[at].strip():
            at += 1
            continue
        number += 1
        where, count = f"{path}: frame {number}", lines[at].strip()
        if not count.isdecimal() or len(count) > MAX_DIGITS or int(count) < 1:
            raise UserError(f"{where} (line {at + 1}): {_short(count)} where the number of atoms should be")
        body = lines[at + 1 : at + 2 + int(count)]
        entries = {key: quoted or bare for key, quoted, bare in ENTRY.findall(body[0])} if body else {}
        frame = _Frame(where, at + 1, entries, body[1:])
        if len(frame.atoms) < int(count):
            raise frame.error(f"truncated: {len(frame.atoms)} of {count} atoms are there")
        yield frame
        at += 2 + int(count)
    if not number:
        raise UserError(f"{path}: no molecules in it")


def _molecule(frame: _Frame, charge: int | None) -> Molecule:
    entries = frame.entries
    name = entries["name"]
    if not NAME.fullmatch(name):
        raise frame.error(f"name {_short(name)}: letters, digits and _.,:+@#()~*- only", frame.line + 1)
    if "Lattice" in entries and "T" in entries.get("pbc", "T T T").upper():
        raise frame.error("a periodic cell: dixc is for molecules", frame.line + 1)
    if charge is None:
        charge = _charge(frame)
    symbols, coords = _atoms(frame)
    if not np.isfinite(coords).all():
        atom = int(np.argmin(np.isfinite(coords).all(axis=1)))
        raise frame.error("coordinate is not finite", frame.line + 2 + atom)
    if np.abs(coords).max() > MAX_COORDINATE:
        atom = int(np.argmax(np.abs(coords).max(axis=1)))
        raise frame.error(f"coordinate beyond {MAX_COORDINATE:g} angstrom", frame.line + 2 + atom)
    distances = np.linalg.norm(coords[:, None] - coords[None], axis=2) + np.diag(np.full(len(coords), np.inf))
    i, j = np.unravel_index(np.argmin(distances), distances.shape)
    if distances[i, j] < MIN_DISTANCE:
        pair = f"atoms {i + 1} ({symbols[i]}) and {j + 1} ({symbols[j]})"
        raise frame.error(f"{pair} are {distances[i, j]:.3f} angstrom apart, less than {MIN_DISTANCE}")
    info = {key: value for key, value in entries.items() if key not in OWN_ENTRIES}
    return Molecule(name, symbols, coords, charge, entries.get("split", ""), info)


def _charge(frame: _Frame) -> int:
    text = frame.entries.get("charge", "0")
    try:
        value = float(text)
    except ValueError:
        value = np.nan
    if not value.is_integer():
        raise frame.error(f"charge={text}: must be a whole number", frame.line + 1)
    return int(value)


def _atoms(frame: _Frame) -> tuple[tuple[str, ...], np.ndarray]:
    """Elements and coordinates (natm, 3), angstrom."""
    import ase.io

    columns = frame.entries.get("Properties", DEFAULT_COLUMNS)
    parts = columns.split(":")
    if not COLUMNS.fullmatch(columns) or "pos" not in parts[::3] or not {"species", "Z"} & set(parts[::3]):
        raise frame.error(f"Properties={columns[:60]}: needs species:S:1 and pos:R:3", frame.line + 1)
    # ASE sees the columns only: what else stands in a comment line is not its business
    text = "\n".join([str(len(frame.atoms)), f"Properties={columns}", *frame.atoms]) + "\n"
    try:
        atoms = ase.io.read(io.StringIO(text), format="extxyz", index=0)
        if 0 in atoms.numbers:
            raise KeyError("X")
    except Exception as error:  # ASE raises whatever its parser stumbles over
        raise _blame(frame, parts, error) from None
    return tuple(atoms.get_chemical_symbols()), atoms.get_positions()


def _blame(frame: _Frame, parts: list[str], error: Exception) -> UserError:
    """The line that ASE could not read, in plain words."""
    from ase.data import atomic_numbers

    starts, width = {}, 0
    for name, _, count in zip(parts[::3], parts[1::3], parts[2::3], strict=False):
        starts[name] = width
        width += int(count) if count.isdecimal() else 1
    for line, text in enumerate(frame.atoms, start=frame.line + 2):
        words = text.split()
        if len(words) < width:
            return frame.error(f"{_short(text)} where an element and three coordinates should be", line)
        for word in words[starts["pos"] : starts["pos"] + 3]:
            if not _is_number(word):
                return frame.error(f"coordinate {_short(word)} is not a number", line)
        symbol = words[starts["species"]] if "species" in starts else ""
        if symbol and not atomic_numbers.get(symbol.capitalize()):
            return frame.error(f"unknown element {_short(symbol)}", line)
    return frame.error(f"not extended xyz: {_short(str(error))}")


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True


def _short(text: str) -> str:
    text = " ".join(text.split())
    return repr(text if len(text) <= 60 else text[:57] + "...")

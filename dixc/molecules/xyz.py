"""Extended-xyz files of many molecules, with errors that say where the file is wrong.

The files of the QM9 release are read as well: each has one molecule, properties in the comment
line, and three more lines at its end (frequencies, SMILES, InChI); see `dixc.molecules.frames`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from dixc.elements import symbol_of
from dixc.errors import UserError
from dixc.molecules.checks import Doubts
from dixc.molecules.frames import Frame, excerpt, frames
from dixc.molecules.molecule import Molecule, open_shell_reason

MIN_DISTANCE = 0.4  # angstrom; the shortest bond, that of H2, has 0.74
MAX_CHARGE = 1e6  # e
CHARGE = {"charge", "total_charge", "net_charge"}  # in the comment line, in letters of any size
MAX_COORDINATE = 1e5  # angstrom; squares of much larger ones overflow
MAX_NAME = 100
NAME = re.compile(rf"[A-Za-z0-9_][A-Za-z0-9_.,:+@#()~*-]{{0,{MAX_NAME - 1}}}")
NAME_RULE = f"letters, digits and _.,:+@#()~*- only, the first no sign but _, at most {MAX_NAME}"
# Python's own float() takes 1_0 for 10
NUMBER = re.compile(
    r"([+-]?(?:\d+\.?\d*|\.\d+))(?:[eEdD]([+-]?\d+))?|[+-]?(?:nan|inf|infinity)", re.ASCII | re.IGNORECASE
)
COLUMNS = re.compile(r"[^:\s]+:[SRIL]:\d{1,3}(:[^:\s]+:[SRIL]:\d{1,3})*")
DEFAULT_COLUMNS = "species:S:1:pos:R:3"
UNIT, ANGSTROM = {"unit", "units", "length_unit"}, {"angstrom", "angstroms", "ang", "a", "å"}
# entries of the comment line that have a place of their own, or follow from the rest
OWN_ENTRIES = {"name", "charge", "split", "n_heavy", "Properties", "pbc", "Lattice"}


def read_xyz(
    path: str | os.PathLike[str], closed_shells_only: bool = True, charge: int | None = None
) -> list[Molecule]:
    """All molecules of an extended-xyz file.

    The comment line may give name (needed if there are several molecules), charge (0 without) and
    split; all else is kept as text.

    Args:
        path: the file.
        closed_shells_only: refuse other molecules; otherwise see `open_shell_reason`.
        charge: overrules the file's.

    Raises:
        InputError: with file, frame, line and molecule: broken or empty file, unknown element,
            coordinate that is no number, atoms closer than 0.4 angstrom, open shell, a name given
            twice, a periodic cell.
    """
    molecules = []
    for _, molecule in molecules_or_errors(path, closed_shells_only, charge):
        if isinstance(molecule, UserError):
            raise molecule
        molecules.append(molecule)
    return molecules


def molecules_or_errors(
    path: str | os.PathLike[str], closed_shells_only: bool = True, charge: int | None = None
) -> Iterator[tuple[Frame, Molecule | UserError]]:
    """Frames of an extended-xyz file, each with its molecule or the error that it makes.

    Args:
        path, closed_shells_only, charge: as of `read_xyz`.

    Raises:
        InputError: what makes all of the file unreadable: it is missing, empty or truncated, has a
            line where the number of atoms should be, lacks names, or gives one twice.
    """
    first: dict[str, int] = {}
    doubts, count = Doubts(path), 0
    for frame in with_names(frames(path), path):
        count, name = count + 1, frame.entries["name"]
        if name in first:
            raise frame.error(f"a molecule of this name is at line {first[name]} already")
        first[name] = frame.line
        try:
            molecule = molecule_of(frame, charge)
            reason = open_shell_reason(molecule) if closed_shells_only else None
            if reason:
                raise frame.error(reason)
        except UserError as error:
            yield frame, error
        else:
            doubts.see(molecule)
            yield frame, molecule
    doubts.warn(count)


def write_xyz(path: str | os.PathLike[str], molecules: Iterable[Molecule]) -> None:
    """Writes an extended-xyz file in one step; coordinates keep 10 decimals (angstrom).

    Raises:
        InputError: it cannot be written.
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


def with_names(nameless: Iterable[Frame], path: str | os.PathLike[str]) -> Iterator[Frame]:
    """Frames with a name each: a frame without one has the file's, if it is alone.

    Raises:
        InputError: a frame without a name among several.
    """
    alone = None
    for position, frame in enumerate(nameless):
        unnamed = alone or (None if "name" in frame.entries else frame)
        if unnamed is not None:
            if position:
                raise unnamed.error("no name=... in the comment line", unnamed.line + 1)
            alone = frame
            continue
        yield frame
    if alone is not None:
        name = re.sub(r"[^A-Za-z0-9_-]", "_", Path(path).stem)[:MAX_NAME]
        alone.entries["name"] = "_" + name[1:] if name.startswith("-") else name
        yield alone


def molecule_of(frame: Frame, charge: int | None = None) -> Molecule:
    """The molecule of a frame that has a name; `charge` overrules the file's.

    Raises:
        InputError: as `read_xyz`.
    """
    entries = frame.entries
    name = entries["name"]
    if not NAME.fullmatch(name):
        raise frame.error(f"name {excerpt(name)}: {NAME_RULE}", frame.line + 1)
    unit = next((entries[key] for key in entries if key.lower() in UNIT), "angstrom")
    if unit.lower() not in ANGSTROM:
        raise frame.error(f"coordinates in {excerpt(unit)}: dixc reads angstrom", frame.line + 1)
    if "Lattice" in entries and "T" in entries.get("pbc", "T T T").upper():
        raise frame.error("a periodic cell: dixc is for molecules", frame.line + 1)
    if charge is None:
        charge = charge_of(frame)
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
    info = {key: value for key, value in entries.items() if not _has_a_place(key)}
    return Molecule(name, symbols, coords, charge, entries.get("split", ""), info)


def _has_a_place(key: str) -> bool:
    return key in OWN_ENTRIES or key.lower() in CHARGE


def charge_of(frame: Frame) -> int:
    """Total charge that the comment line gives under any of its names, e; 0 without."""
    charges = {}
    for key, text in frame.entries.items():
        if key.lower() not in CHARGE:
            continue
        value = number_of(text)
        if value is None or not value.is_integer() or abs(value) > MAX_CHARGE:
            raise frame.error(f"{key}={text[:60]}: must be a whole number", frame.line + 1)
        charges[int(value)] = f"{key}={text}"
    if len(charges) > 1:
        raise frame.error(f"two charges: {', '.join(charges.values())}", frame.line + 1)
    return next(iter(charges), 0)


def symbols_of(frame: Frame) -> tuple[str, ...]:
    """Elements of a frame's atoms, without a look at the coordinates.

    Raises:
        InputError: unknown element, or too few columns.
    """
    species, _, width = _columns(frame)
    symbols = []
    for line, words in enumerate(map(str.split, frame.atoms), start=frame.line + 2):
        if len(words) < width:
            text = excerpt(" ".join(words))
            raise frame.error(f"{text} where an element and three coordinates should be", line)
        symbol = symbol_of(words[species])
        if symbol is None:
            raise frame.error(f"unknown element {excerpt(words[species])}{_hint(words[species])}", line)
        symbols.append(symbol)
    return tuple(symbols)


def _hint(word: str) -> str:
    """What a word may mean that is no symbol of an element, for the message."""
    letters = re.sub(r"[^A-Za-z].*", "", word.lstrip("0123456789"))
    if letters.upper() in ("D", "T"):
        return " (an isotope? its electrons are those of H)"
    symbol = symbol_of(letters) if letters and letters != word else None
    return f" (a label? the element alone belongs there: {symbol})" if symbol else ""


def _atoms(frame: Frame) -> tuple[tuple[str, ...], np.ndarray]:
    """Elements and coordinates (natm, 3), angstrom."""
    symbols = symbols_of(frame)
    _, first, _ = _columns(frame)
    coords = []
    for line, text in enumerate(frame.atoms, frame.line + 2):
        row = []
        for word in text.split()[first : first + 3]:
            value = number_of(word)
            if value is None:
                raise frame.error(f"coordinate {excerpt(word)} is not a number", line)
            row.append(value)
        coords.append(row)
    return symbols, np.array(coords)


def _columns(frame: Frame) -> tuple[int, int, int]:
    """Places of the element and of the first coordinate in a line, and its number of words."""
    text = frame.entries.get("Properties", DEFAULT_COLUMNS)
    if text == DEFAULT_COLUMNS:
        return 0, 1, 4
    starts, width = {}, 0
    if COLUMNS.fullmatch(text):
        parts = text.split(":")
        for name, count in zip(parts[::3], parts[2::3], strict=True):
            starts[name] = width
            width += int(count)
    species = starts.get("species", starts.get("Z"))
    if species is None or starts.get("pos", width) + 3 > width:
        raise frame.error(f"Properties={text[:60]}: needs species:S:1 and pos:R:3", frame.line + 1)
    return species, starts["pos"], width


def number_of(word: str) -> float | None:
    """The number that a word stands for, one of Fortran (1.0D-3) too; None if it is none."""
    match = NUMBER.fullmatch(word)
    if match is None:
        return None
    return float(f"{match[1]}e{match[2]}" if match[2] else word)

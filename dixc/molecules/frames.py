"""The frames of an xyz file: a count, a comment line, and a line for each atom.

A frame remembers where it starts, so that it can be read again alone. A file of the QM9 release (R.
Ramakrishnan et al., Sci. Data 1, 140022 (2014), table 2) is told by its comment line, "gdb", an
index and fifteen properties: a line of an atom has its Mulliken charge as fifth word, numbers may
be written as 1.2*^-5 (1.2e-5), and after the atoms come three lines with frequencies, SMILES and
InChI.
"""

from __future__ import annotations

import codecs
import os
import re
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

from dixc.errors import InputError, UserError
from dixc.inputs import MAX_LINE, opened

ENTRY = re.compile(r"""([^\s="]+)=(?:"([^"]*)"|(\S+))""")
QM9_COMMENT = re.compile(r"gdb\s+(\d+)(?:\s+[-+.\d*^eE]+){15}\s*")
QM9_EXTRA_LINES = 3
MAX_DIGITS = 9  # of the number of atoms
HEAD = 1 << 10  # bytes that tell UTF-16


class Place(NamedTuple):
    """Where a frame starts: byte, number of lines and of frames before it."""

    offset: int = 0
    line: int = 0
    number: int = 0


class Frame(NamedTuple):
    """One molecule's lines.

    Attributes:
        where: file and frame, for messages.
        line: number of the line with the count of atoms, from 1.
        entries: key=value pairs of the comment line.
        atoms: the lines of the atoms.
        place: where it starts.
        is_qm9: it has the layout of the QM9 release; its entries are then name, charge and smiles.
    """

    where: str
    line: int
    entries: dict[str, str]
    atoms: list[str]
    place: Place
    is_qm9: bool = False

    def error(self, problem: str, line: int | None = None) -> UserError:
        """The error that names file, frame, line and molecule."""
        name = f", {excerpt(self.entries['name'])[1:-1]}" if self.entries.get("name") else ""
        return InputError(f"{self.where} (line {line or self.line}{name}): {problem}")


def frames(path: str | os.PathLike[str], place: Place = Place()) -> Iterator[Frame]:  # noqa: B008
    """Frames of a file from a place on, read one at a time.

    Raises:
        InputError: no such file, no text, no frame, or a truncated one.
    """
    try:
        with opened(path) as file:
            yield from frames_of(file, str(path), place)
    except OSError as error:
        raise InputError(f"{path}: cannot read: {error.strerror or error}") from None


def frames_of(file: BinaryIO, name: str, place: Place = Place()) -> Iterator[Frame]:  # noqa: B008
    """Frames of an open file; `name` is that for messages."""
    offset, line, number = place
    if not offset:
        _require_text(file, name)
    file.seek(offset)
    while raw := _line(file, name):
        start = Place(offset, line, number)
        offset, line = offset + len(raw), line + 1
        raw = raw.removeprefix(codecs.BOM_UTF8)
        if not raw.strip():
            continue
        number += 1
        where, count = f"{name}: frame {number}", _text(raw).strip()
        if not count.isdecimal() or len(count) > MAX_DIGITS or int(count) < 1:
            raise InputError(f"{where} (line {line}): {excerpt(count)} where the number of atoms should be")
        body = _take(file, int(count) + 1, name)
        comment, *atoms = [_text(part) for part in body] or [""]
        match = QM9_COMMENT.fullmatch(comment.strip())
        entries = {key: quoted or bare for key, quoted, bare in ENTRY.findall(comment)}
        extra = []
        if match:
            extra = _take(file, QM9_EXTRA_LINES, name)
            entries = _qm9_entries(match[1], [_text(part) for part in extra])
            atoms = [text.replace("*^", "e") for text in atoms]
        frame = Frame(where, line, entries, atoms, start, match is not None)
        if len(atoms) < int(count):
            raise frame.error(f"truncated: {len(atoms)} of {count} atoms are there")
        if match and len(extra) < QM9_EXTRA_LINES:
            raise frame.error("truncated: a file of QM9 ends with lines of frequencies, SMILES and InChI")
        yield frame
        offset, line = offset + sum(map(len, body + extra)), line + len(body) + len(extra)
    if not number:
        raise InputError(f"{name}: no molecules in it")


def qm9_name(index: int | str) -> str:
    """The name of a molecule in QM9 by its index: dsgdb9nsd_000012 for 12."""
    return f"dsgdb9nsd_{int(index):06d}"


def _qm9_entries(index: str, extra: list[str]) -> dict[str, str]:
    smiles = extra[1].split() if len(extra) > 1 else []
    return {"name": qm9_name(index), "charge": "0"} | ({"smiles": smiles[0]} if smiles else {})


def _take(file: BinaryIO, count: int, name: str) -> list[bytes]:
    """The next lines of a file, fewer at its end."""
    lines: list[bytes] = []
    while len(lines) < count and (raw := _line(file, name)):
        lines.append(raw)
    return lines


def _line(file: BinaryIO, name: str) -> bytes:
    """The next line of a file, without bytes at its end."""
    raw = file.readline(MAX_LINE)
    if b"\0" in raw or (len(raw) == MAX_LINE and not raw.endswith(b"\n")):
        raise InputError(f"{name}: not a text file")
    return raw


def _text(raw: bytes) -> str:
    """A line as UTF-8, else as Latin-1, which old programs write; what counts is ASCII."""
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw.decode("latin-1")


def _require_text(file: BinaryIO, name: str) -> None:
    """Refuses UTF-16, which is not read line by line."""
    file.seek(0)
    head = file.read(HEAD)
    if not head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return
    try:
        head.decode("utf-16")
    except UnicodeDecodeError:
        raise InputError(f"{name}: not a text file") from None
    raise InputError(f"{name}: text in UTF-16: save it as UTF-8")


def excerpt(text: str) -> str:
    """A piece of a file for a message: one line, quoted, cut after 60 characters."""
    text = " ".join(text.split())
    return repr(text if len(text) <= 60 else text[:57] + "...")

"""CSV files read row by row; a row can be read again alone from where it starts."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from typing import BinaryIO, NamedTuple

from dixc.errors import InputError
from dixc.inputs import MAX_LINE, AnyPath, opened


class RowPlace(NamedTuple):
    """Where a row starts: its line from 1, and its first byte."""

    line: int
    offset: int


class Row(NamedTuple):
    """A row: values of some columns in a given order, and its place.

    A column that the file lacks is empty text.
    """

    values: list[str]
    place: RowPlace


def header(path: AnyPath) -> list[str]:
    """Names of the columns.

    Raises:
        InputError: no such file, no text, or an empty file.
    """
    with opened(path) as file:
        return _header(file, path)


def rows(path: AnyPath, columns: Sequence[str], place: RowPlace | None = None) -> Iterator[Row]:
    """Rows of a CSV file with a header, from a place on; empty lines are passed over.

    Raises:
        InputError: with the line: it is no CSV, or a row has fewer columns than the header.
    """
    with opened(path) as file:
        names = _header(file, path)
        places = [names.index(column) if column in names else None for column in columns]
        line, offset = place or RowPlace(2, file.tell())
        file.seek(offset)
        source = _Lines(file, line, offset)
        reader = csv.reader(source, strict=True)
        while True:
            at = RowPlace(source.line, source.offset)
            try:
                values = next(reader, None)
            except (csv.Error, UnicodeDecodeError) as error:
                raise InputError(f"{path}: line {at.line}: not a CSV table ({error})") from None
            if values is None:
                return
            if not values:
                continue
            if len(values) < len(names):
                raise InputError(f"{path}: line {at.line}: {len(values)} of {len(names)} columns are there")
            yield Row(["" if i is None else values[i] for i in places], at)


class _Lines:
    """Lines of a file as text, and where the next one starts."""

    def __init__(self, file: BinaryIO, line: int, offset: int):
        self.file, self.line, self.offset = file, line, offset

    def __iter__(self) -> _Lines:
        return self

    def __next__(self) -> str:
        raw = self.file.readline(MAX_LINE)
        if not raw:
            raise StopIteration
        if len(raw) == MAX_LINE:
            raise csv.Error("a line without end")
        self.line, self.offset = self.line + 1, self.offset + len(raw)
        return raw.decode()


def _header(file: BinaryIO, path: AnyPath) -> list[str]:
    try:
        text = file.readline(MAX_LINE).decode("utf-8-sig")  # spreadsheets like to begin with a mark
        names = [name.strip() for name in next(csv.reader([text]), [])]
    except (UnicodeDecodeError, csv.Error):
        raise InputError(f"{path}: not a text file") from None
    if not any(names):
        raise InputError(f"{path}: an empty table, without a header line")
    return names

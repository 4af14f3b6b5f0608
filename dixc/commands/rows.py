"""Results in a file of JSON lines that grows row by row.

A run that was ended goes on after the rows that the file has.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dixc.errors import InputError, UserError
from dixc.inputs import opened
from dixc.store import require_writable
from dixc.store.files import writing


def as_line(row: Mapping[str, Any]) -> str:
    """A row as JSON, which knows neither NaN nor infinity.

    Raises:
        ValueError: a number that is not finite.
    """
    return json.dumps(row, allow_nan=False)


class Rows:
    """The file of a run's results, open for more of them.

    A row is written and on disk before the next molecule begins. A write that fails is taken back.

    Attributes:
        earlier: rows that an earlier run with the same key left.
    """

    def __init__(self, path: Path, key: str, names: Sequence[str]):
        """Opens the file, or makes an empty one.

        Args:
            path: the file.
            key: hash of all that determines the rows.
            names: the molecules, in the order of their rows.

        Raises:
            InputError: it cannot be written, has something else in it, or another run writes to it.
        """
        self.path, self.key = path, key
        require_writable(path)
        with writing(path):
            self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o666)
            try:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(self._file)
                raise InputError(f"{path}: another run is writing to it") from None
            except OSError:  # a file system without locks
                pass
        try:
            self.earlier = self._read(names)
        except BaseException:
            os.close(self._file)
            raise

    def __enter__(self) -> Rows:
        return self

    def __exit__(self, *_: object) -> None:
        if os.fstat(self._file).st_size == 0:  # ended before its first row
            self.path.unlink(missing_ok=True)
        os.close(self._file)

    def add(self, row: Mapping[str, Any]) -> None:
        """Appends a row.

        Raises:
            InputError: it cannot be written; the file stays as it was.
        """
        line = (as_line(row) + "\n").encode()
        size = os.fstat(self._file).st_size
        with writing(self.path):
            try:
                written = os.write(self._file, line)
                if written < len(line):  # a full disk says so at the next byte
                    os.write(self._file, line[written:])
                os.fsync(self._file)
            except BaseException:
                os.ftruncate(self._file, size)
                raise

    def _read(self, names: Sequence[str]) -> list[dict[str, Any]]:
        """The rows that are there; what a power cut left of one more is removed."""
        with opened(self.path) as file:
            whole, _, rest = file.read().rpartition(b"\n")
        rows: list[dict[str, Any]] = []
        for line in whole.split(b"\n") if whole else []:
            try:
                row = json.loads(line)
                is_ours = (row["run"], row["name"]) == (self.key, names[len(rows)])
                is_ours = is_ours and (row["error"] if "error" in row else row["e_tot_Eh"]) is not None
            except (ValueError, LookupError, TypeError, RecursionError):
                is_ours = False
            if not is_ours:
                raise self.other()
            rows.append(row)
        begin = f'{{"run": "{self.key}"'.encode()
        if rest:
            if not (rest.startswith(begin) or begin.startswith(rest)):
                raise self.other()
            with writing(self.path):
                os.ftruncate(self._file, len(whole) + bool(whole))
        return rows

    def other(self) -> UserError:
        """The error to raise if the file holds something else than results of this run."""
        return InputError(
            f"{self.path}: holds something else than results of these molecules with these settings and this "
            "dixc; remove it, or name another file"
        )

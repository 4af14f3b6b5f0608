"""Files that a user names for reading: regular ones only.

A pipe makes a program wait for whoever writes to it, and a device such as /dev/zero never ends.
"""

from __future__ import annotations

import os
import stat
from typing import BinaryIO

from dixc.errors import InputError

AnyPath = str | os.PathLike[str]
MAX_LINE = 1 << 20  # bytes; a longer one is no text
KINDS = {
    stat.S_IFIFO: "a pipe", stat.S_IFSOCK: "a socket", stat.S_IFCHR: "a device", stat.S_IFBLK: "a device",
}  # fmt: skip


def irregular(path: AnyPath) -> str | None:
    """What a path is that is no file, in words; None for a file, a folder, or nothing at all."""
    try:
        return KINDS.get(stat.S_IFMT(os.stat(path).st_mode))
    except (OSError, ValueError):
        return None


def require_regular(path: AnyPath) -> None:
    """Refuses what is there and no file, before anything is opened.

    What is not there is the caller's to say.

    Raises:
        InputError: a folder, a pipe, a socket or a device.
    """
    if "\0" in os.fspath(path):
        raise InputError(f"{path}: not a name of a file")
    kind = irregular(path)
    if kind is not None:
        raise InputError(f"{path}: cannot read: it is {kind}, not a file")
    if os.path.isdir(path):
        raise InputError(f"{path}: cannot read: Is a directory")


def opened(path: AnyPath) -> BinaryIO:
    """A file opened for reading bytes.

    Raises:
        InputError: no such file, one that cannot be read, or none at all (see `require_regular`).
    """
    require_regular(path)
    try:
        return open(path, "rb")
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except OSError as error:
        raise InputError(f"{path}: cannot read: {error.strerror or error}") from None

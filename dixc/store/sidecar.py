"""Provenance of files that have no place for it: beside a table as JSON, in a page or figure as a comment.

CSV and extended xyz are read by programs that know nothing of dixc, so nothing is added to them. A table `x.csv`
has `x.csv.provenance.json` beside it, or is listed in the folder's `provenance.json`. Both name the files they
speak of with their SHA-256: a table that was changed or replaced is told from the one that was written.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dixc.errors import InputError
from dixc.inputs import require_regular
from dixc.provenance import file_hash
from dixc.store.csvtext import csv_bytes
from dixc.store.files import atomic_file

if TYPE_CHECKING:
    import pandas as pd

FORMAT = "dixc-provenance"
VERSION = 1
NAME = "provenance.json"
COMMENT = re.compile(r"<!-- dixc-provenance (\{.*?\}) -->\s*\Z", re.DOTALL)
COMMENT_BYTES = 1 << 18  # at the end of a page, within which its comment stands


def sidecar_text(files: Mapping[str, bytes], record: Mapping[str, Any]) -> str:
    """JSON text of a sidecar.

    Args:
        files: content by file name.
        record: their common provenance.
    """
    hashes = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    content = {"format": FORMAT, "version": VERSION, "files": hashes, "provenance": record}
    return json.dumps(content, indent=1) + "\n"


def write_sidecar(path: Path, files: Mapping[str, bytes], record: Mapping[str, Any]) -> None:
    """Writes a sidecar in one step; arguments as of `sidecar_text`."""
    with atomic_file(path) as file:
        file.write(sidecar_text(files, record).encode())


def write_csv(path: Path, rows: pd.DataFrame, record: Mapping[str, Any]) -> None:
    """Writes a table in one step, its provenance beside it before it appears.

    Raises:
        InputError: it cannot be written; a table that was there stays.
    """
    content = csv_bytes(rows)
    write_sidecar(path.with_name(f"{path.name}.{NAME}"), {path.name: content}, record)
    with atomic_file(path) as file:
        file.write(content)


def read_sidecar(path: Path) -> dict[str, Any] | None:
    """The provenance of a file from beside it; None if there is none.

    Returns:
        The record, and `changed`: True if the file is not the one that the record was written for.

    Raises:
        InputError: a sidecar is there and damaged.
    """
    for sidecar in (path.with_name(f"{path.name}.{NAME}"), path.with_name(NAME)):
        if sidecar.is_file():
            content = parse(sidecar)
            if path.name in content["files"]:
                changed = content["files"][path.name] != file_hash(path)
                return dict(content["provenance"], changed=changed)
    return None


def parse(path: Path) -> dict[str, Any]:
    """The content of a sidecar.

    Raises:
        InputError: it is none, damaged, or from a newer dixc.
    """
    require_regular(path)
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path}: cannot read: {error.strerror or error}") from None
    except (ValueError, RecursionError):
        raise InputError(f"{path}: not valid JSON") from None
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise InputError(f"{path}: not a provenance file of dixc")
    version = content.get("version")
    if isinstance(version, int) and version > VERSION:
        raise InputError(f"{path}: written by a newer dixc (format {version}, this one knows {VERSION})")
    if not isinstance(content.get("files"), dict) or not isinstance(content.get("provenance"), dict):
        raise InputError(f"{path}: incomplete provenance file")
    return content


def comment(record: Mapping[str, Any]) -> str:
    """A comment for the end of an HTML or SVG file that carries a record."""
    # two hyphens may end a comment; they occur in JSON only within text, which may have them as escapes
    text = json.dumps(record).replace("--", r"\u002d\u002d")
    return f"<!-- dixc-provenance {text} -->\n"


def read_comment(path: Path) -> dict[str, Any] | None:
    """The record that `comment` put at a file's end; None if there is none.

    Raises:
        InputError: the file cannot be read.
    """
    require_regular(path)
    try:
        with open(path, "rb") as file:
            file.seek(max(0, path.stat().st_size - COMMENT_BYTES))
            comment = COMMENT.search(file.read().decode("utf-8", errors="replace"))
        record = json.loads(comment[1]) if comment else None
    except OSError as error:
        raise InputError(f"{path}: cannot read: {error.strerror or error}") from None
    except (ValueError, RecursionError):
        return None
    return record if isinstance(record, dict) else None

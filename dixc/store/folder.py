"""Several files of a folder at once: all are written before the first appears."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from dixc.store.files import writing


@contextmanager
def staged(out: Path) -> Iterator[Path]:
    """A hidden folder in `out` for files under way; it is gone afterwards, whatever happens."""
    with writing(out):
        out.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(prefix=".part-", dir=out) as folder:
            yield Path(folder)


def write_files(content: Iterable[tuple[str, bytes]], out: Path) -> None:
    """Write files, (name, bytes) each, into a folder; all exist under other names before the first is renamed."""
    with staged(out) as folder:
        names = []
        for name, data in content:
            (folder / name).write_bytes(data)
            names.append(name)
        for name in names:
            os.replace(folder / name, out / name)

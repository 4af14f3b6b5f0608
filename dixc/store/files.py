"""Files that appear whole or not at all, and the checksummed HDF5 files made of them."""

from __future__ import annotations

import hashlib
import io
import math
import os
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from dixc.errors import InputError, UserError
from dixc.inputs import AnyPath, irregular, opened
from dixc.provenance import BLOCK_BYTES

if TYPE_CHECKING:
    import h5py

FORMAT_VERSION = 1
HEADER_BYTES = 512
MAGIC = b"dixc-chunk "


@contextmanager
def writing(path: Path) -> Iterator[None]:
    try:
        yield
    except (FileExistsError, NotADirectoryError):
        raise InputError(f"{path}: cannot write: a part of its path is a file, not a folder") from None
    except OSError as error:
        raise InputError(f"{path}: cannot write: {error.strerror or error}") from None


def require_writable(path: AnyPath) -> None:
    """Tries a place before hours of work go into what is to be written there.

    Raises:
        InputError: nothing can be written there.
    """
    path = Path(path)
    with writing(path):
        require_place(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        trial = path.with_name(f".{path.name}.{os.getpid()}.trial")
        trial.touch()
        trial.unlink()


def require_place(path: Path) -> None:
    """Refuses what a file must not be put in the place of: a device, say, would be gone."""
    kind = "a folder" if path.is_dir() else irregular(path)
    if kind is not None:
        raise InputError(f"{path}: cannot write: it is {kind}")


@contextmanager
def atomic_file(path: AnyPath, buffering: int = -1) -> Iterator[BinaryIO]:
    """Binary file for reading and writing that appears at `path`, whole and on disk, when the block succeeds.

    Args:
        path: where it goes.
        buffering: as for `open`; without a buffer (0) a write may be cut short, as `write` then tells.

    Raises:
        InputError: it cannot be written; nothing is left behind, and a file that was there stays.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with writing(path):
        require_place(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with open(temporary, "w+b", buffering=buffering) as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)
        _sync_folder(path.parent)


def write_chunk(
    path: Path, stage: str, attributes: Mapping[str, Any], fill: Callable[[h5py.File], None]
) -> None:
    """Writes a chunk whose groups come from `fill(file)`: HDF5 first, then the header with its checksum."""
    import h5py

    with atomic_file(path, buffering=0) as disk:
        with (
            held_errors(disk) as held,
            h5py.File(held, "w", userblock_size=HEADER_BYTES, track_order=True) as file,
        ):
            file.attrs.update({**attributes, "stage": stage, "format_version": FORMAT_VERSION})
            fill(file)
        disk.seek(HEADER_BYTES)
        header = _header(*_digest(disk))
        disk.seek(0)
        disk.write(header)


@contextmanager
def held_errors(disk: BinaryIO) -> Iterator[BinaryIO]:
    """A file for a library that does not survive a full disk; the first write error comes when it has finished.

    Args:
        disk: open for writing, without a buffer.
    """
    held = _HeldErrors(disk)
    try:
        yield cast(BinaryIO, held)
    except Exception:
        # after a failed write the library may stumble over what is missing: the write error is the cause
        if held.error is None:
            raise
    if held.error is not None:
        raise held.error


@contextmanager
def decoding(path: AnyPath) -> Iterator[None]:
    """Turns whatever comes of reading a file with wrong content into one line; for code that only reads.

    Raises:
        InputError: something is missing in the file, or is not of the kind that dixc writes.
    """
    try:
        yield
    except UserError:
        raise
    except Exception as error:  # a wrong file can make any layer stumble: HDF5, NumPy, JSON
        problem = " ".join(str(error).split())[:100] or type(error).__name__
        raise InputError(f"{path}: not as dixc writes it ({problem}); run its stage again") from error


@contextmanager
def open_chunk(path: AnyPath, stage: str | None = None, verify: bool = True) -> Iterator[h5py.File]:
    """A verified chunk, open for reading.

    Args:
        path: the file.
        stage: the stage that must have written it; None for any.
        verify: False if this process has verified this very file before.

    Raises:
        InputError: missing, no chunk, damaged, of a newer format, of another stage, or with links (`require_plain`).
    """
    import h5py

    if verify:
        _verify(Path(path))
    # files never change once they have their name, and locks fail on some network file systems
    with decoding(path):
        file = h5py.File(path, "r", locking=False)
    with file:
        with decoding(path):
            if verify:
                require_plain(file, path)
            written_by = str(file.attrs.get("stage", "unknown"))
        if stage not in (None, written_by):
            raise InputError(f"{path}: a file of the stage {written_by!r}, where one of {stage!r} is needed")
        yield file


def require_plain(file: h5py.File, path: AnyPath) -> None:
    """Refuses HDF5 that leads elsewhere or claims more than it holds; nothing in it is followed or read.

    dixc writes hard links and whole, uncompressed datasets. Soft and external links, virtual datasets and external
    storage take their content from other places, perhaps other files; a dataset larger than what is stored for it
    would fill the memory.

    Raises:
        InputError: such a link or dataset, with its name.
    """
    import h5py

    names: list[str] = []

    def seen(name: bytes, info: Any) -> str | None:
        if info.type != h5py.h5l.TYPE_HARD:
            return f"{name.decode(errors='replace')} is a link to another place"
        names.append(name.decode())
        return None

    problem = file.id.links.visit(seen, info=True) or next(
        filter(None, map(partial(_oddity, file), names)), None
    )
    if problem is not None:
        raise InputError(f"{path}: not as dixc writes it ({problem})")


def _oddity(file: h5py.File, name: str) -> str | None:
    """What is wrong with an object of a file as `require_plain` sees it; None if nothing is."""
    import h5py

    entry = h5py.h5o.open(file.id, name.encode())
    if not isinstance(entry, h5py.h5d.DatasetID):
        return None
    properties = entry.get_create_plist()
    if properties.get_layout() == h5py.h5d.VIRTUAL or properties.get_external_count():
        return f"{name} takes its values from another file"
    claimed = math.prod(entry.shape or (0,)) * entry.dtype.itemsize
    return f"{name} claims to be larger than what is stored" if claimed > entry.get_storage_size() else None


class _HeldErrors(io.RawIOBase):
    """File that keeps the first write error and lets its user go on as if nothing had happened.

    HDF5 does not survive a full disk: it cannot close the file any more and crashes when the process ends.
    """

    def __init__(self, file: BinaryIO):
        self.file = file
        self.error: OSError | None = None

    def seek(self, offset: int, whence: int = 0) -> int:
        return self.file.seek(offset, whence)

    def tell(self) -> int:
        return self.file.tell()

    def readinto(self, buffer: Any) -> int:
        return cast(io.RawIOBase, self.file).readinto(buffer) or 0

    def write(self, data: Any) -> int:
        view = memoryview(data).cast("B")
        size = len(view)
        self._try(self._write_all, view)
        return size

    def truncate(self, size: int | None = None) -> int:
        self._try(self.file.truncate, size)
        return self.tell() if size is None else size

    def flush(self) -> None:
        """Nothing to do: the file below has no buffer."""

    def _write_all(self, view: memoryview) -> None:
        while view:
            view = view[self.file.write(view) :]

    def _try(self, action: Callable[..., object], *args: Any) -> None:
        if self.error is None:
            try:
                action(*args)
            except OSError as error:
                self.error = error


def _verify(path: Path) -> None:
    """Refuses a file whose header or content is not as it was written."""
    try:
        with opened(path) as file:
            header = file.read(HEADER_BYTES)
            if not header.startswith(MAGIC):
                raise InputError(f"{path}: not a chunk file of dixc")
            version = re.match(rb"format=(\d+) ", header[len(MAGIC) :])
            if version and int(version[1]) > FORMAT_VERSION:
                versions = f"format {int(version[1])}, this one knows {FORMAT_VERSION}"
                raise InputError(f"{path}: written by a newer dixc ({versions})")
            sound = header == _header(*_digest(file))
    except OSError as error:
        raise InputError(f"{path}: cannot read: {error.strerror or error}") from None
    if not sound:
        raise InputError(f"{path}: damaged (its checksum is wrong); delete it and run its stage again")


def _header(digest: str, size: int) -> bytes:
    line = MAGIC + f"format={FORMAT_VERSION} sha256={digest} bytes={size}\n".encode()
    return line.ljust(HEADER_BYTES, b"\0")


def _digest(file: BinaryIO) -> tuple[str, int]:
    """SHA-256 and number of bytes of the rest of an open file."""
    digest, size = hashlib.sha256(), 0
    while block := file.read(BLOCK_BYTES):
        digest.update(block)
        size += len(block)
    return digest.hexdigest(), size


def _sync_folder(folder: Path) -> None:
    """Makes a rename last through a power cut, where the system can do that."""
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

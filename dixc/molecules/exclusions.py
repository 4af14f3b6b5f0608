"""Lists of molecules to leave out, such as uncharacterized.txt of the QM9 release."""

from __future__ import annotations

import tarfile
from pathlib import Path
from typing import TYPE_CHECKING

from dixc.errors import InputError
from dixc.inputs import require_regular
from dixc.molecules.frames import qm9_name

if TYPE_CHECKING:
    from dixc.config.sections import MoleculeFile

UNCHARACTERIZED = "uncharacterized.txt"


def is_archive(path: Path) -> bool:
    """Whether a file is a tar archive, compressed or not."""
    return bool({".tar", ".tgz"} & set(path.suffixes[-2:])) and path.is_file() and tarfile.is_tarfile(path)


def list_file(file: MoleculeFile) -> Path | None:
    """The list of molecules to leave out; None if there is none.

    It is `exclude`, else uncharacterized.txt in the folder or beside the archive.
    """
    if file.exclude is not None:
        return Path(file.exclude)
    path = Path(file.path)
    beside = (path if path.is_dir() else path.parent) / UNCHARACTERIZED
    return beside if beside.is_file() and (path.is_dir() or is_archive(path)) else None


def excluded_names(file: MoleculeFile) -> set[str]:
    """Names of the molecules to leave out.

    A line of the list starts with a name, or with an index of QM9; what else a line has is not
    read. In QM9's own list, uncharacterized.txt, only lines that start with an index count: it has
    a head and a foot.

    Raises:
        InputError: no such list, no text, or nothing in it.
    """
    path = list_file(file)
    if path is None:
        return set()
    require_regular(path)
    try:
        words = [
            line.split()[0] for line in path.read_text(encoding="utf-8-sig").splitlines() if line.split()
        ]
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"{path}: cannot read: {getattr(error, 'strerror', None) or 'not a text file'}"
        ) from None
    if path.name == UNCHARACTERIZED:
        words = [word for word in words if word.isdecimal()]
    if not words:
        raise InputError(f"{path}: no molecules to leave out in it")
    return {qm9_name(word) if word.isdecimal() else word for word in words}

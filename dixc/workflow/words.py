"""Words of shell commands for files, and regular expressions for wildcards."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

NUMBERED = re.compile(r"(.*-)(\d+)(\.\w+)")


def options(option: str, files: str | Sequence[str]) -> list[str]:
    """A command-line option once for each file, in bash's short form."""
    # --option=a-{0..9}.h5 and not --option a-{0..9}.h5: bash repeats a word, and the option must be in it
    return [f"{option}={file}" for file in ranges([files] if isinstance(files, str) else files)]


def one_of(values: Iterable[str]) -> str:
    """A regular expression for any of the values, and for nothing else."""
    return "|".join(map(re.escape, values)) or "(?!)"


def ranges(files: Sequence[str]) -> list[str]:
    """Paths in the shortest form that bash expands to them, such as `train-{000..781}.h5`.

    Numbered files stay in their order.

    A large run has thousands of files; written out they are more than the system takes for one
    argument (128 kB), which a rule's whole command is.

    Args:
        files: paths; those that end in -<number>.<suffix> are joined with their successors of equal
            width.
    """
    joined: list[str] = []
    last: re.Match[str] | None = None
    first = ""
    for file in files:
        name = NUMBERED.fullmatch(file)
        if name and last and name[1] == last[1] and name[3] == last[3] and _follows(last[2], name[2]):
            joined[-1] = f"{name[1]}{{{first}..{name[2]}}}{name[3]}"
        else:
            joined.append(file)
            first = name[2] if name else ""
        last = name
    return joined


def _follows(before: str, after: str) -> bool:
    """True for 007 and 008, and not for 999 and 1000: bash would write both with four digits."""
    return len(before) == len(after) and int(after) == int(before) + 1

"""What is shown on a terminal: text from files of others must not steer it, nor look like a line of dixc's own."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TextIO

# control characters but for line feed and tab, marks that reverse or break lines, and halves of characters (which
# stand for bytes of a file's name that are no text). \uXXXX is how JSON writes them, so that JSON stays what it is.
UNSAFE = re.compile(
    "[\0-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufeff]"
)


def harmless(text: str) -> str:
    """The text with its control characters as \\uXXXX; line feeds and tabs stay."""
    return UNSAFE.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def one_line(text: object) -> str:
    """The text in one line, white space as single spaces."""
    return " ".join(str(text).split())


class Harmless:
    """A text stream on top of another that lets no control character through, nor stumbles over its encoding.

    Attributes:
        terminal: the stream below, for those who steer the terminal on purpose.
    """

    def __init__(self, terminal: TextIO):
        self.terminal = terminal

    def write(self, text: str) -> int:
        """Writes the text as `harmless` makes it; characters that the encoding lacks become escapes."""
        encoding = getattr(self.terminal, "encoding", None) or "utf-8"
        shown = harmless(text).encode(encoding, "backslashreplace").decode(encoding)
        self.terminal.write(shown)
        return len(text)

    def writelines(self, lines: Any) -> None:
        """Writes each of the lines."""
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.terminal, name)


@contextmanager
def harmless_streams() -> Iterator[None]:
    """Standard output and standard error as `Harmless` streams."""
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = (
        stream if isinstance(stream, Harmless) else Harmless(stream) for stream in before
    )
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before

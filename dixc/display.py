"""What is shown on a terminal: lines of the log, and text that must not steer the terminal."""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TextIO

# control characters but for line feed and tab, marks that reverse or break lines, and halves of
# characters (which stand for bytes of a file's name that are no text). \uXXXX is how JSON writes
# them, so that JSON stays what it is.
UNSAFE = re.compile(
    "[\0-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufeff]"
)


def harmless(text: str) -> str:
    """The text with its control characters as \\uXXXX; line feeds and tabs stay."""
    return UNSAFE.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def one_line(text: object) -> str:
    """The text in one line, white space as single spaces."""
    return " ".join(str(text).split())


class Harmless:
    """A text stream on top of another that lets no control character through.

    Characters that the encoding lacks are no error either.

    Attributes:
        terminal: the stream below, for those who steer the terminal on purpose.
    """

    def __init__(self, terminal: TextIO):
        self.terminal = terminal

    def write(self, text: str) -> int:
        """Writes harmless text; characters that the encoding lacks become escapes."""
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


class LineHandler(logging.Handler):
    """Writes each message as a line, above the progress bars that are there.

    Args:
        stream: where to; None for what is standard output at that time.
    """

    def __init__(self, stream: TextIO | None = None):
        super().__init__()
        self.stream = stream

    def emit(self, record: logging.LogRecord) -> None:
        """Writes the message. A stream that fails, such as on a full disk, is not passed over."""
        from tqdm import tqdm

        tqdm.write(record.getMessage(), file=self.stream or sys.stdout)


@contextmanager
def logged_lines(stream: TextIO | None = None) -> Iterator[None]:
    """Shows what dixc logs, which is silent otherwise, as lines.

    Args:
        stream: where to; None for what is standard output at that time.
    """
    logger, handler = logging.getLogger("dixc"), LineHandler(stream)
    before = logger.level, logger.propagate
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    logger.propagate = False  # handlers that a library puts on the root would say it twice
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(before[0])
        logger.propagate = before[1]

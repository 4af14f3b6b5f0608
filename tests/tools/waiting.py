"""Waiting for what another process does."""

from __future__ import annotations

import time
from pathlib import Path


def wait_for(path: Path, seconds: float = 60) -> None:
    """Waits until a file is there."""
    end = time.monotonic() + seconds
    while not path.exists() and time.monotonic() < end:
        time.sleep(0.05)
    assert path.exists()

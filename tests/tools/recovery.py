"""How long a recovery took: measured by the tests of faults, for the table in docs/cluster.md.

With DIXC_RECOVERY=recovery.csv in the environment each writes a line: fault, seconds from the restart (or, where dixc
restarts by itself, from the fault) to the end of the lost work.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def recovery(fault: str) -> Iterator[None]:
    """Times the block, which is what follows a fault."""
    begin = time.monotonic()
    yield
    if path := os.environ.get("DIXC_RECOVERY"):
        with open(path, "a") as file:
            file.write(f"{fault},{time.monotonic() - begin:.1f}\n")

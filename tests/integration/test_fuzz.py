"""A short round of `tests/tools/fuzz.py`: broken files are refused in one line; no traceback, crash or hang."""

from __future__ import annotations

import random

import pytest
from fuzz import KINDS, fuzz, mutant

COUNTS = {"chunk": 150, "sealed chunk": 60, "forged chunk": 60, "xyz": 150, "yaml": 60, "model": 60,
          "repacked model": 40, "sidecar": 60}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_broken_files_are_read_or_refused(kind):
    counts, findings = fuzz(kind, seed=0, count=COUNTS[kind])
    assert not findings
    assert sum(counts.values()) == COUNTS[kind]
    assert counts["refused"] > 0.3 * COUNTS[kind], "mutants that break nothing test nothing"


def test_mutants_are_the_same_every_time(tmp_path):
    good = random.Random(0).randbytes(500)
    first = [mutant("xyz", 0, number, good, tmp_path / "a") for number in range(20)]
    assert first == [mutant("xyz", 0, number, good, tmp_path / "a") for number in range(20)]
    assert len(set(first)) > 15
    assert first != [mutant("xyz", 1, number, good, tmp_path / "a") for number in range(20)]


def test_hangs_crashes_and_tracebacks_are_found(monkeypatch, tmp_path):
    """The fuzzer itself: a worker that stands still, one that dies, and one that raises are told apart."""
    import fuzz as tool

    script = tmp_path / "worker.py"
    script.write_text(
        "import os, sys, time\n"
        "for number in range(int(sys.argv[3]), 4):\n"
        "    print('try', number, flush=True)\n"
        "    if number == 0: time.sleep(60)\n"
        "    if number == 1: os.abort()\n"
        "    print('done', number, ['', '', 'ZeroDivisionError: x', 'read'][number], flush=True)\n"
    )
    monkeypatch.setattr(tool, "__file__", str(script))
    monkeypatch.setattr(tool, "HANG_S", 1)
    counts, findings = tool.fuzz("xyz", 0, 4)
    assert counts == {"findings": 3, "read": 1}
    assert [finding.split(": ", 1)[1].split(",")[0] for finding in findings] == [
        "hang",
        "crash",
        "ZeroDivisionError: x",
    ]

"""What jobs ask of a cluster: enough for what was measured, more for more."""

from __future__ import annotations

import pytest

from dixc.workflow.resources import MEMORY, estimate, sizes

# the default run on one core: stage, heavy atoms of a file's molecules, seconds, peak MB
MEASURED = [
    ("reference", [1, 2] + [3] * 5 + [4] * 13, 46, 511),
    ("reference", [5, 5, 5, 5, 6, 6, 7, 7], 46, 608),
    ("derivatives", [1, 2] + [3] * 5 + [4] * 13, 114, 881),
    ("derivatives", [5, 5, 5, 5, 6, 6, 7, 7], 163, 1282),
    ("evaluate", [1, 2] + [3] * 5 + [4] * 13, 74, 1532),
    ("evaluate", [5, 5, 5, 5, 6, 6, 7, 7], 64, 1886),
    ("warmstart", [5, 5, 5, 5, 6, 6, 7, 7], 48, 1023),
    ("tddft", [5, 5, 5, 5, 6, 6, 7, 7], 122, 1582),
]


@pytest.mark.parametrize(("stage", "heavy", "seconds", "megabytes"), MEASURED)
def test_requests_cover_what_was_measured(stage, heavy, seconds, megabytes):
    memory, minutes = estimate(stage, heavy)
    assert 1.0 < memory / megabytes < 2.6, "enough, and not so much that a scheduler would let the job wait"
    assert 3 * seconds < 60 * minutes <= max(600, 6 * seconds)


@pytest.mark.parametrize("stage", MEMORY)
def test_requests_grow(stage):
    memory, minutes = estimate(stage, [5] * 32)
    assert estimate(stage, [5] * 64) >= (memory, minutes + 1)
    assert estimate(stage, [9] * 32) > (memory + 100, minutes)
    larger = estimate(stage, [5] * 32, "def2-TZVP")
    assert larger[0] > memory
    assert larger[1] > 3 * minutes
    assert estimate(stage, []) == estimate(stage, [1])


def test_sizes_come_from_the_table_of_molecules(tmp_path):
    table = tmp_path / "molecules.csv"
    assert sizes(str(table), "train-000") is None
    table.write_text("name,n_heavy,chunk\na,3,train-000\nb,7,train-000\nc,1,test-000\n")
    assert sizes(str(table), "train-000") == [3, 7]
    assert sizes(str(table), "train-001") is None

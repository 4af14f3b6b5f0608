"""130,000 molecules: the workflow's graph and its plan, from a collection in the format of a real one."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
from collection import write_collection
from miniature import prepare

from dixc.commands.plan import chunk_sizes, plan
from dixc.config import load
from dixc.workflow.resources import cost, fixed_cost

pytestmark = pytest.mark.scale
MOLECULES = {
    "files": ["qm9.csv"],
    "train": {"count": 100_000, "max_heavy": 9},
    "validation": {"count": 5_000, "max_heavy": 9},
    "test": {"count": 25_000, "min_heavy": 1, "max_heavy": 9},
    "chunk_size": 128,  # an hour or so of the dearest stage
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("scale")
    prepare(folder, {"run": "all", "molecules": MOLECULES}, "all.yaml")
    write_collection(folder / "qm9.csv", 130_000)
    return folder


def dry_run(folder: Path) -> tuple[dict[str, int], float, float]:
    """Jobs by rule, CPU seconds until Snakemake has its graph, and its peak memory in GiB.

    The graph is there when the table of jobs is printed; what a dry run does then, reporting each job, is cut short.
    """
    command = [sys.executable, "-m", "snakemake", "--configfile", "all.yaml", "--dry-run", "--quiet", "rules"]
    text = []
    process = subprocess.Popen(
        [*command, "--cores", "2"], cwd=folder, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    for line in process.stdout:
        text.append(line)
        if re.match(r"total +\d", line):
            break
    process.kill()
    usage = os.wait4(process.pid, 0)[2]
    process.stdout.close()
    counts = {rule: int(count) for rule, count in re.findall(r"^(\w+) +(\d+)$", "".join(text), re.MULTILINE)}
    assert "total" in counts, "".join(text)[-3000:]
    return counts, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 2**20


def test_graph_within_a_minute_and_2_gib(folder, monkeypatch):
    counts, seconds, gib = dry_run(folder)
    print(f"{counts['total']} jobs: {seconds:.0f} s, {gib:.2f} GiB")
    assert seconds < 60
    assert gib < 2
    assert counts["reference"] == 782 + 40 + 196
    assert counts["evaluate"] == 5 * counts["reference"]
    assert counts["train"] == 3
    assert counts["total"] == 9250
    monkeypatch.chdir(folder)
    config, begin = load("all.yaml"), time.process_time()
    sizes, _ = chunk_sizes(config, Path("results"))
    found = plan(config, sizes)
    assert time.process_time() - begin < 40
    assert {row.rule: row.jobs for row in found} == {
        k: n for k, n in counts.items() if k not in ("all", "total")
    }
    assert sum(map(len, sizes.values())) == 130_000
    hours = {row.rule: row.core_hours for row in found}
    atoms = Counter(n for chunk in sizes.values() for n in chunk)
    for stage, functionals in (("reference", 1), ("evaluate", 5)):
        seconds = counts[stage] * fixed_cost("start").seconds
        seconds += functionals * sum(count * cost(stage, n).seconds for n, count in atoms.items())
        assert hours[stage] == pytest.approx(seconds / 3600)


def test_commands_on_all_files_fit_the_system(folder):
    """A rule's command is one argument of bash, which may have 128 kB; what it expands to, some 2 MB together."""
    from dixc.workflow.words import ranges

    config = load(folder / "all.yaml")
    files = [
        f"results/all/scf/{name}/{chunk}.h5"
        for name in config.functionals()
        for split in ("train", "validation", "test")
        for chunk in config.chunks(split)
    ]
    assert sum(len(f"--scf={file} ") for file in ranges(files)) < 2_000
    assert sum(len(f"--scf={file} ") for file in files) > 131_072, "and so it must be shortened"
    assert sum(len(f"--scf={file} ") for file in files) < os.sysconf("SC_ARG_MAX") / 2

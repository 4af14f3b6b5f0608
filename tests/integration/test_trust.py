"""What a config may name, and what results say about where they come from."""

from __future__ import annotations

import re

import pytest

from dixc import provenance
from dixc.config import validate
from dixc.errors import UserError
from dixc.workflow.run import start

MOLECULES = {
    "files": ["a.xyz"],
    "train": {"count": 1, "max_heavy": 1},
    "validation": {"count": 1, "max_heavy": 1},
    "test": {"names": ["x"]},
}
OUTSIDE = [
    "..",
    ".",
    "a/b",
    "/tmp/a",
    "../a",
    "a/../../b",
    "~",
    "a\n",
    "\na",
    "-a",
    ".hidden",
    "a b",
    "$HOME",
    "{a}",
    "",
]


@pytest.mark.parametrize("name", OUTSIDE)
def test_no_name_of_a_config_leads_out_of_the_folder_of_the_run(name):
    """Paths of results are made of the run, the models with their labels, and the baselines."""
    for change in (
        {"run": name},
        {"models": [{"name": name}]},
        {"models": [{"name": "xcdiff", "label": name}]},
        {"evaluation": {"baselines": [name]}},
    ):
        with pytest.raises(UserError):
            validate({"molecules": MOLECULES} | change)


def test_all_paths_stay_in_the_folder_of_the_run():
    config = validate({"molecules": MOLECULES, "models": [{"name": "away.pack_age:Class", "label": "a-b"}]})
    names = [*config.functionals(), *(c for s in ("train", "validation", "test") for c in config.chunks(s))]
    assert all(re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_:.-]*", name) for name in [config.run, *names])


def test_the_environment_of_a_run_is_kept(tmp_path):
    start({"run": "r", "molecules": MOLECULES}, tmp_path)
    start({"run": "r", "molecules": MOLECULES}, tmp_path)
    (lock,) = (tmp_path / "r" / "environments").iterdir()
    assert lock.stem == provenance.collect()["environment"], "the hash that results carry"
    lines = lock.read_text().splitlines()
    assert provenance.collect()["commit"] in lines[0]
    pinned = dict(line.split("==") for line in lines[1:] if not line.startswith("#"))
    assert pinned.items() <= provenance.installed().items()
    assert {"torch", "pyscf", "numpy", "h5py", "snakemake"} <= pinned.keys()

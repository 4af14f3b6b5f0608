"""Files of molecules, configs that choose from them, and what `dixc molecules` makes of both."""

from __future__ import annotations

import csv

import pytest

from dixc.config import validate
from dixc.display import logged_lines
from dixc.errors import UserError
from dixc.stages import molecules as molecules_stage

WATER = "O 0 0 0.119\nH 0 0.763 -0.477\nH 0 -0.763 -0.477\n"


def frame(name, atoms=WATER, extra=""):
    count = len(atoms.strip().splitlines())
    return f"{count}\nname={name} {extra}\n{atoms}"


def chain(name, n_heavy, stretch=0.0, end="H", extra=""):
    """A row of carbon atoms with two hydrogen atoms each, distances shifted by `stretch` angstrom."""
    atoms = "".join(
        f"C {1.5 * i + stretch * i * i} 0 0\nH {1.5 * i} 1 0.5\nH {1.5 * i} -1 0.5\n" for i in range(n_heavy)
    )
    return frame(name, atoms + ("" if end == "H" else f"{end} -1.5 0 0\n"), extra)


def config(files, train=(3, 1, 4), validation=(2, 1, 4), test=None, **molecules):
    sized = {k: dict(zip(("count", "min_heavy", "max_heavy"), v, strict=True))
             for k, v in {"train": train, "validation": validation}.items()}  # fmt: skip
    test = test or {"count": 2, "min_heavy": 5, "max_heavy": 5}
    return validate({"molecules": {"files": [str(f) for f in files], "test": test, **sized, **molecules}})


def table(out):
    with open(out / "molecules.csv", newline="") as file:
        return list(csv.DictReader(file))


def prepare(settings, out):
    """The stage, and what it says on standard output."""
    with logged_lines():
        molecules_stage.run(settings.molecules, out)


def refusal(settings, out):
    with pytest.raises(UserError) as caught:
        prepare(settings, out)
    assert "\n" not in str(caught.value)
    assert not out.exists(), "nothing half-written"
    return str(caught.value)

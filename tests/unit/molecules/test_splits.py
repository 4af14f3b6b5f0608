"""Molecules in two splits, and test molecules of elements that training does not have: refused, or said."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import yaml
from scf_chunks import ATOMS, write_chunk
from small_molecules import GEOMETRIES
from small_references import REFERENCE
from typer.testing import CliRunner

import dixc
from dixc.cli import app
from dixc.config import FunctionalId, validate
from dixc.errors import DixcWarning, UserError
from dixc.functionals import files
from dixc.molecules import Molecule, write_xyz
from dixc.stages import derivatives, evaluate, reference, train
from dixc.stages import tables as tables_stage
from dixc.stages.molecules import run as prepare
from dixc.stages.training_files import TrainingInputs, TrainingOutputs

ROTATION = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))[0]


def config():
    """Settings of trainings on files that are made here."""
    some = {"count": 1, "max_heavy": 1}
    return validate(
        {
            "molecules": {"files": ["x"], "train": some, "validation": some, "test": {"names": ["x"]}},
            "reference": REFERENCE | {"basis": "sto-3g"},
            "training": {"steps": 1, "validate_every": 1, "grid_level": 0},
        }
    )


def geometry(name: str, known: str, split: str, moved: bool = False) -> Molecule:
    """A molecule of `GEOMETRIES` under a name, turned, shifted and with its atoms in another order if wanted."""
    atoms = [line.split() for line in GEOMETRIES[known].split(";")]
    if moved:
        atoms = atoms[::-1]
    coords = np.array([row[1:] for row in atoms], dtype=float)
    return Molecule(name, [row[0] for row in atoms], coords @ ROTATION + 1.0 if moved else coords, 0, split)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Makes reference and derivative files of molecules, each set once."""
    folder = tmp_path_factory.mktemp("made")
    files.save(dixc.create("xcdiff", n_hidden=4, n_layers=1), folder / "start.pt", {})

    def make(key: str, *molecules: Molecule) -> tuple[Path, Path]:
        first, second = folder / f"{key}.h5", folder / f"{key}-second.h5"
        if not first.exists():
            write_xyz(folder / f"{key}.xyz", list(molecules))
            reference.run(folder / f"{key}.xyz", config().reference, first)
            derivatives.run(first, config().derivatives, second)
        return first, second

    make.start = folder / "start.pt"
    return make


@pytest.fixture(scope="module")
def trained_on(made):
    """Reference and derivatives of water and ammonia."""
    return made("train", geometry("water", "water", "train"), geometry("ammonia", "ammonia", "train"))


def run(made, training, validation, out: Path, loss: str) -> None:
    firsts, seconds = zip(*training, strict=True)
    inputs = TrainingInputs(made.start, firsts, seconds, [validation[0]])
    outputs = TrainingOutputs(out / "m.pt", out / "m.csv", out / "checkpoints")
    train.run(FunctionalId("xcdiff", loss, 0), config().training, inputs, outputs)


@pytest.mark.parametrize("loss", ["base", "hess"])
@pytest.mark.parametrize(
    ("key", "molecules", "message"),
    [
        ("train", [], "2 molecules in training and in validation: water, ammonia"),
        (
            "named",
            [geometry("methane", "methane", "validation"), geometry("water", "water", "validation")],
            "1 molecule in training and in validation: water",
        ),
        (
            "moved",
            [geometry("nh3", "ammonia", "validation", moved=True)],
            "1 molecule in training and in validation: ammonia (nh3 in validation)",
        ),
        (
            "test",
            [geometry("methane", "methane", "test")],
            "1 molecule of the split test given for validation: methane",
        ),
    ],
)
def test_a_training_refuses_molecules_of_two_splits(
    made, trained_on, tmp_path, key, molecules, message, loss, monkeypatch
):
    validation = trained_on if key == "train" else made(key, *molecules)
    monkeypatch.setattr("dixc.training.model_scf.solve", None)  # nothing is computed
    with pytest.raises(UserError, match=f"^{re.escape(message)}$"):
        run(made, [trained_on], validation, tmp_path, loss)
    assert not list(tmp_path.rglob("*.*"))


def test_a_training_refuses_test_molecules_and_a_file_given_twice(made, trained_on, tmp_path):
    of_test = made("test", geometry("methane", "methane", "test"))
    validation = made("other", geometry("methane", "methane", "validation"))
    with pytest.raises(UserError, match=r"test\.h5: molecule methane has no Hessian"):
        run(made, [trained_on, of_test], validation, tmp_path, "base")
    with pytest.raises(UserError, match=r"train\.h5: molecule water is in .*train\.h5 already"):
        run(made, [trained_on, trained_on], validation, tmp_path, "base")


@pytest.mark.slow
def test_molecules_of_one_formula_are_not_the_same(made, tmp_path):
    """Stretched water is another geometry, and a training on both runs."""
    training = made("short", geometry("water", "water", "train"))
    long = geometry("longer", "water", "validation")
    stretched = Molecule(long.name, long.symbols, 1.01 * long.coords_angstrom, 0, "validation")
    run(made, [training], made("long", stretched), tmp_path, "base")
    assert dixc.load(tmp_path / "m.pt").metadata["validation_molecules"] == ["longer"]


def test_tables_refuse_molecules_of_two_splits(tmp_path, monkeypatch):
    tags = {"model": "xcdiff", "loss": "hess", "seed": 0}
    first = write_chunk(tmp_path / "a.h5", tags, ["water", "methane", "ethanol"])
    monkeypatch.setitem(ATOMS, "water", (ATOMS["water"][0], "test"))
    second = write_chunk(tmp_path / "b.h5", tags | {"loss": "base"}, ["water", "methane"])
    with pytest.raises(
        UserError, match=r"^table scf: molecules in more than one split: water \(train, test\)$"
    ):
        tables_stage.run([first, second], [], [], tmp_path / "tables")
    assert not (tmp_path / "tables").exists()


@pytest.mark.slow
def test_a_test_on_known_molecules_is_warned_of(made, trained_on, tmp_path):
    known = tmp_path / "known.pt"
    files.save(dixc.create("xcdiff"), known, {"train_molecules": ["methane"], "validation_molecules": []})
    of_test = made("test", geometry("methane", "methane", "test"))[0]
    with pytest.warns(
        DixcWarning, match=r"1 of the test molecules .*: methane; its errors on these are no test"
    ):
        evaluate.run(str(known), config().evaluation.scf, of_test, tmp_path / "scf.h5")


# --- elements

FLUORIDE = "2\nname=fluoride\nF 0 0 0\nH 0 0 0.92\n"
OTHERS = "".join(
    f"{len(GEOMETRIES[name].split(';'))}\nname={name}\n" + GEOMETRIES[name].replace("; ", "\n") + "\n"
    for name in ("water", "methane", "ammonia")
)


@pytest.fixture
def with_fluoride(tmp_path):
    """A config of four molecules, one of which has an element of its own and is for the test."""
    (tmp_path / "four.xyz").write_text(OTHERS + FLUORIDE)
    some = {"count": 1, "max_heavy": 1}
    settings = {
        "molecules": {
            "files": [str(tmp_path / "four.xyz")],
            "train": some | {"count": 2},
            "validation": some,
            "test": {"names": ["fluoride"]},
        }
    }
    (tmp_path / "four.yaml").write_text(yaml.safe_dump(settings))
    return tmp_path


@pytest.mark.parametrize("command", [["molecules", "--out", "OUT"], ["plan"]])
def test_an_element_that_training_does_not_have_is_said_at_the_start(with_fluoride, command):
    words = [word.replace("OUT", str(with_fluoride / "out")) for word in command]
    done = CliRunner().invoke(app, [*words, "--config", str(with_fluoride / "four.yaml")])
    assert done.exit_code == 0, done.stderr
    lines = [line for line in done.stderr.splitlines() if line.startswith("dixc: warning: molecules.test: ")]
    assert len(lines) == 1
    assert "1 of 1 molecules have an element that no training molecule has: fluoride (F)" in lines[0]


def test_nothing_is_said_of_elements_that_training_has(with_fluoride, recwarn):
    settings = yaml.safe_load((with_fluoride / "four.yaml").read_text())
    settings["molecules"] |= {"elements": ["H", "O"], "test": {"names": ["two"]}}
    for key in ("train", "validation"):
        settings["molecules"][key] = {"count": 1, "max_heavy": 1}
    water = OTHERS.split("5\nname=methane")[0]
    scaled = [water.replace("name=water", f"name={name}").replace("0.1178", z) for name, z in
              (("one", "0.1178"), ("two", "0.1278"), ("three", "0.1378"))]  # fmt: skip
    (with_fluoride / "four.xyz").write_text("".join(scaled))
    prepare(validate(settings).molecules, with_fluoride / "out")
    assert not [warning for warning in recwarn if issubclass(warning.category, DixcWarning)]

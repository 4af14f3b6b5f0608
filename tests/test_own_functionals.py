"""Functionals from outside of the package: by import path and by entry point, in files and in a config."""

from __future__ import annotations

import importlib
import sys
import textwrap

import pytest
import torch
from conftest import molecule
from short_training import train

import dixc
import dixc.pyscf
from dixc.config import Config
from dixc.errors import UserError
from dixc.functionals import files, registry
from dixc.functionals.base import GridPoints

CODE = '''
import pathlib
import torch
from dixc.functionals.base import PointwiseFunctional
from dixc.functionals.lda import slater
from dixc.functionals.reduced import SpinPoints

pathlib.Path(__file__).with_suffix(".imported").touch()


class Scaled(PointwiseFunctional):
    """Local exchange times a learned number."""

    source = "this test"

    def __init__(self, start: float = 1.0):
        super().__init__()
        if start <= 0:
            raise ValueError(f"start must be positive, not {start}")
        self.factor = torch.nn.Parameter(torch.tensor(start, dtype=torch.float64))

    def energy_density(self, density):
        points = SpinPoints(density)
        return self.factor * points.spin_mean([slater(c) for c in points.channels])


class NoFunctional:
    pass
'''
PATH = "away_from_dixc.functionals:Scaled"


@pytest.fixture
def module(tmp_path, monkeypatch):
    """Folder of a package `away_from_dixc` that can be imported but is not."""
    package = tmp_path / "away_from_dixc"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "functionals.py").write_text(textwrap.dedent(CODE))
    (package / "broken.py").write_text("raise RuntimeError('two\\nlines')")
    monkeypatch.syspath_prepend(tmp_path)
    importlib.invalidate_caches()
    yield package
    forget()


def forget():
    for name in [name for name in sys.modules if name.startswith("away_from_dixc")]:
        del sys.modules[name]


@pytest.fixture
def entry_point(module):
    """The same package, installed with an entry point (what a package's metadata look like on disk)."""
    info = module.parent / "away_from_dixc-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: away_from_dixc\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        f"[dixc.functionals]\nscaled-exchange = {PATH}\npbe = away_from_dixc.functionals:NoFunctional\n"
    )
    importlib.invalidate_caches()


def energy(functional) -> float:
    x = torch.tensor([[0.3], [0.1], [0.2]], dtype=torch.float64)
    return functional(x, GridPoints(torch.ones(1, dtype=torch.float64))).item()


def test_import_path(module, tmp_path):
    functional = dixc.create(PATH, start=1.5)
    assert functional.hyperparameters == {"start": 1.5}
    assert energy(functional) == pytest.approx(1.5 * energy(dixc.create(PATH)))
    assert registry.resolve(PATH).source == "this test"
    assert PATH not in dixc.available()
    with torch.no_grad():
        functional.factor += 1
    files.save(functional, tmp_path / "model.pt", {"model": PATH})
    for loaded in (
        dixc.load(tmp_path / "model.pt", classes=[PATH]),
        registry.resolve(tmp_path / "model.pt", [PATH]),
    ):
        assert energy(loaded) == energy(functional)
        assert loaded.metadata == {"model": PATH}


def test_a_model_file_does_not_choose_what_is_imported(module, tmp_path):
    files.save(dixc.create(PATH), tmp_path / "model.pt", {})
    forget()
    flag = module / "functionals.imported"
    flag.unlink()
    for classes in ([], ["away_from_dixc.functionals:NoFunctional"]):
        with pytest.raises(
            UserError, match=r"away_from_dixc.functionals:Scaled, which is not registered"
        ) as caught:
            dixc.load(tmp_path / "model.pt", classes=classes)
        assert "\n" not in str(caught.value)
    assert not flag.exists()
    assert PATH.split(":")[0] not in sys.modules
    dixc.load(tmp_path / "model.pt", classes=[PATH])
    assert flag.exists()


def test_entry_point(entry_point, module, tmp_path):
    assert "scaled-exchange" in dixc.available()
    assert not (module / "functionals.imported").exists(), "listing names imports nothing"
    assert dixc.create("pbe").xctype == "GGA", "names of dixc are not replaced"
    functional = dixc.create("scaled-exchange", start=2.0)
    assert registry.name_of(functional) == "scaled-exchange"
    files.save(functional, tmp_path / "model.pt", {})
    assert energy(dixc.load(tmp_path / "model.pt")) == energy(functional)
    assert energy(dixc.create(PATH, start=2.0)) == energy(functional)


def test_listed_with_size_and_source(entry_point, capsys):
    from dixc.stages import models

    models.run()
    rows = {line.split()[0]: line for line in capsys.readouterr().out.splitlines()}
    assert rows["scaled-exchange"].split()[1:] == ["architecture,", "untrained", "1", "-", "this", "test"]
    assert "1250" in rows["xcdiff"].split()
    assert "arXiv:2506.14665" in rows["skala-mgga"]


@pytest.mark.parametrize("precision", ["mixed", "double"])
def test_trains_and_is_used_in_pyscf(module, tmp_path, precision):
    functional = dixc.create(PATH, start=1.2)
    run = train(functional, tmp_path, precision=precision, steps=8)
    assert run.rows[-1]["loss"] < 0.5 * run.rows[0]["loss"]
    files.save(functional, tmp_path / "model.pt", {})
    energies = []
    for xc in (functional, dixc.load(tmp_path / "model.pt", classes=[PATH])):
        mf = dixc.pyscf.RKS(molecule("water", "sto-3g"), xc=xc)
        mf.grids.level = 0
        energies.append(mf.kernel())
        assert mf.converged
    assert energies[0] == pytest.approx(energies[1], abs=1e-10)


def test_as_a_model_of_a_config():
    molecules = {
        "files": ["m.xyz"],
        "train": {"count": 1, "max_heavy": 1},
        "validation": {"count": 1, "max_heavy": 1},
        "test": {"names": ["a"]},
    }
    config = Config.model_validate({"molecules": molecules, "models": [{"name": PATH}, {"name": "xcdiff"}]})
    assert config.classes() == [PATH, "xcdiff"]
    assert config.parse(f"{PATH}-hess-0").model == PATH
    for wrong in ("../up:Class", "a b:C", "module:", "module:Class.attribute", "x/y"):
        with pytest.raises(ValueError, match="pattern"):
            Config.model_validate({"molecules": molecules, "models": [{"name": wrong}]})


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("away_from_dixc.nothing:Scaled", "cannot import .* No module named 'away_from_dixc.nothing'"),
        ("away_from_dixc.functionals:Nothing", "cannot import .* has no attribute 'Nothing'"),
        ("away_from_dixc.functionals:NoFunctional", "is not a subclass of dixc.functionals.base.Functional"),
        ("away_from_dixc.broken:Scaled", "cannot import away_from_dixc.broken:Scaled: two lines"),
        ("away_from_dixc.functionals:", "unknown functional"),
    ],
)
def test_errors(module, path, message):
    with pytest.raises(UserError, match=message) as caught:
        dixc.create(path)
    assert "\n" not in str(caught.value)


def test_errors_of_its_hyperparameters(module):
    with pytest.raises(UserError, match="unknown hyperparameter 'stop'; known: start"):
        dixc.create(PATH, stop=1)
    with pytest.raises(UserError, match="start must be positive"):
        dixc.create(PATH, start=-1.0)


def test_a_class_that_cannot_be_imported_again_is_not_saved(tmp_path):
    from dixc.functionals.base import PointwiseFunctional

    class Local(PointwiseFunctional):
        pass

    with pytest.raises(
        UserError, match="Local is not a functional of the registry or of an importable module"
    ):
        files.save(Local(), tmp_path / "model.pt", {})
    assert not list(tmp_path.iterdir())

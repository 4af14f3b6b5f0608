"""Functionals from outside of the package: by import path and by entry point, in files and in a config."""

from __future__ import annotations

import contextlib
import importlib
import re
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
import torch
from pyscf import gto
from short_training import train
from small_molecules import molecule

import dixc
import dixc.pyscf
from dixc.config import Config
from dixc.config.training import Training
from dixc.core.xc.expansion import XCExpansion
from dixc.core.xc.invariants import invariants, invariants_second_variation
from dixc.errors import DixcWarning, UserError
from dixc.functionals import files, registry
from dixc.functionals.base import GridPoints, SpinDensity
from dixc.stages import prefit as prefit_stage
from dixc.training import prefit, terms
from dixc.training.molecule import TrainingMolecule
from dixc.training.sinks import GradientSink

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
MOLECULES = {
    "files": ["m.xyz"],
    "train": {"count": 1, "max_heavy": 1},
    "validation": {"count": 1, "max_heavy": 1},
    "test": {"names": ["a"]},
}


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


def forget(package: str = "away_from_dixc"):
    for name in [name for name in sys.modules if name.startswith(package)]:
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
    assert files.resolve(PATH).source == "this test"
    assert PATH not in dixc.available()
    with torch.no_grad():
        functional.factor += 1
    files.save(functional, tmp_path / "model.pt", {"model": PATH})
    for loaded in (
        dixc.load(tmp_path / "model.pt", classes=[PATH]),
        files.resolve(tmp_path / "model.pt", [PATH]),
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


@pytest.mark.slow
def test_listed_with_size_and_source(entry_point, capsys):
    from dixc.commands import models

    models.run()
    rows = {line.split()[0]: line for line in capsys.readouterr().out.splitlines()}
    assert rows["scaled-exchange"].split()[1:] == ["architecture,", "untrained", "1", "-", "this", "test"]
    assert "1250" in rows["xcdiff"].split()
    assert "arXiv:2506.14665" in rows["skala-mgga"]


@pytest.mark.slow
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


BLOCK = re.compile(r"^```python\n(.*?)^```", re.M | re.S)


@pytest.fixture
def example(tmp_path, monkeypatch):
    """The code of docs/own-functional.md: its classes in a package `mypackage`, and how one is run."""
    page = (Path(__file__).parents[3] / "docs" / "own-functional.md").read_text()
    pointwise, run, _, whole = BLOCK.findall(page)
    package = tmp_path / "mypackage"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "xc.py").write_text(pointwise)
    (package / "whole.py").write_text(whole)
    monkeypatch.syspath_prepend(tmp_path)
    importlib.invalidate_caches()
    yield run
    forget("mypackage")


@pytest.mark.slow
def test_the_example_of_the_page_runs(example):
    found = {}
    exec(example, found)
    assert found["mf"].converged
    assert -76 < found["mf"].e_tot < -74


@pytest.mark.slow
@pytest.mark.parametrize("loss", ["base", "grad", "hess"])
@pytest.mark.parametrize("path", ["mypackage.xc:MyFunctional", "mypackage.whole:Whole"])
def test_the_classes_of_the_page_are_trained_saved_and_used(example, tmp_path, path, loss):
    torch.manual_seed(0)
    functional = dixc.create(path)
    run = train(functional, tmp_path, loss, steps=6)
    assert not any(row["skipped"] for row in run.rows)
    assert run.rows[-1]["loss"] < 0.7 * run.rows[0]["loss"]
    files.save(functional, tmp_path / "model.pt", {"model": path})
    loaded = dixc.load(tmp_path / "model.pt", classes=[path])
    assert {p.dtype for p in loaded.parameters()} == {torch.float64}
    energies = [
        scf(dixc.pyscf.RKS, molecule("water", "sto-3g"), functional),
        scf(dixc.pyscf.RKS, molecule("water", "sto-3g"), loaded),
        scf(dixc.pyscf.UKS, molecule("water", "sto-3g"), loaded),
    ]
    assert energies == pytest.approx(energies[:1] * 3, abs=1e-8)
    for atoms, spin in (("H 0 0 0", 1), ("O 0 0 0; H 0 0 0.97", 1), ("O 0 0 0; O 0 0 1.21", 2)):
        scf(dixc.pyscf.UKS, gto.M(atom=atoms, spin=spin, basis="sto-3g", verbose=0), loaded)


def scf(method, mol, xc) -> float:
    mf = method(mol, xc=xc)
    mf.grids.level = 0
    mf.kernel()
    assert mf.converged
    return mf.e_tot


ANY_KIND = '''
import torch
from torch import nn
from dixc.functionals.base import PointwiseFunctional


class MGGA(PointwiseFunctional):
    """Written without a thought of empty points and precision; weights as PyTorch makes them."""

    def __init__(self):
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(1)
            self.net = nn.Sequential(nn.Linear(3, 6), nn.SiLU(), nn.Linear(6, 1))

    def inputs(self, n, sigma, tau):
        return torch.log(n), torch.sqrt(sigma) / n ** (4 / 3), tau / n ** (5 / 3)

    def energy_density(self, density):
        energies = []
        for n, sigma, tau in density.channels:
            inputs = self.net(torch.stack([torch.log1p(v.abs()) for v in self.inputs(n, sigma, tau)], -1))
            energies.append(-0.74 * n ** (4 / 3) * (1 + 0.2 * torch.tanh(inputs[:, 0])))
        return sum(energies) / len(energies)


class GGA(MGGA):
    xctype = "GGA"

    def inputs(self, n, sigma, tau):
        return n, n ** (1 / 3), sigma / n ** (8 / 3)


class LDA(MGGA):
    xctype = "LDA"

    def inputs(self, n, sigma, tau):
        return n, n ** (1 / 3), 1 / n


class Linear(PointwiseFunctional):
    """Without second derivatives."""

    xctype = "LDA"

    def __init__(self):
        super().__init__()
        self.factor = nn.Parameter(torch.tensor(-0.5))

    def energy_density(self, density):
        return self.factor * density.n
'''


@pytest.fixture
def any_kind(module):
    (module / "kinds.py").write_text(ANY_KIND)
    return "away_from_dixc.kinds"


@pytest.mark.slow
@pytest.mark.parametrize("optimizer", ["gauss_newton", "adam"])
@pytest.mark.parametrize("name", ["LDA", "GGA", "MGGA", "Linear"])
def test_each_kind_of_invariants_trains_with_the_hessian(any_kind, tmp_path, name, optimizer):
    run = train(dixc.create(f"{any_kind}:{name}"), tmp_path, optimizer=optimizer)
    assert not any(row["skipped"] for row in run.rows)
    assert run.rows[-1]["loss"] < run.rows[0]["loss"]
    assert run.rows[0]["hessian_weighted"] > 0


@pytest.mark.parametrize("name", ["LDA", "GGA", "MGGA"])
def test_gradient_of_the_hessian_loss(any_kind, name, water):
    """Against finite differences in the weights, for every kind of invariants."""
    functional = dixc.create(f"{any_kind}:{name}")
    data = TrainingMolecule(*water, 0, 0, xctype=functional.xctype)
    settings = Training()

    def loss(backward: bool = False) -> float:
        sink = GradientSink() if backward else None
        names, rng = ("hessian", "excitation"), np.random.default_rng(0)
        values = terms.evaluate(names, data, functional, settings, rng=rng, sink=sink)
        return sum(value.weighted for value in values)

    loss(backward=True)
    direction = [
        torch.sin(torch.arange(p.numel()).double() + 1).reshape(p.shape) for p in functional.parameters()
    ]
    found = sum((p.grad * d).sum().item() for p, d in zip(functional.parameters(), direction, strict=True))
    shifted = []
    for step in (1e-4, -2e-4):
        with torch.no_grad():
            for p, d in zip(functional.parameters(), direction, strict=True):
                p += step * d
        shifted.append(loss())
    assert found == pytest.approx((shifted[0] - shifted[1]) / 2e-4, rel=1e-4)


def test_weights_of_an_own_class_stay_double_and_those_of_dixc_do_not(any_kind):
    own, ours = dixc.create(f"{any_kind}:GGA"), dixc.create("xcdiff")
    egxc = dixc.create("egxc", base=f"{any_kind}:MGGA", features=8, layers=1)
    for functional in (own, ours, egxc):
        functional.to(torch.float32)
    assert {p.dtype for p in own.parameters()} == {p.dtype for p in egxc.base.parameters()} == {torch.float64}
    assert {p.dtype for p in ours.parameters()} == {torch.float32}
    assert {p.dtype for p in egxc.interaction.parameters()} == {torch.float32}


@pytest.mark.parametrize("name", ["LDA", "GGA", "MGGA"])
def test_empty_points_and_spins_are_harmless(any_kind, name):
    """Value, potential, kernel and parameter gradients where there is nothing, or one spin only."""
    functional = dixc.create(f"{any_kind}:{name}")
    nvar = {"LDA": 1, "GGA": 4, "MGGA": 5}[name]
    some = torch.tensor([0.3, 0.1, 0.0, -0.2, 0.4], dtype=torch.float64)[:nvar, None]
    for rho in (
        torch.cat([some, 0 * some, 1e-16 * some], 1)[None],
        torch.stack([torch.cat([some, 0 * some, some], 1), torch.cat([0 * some, 0 * some, 1e-15 * some], 1)]),
    ):
        expansion = XCExpansion(functional, rho, GridPoints(torch.ones(3).double()), 2, trainable=True)
        product = expansion.product(torch.ones_like(rho))
        for part in (
            expansion.potential,
            product,
            expansion.gradients.jacobian([1.0], torch.ones_like(expansion.x)[None]),
        ):
            assert part.isfinite().all()
        assert expansion.energy < 0
        assert (expansion.potential[..., 1] == 0).all(), "nothing comes of nothing"


@pytest.mark.parametrize("xctype", ["LDA", "GGA", "MGGA"])
def test_what_a_class_is_shown_is_never_zero(xctype):
    rng = np.random.default_rng(0)
    nvar = {"LDA": 1, "GGA": 4, "MGGA": 5}[xctype]
    rho = np.abs(rng.normal(size=(2, nvar, 200)))
    opposite = rho.copy()
    opposite[1, 1:4] = -opposite[0, 1:4] * (1 + 1e-16)
    one_spin, flat = rho * np.array([1, 0])[:, None, None], rho.copy()
    flat[:, 1:4] = 0
    for spins in (rho, rho * 0, rho * 1e-15, one_spin, opposite, flat):
        for x in (invariants(torch.from_numpy(spins)), invariants(torch.from_numpy(spins[:1]))):
            shown, occupied = SpinDensity(x, xctype).guarded()
            for part in (shown.n, shown.sigma, shown.tau, *(v for c in shown.channels for v in c)):
                assert part is None or (part > 0).all()
            assert torch.equal(occupied, SpinDensity(x, xctype).n > 1e-13)
            if spins is rho:
                assert torch.equal(shown.x, x), "and a usual density is left alone"


def test_second_variation_of_the_invariants():
    rng = np.random.default_rng(0)
    for ns in (1, 2):
        for nvar in (1, 4, 5):
            rho, a, b = (torch.from_numpy(rng.normal(size=(ns, nvar, 3))) for _ in range(3))
            expected = invariants(rho + a + b) - invariants(rho + a) - invariants(rho + b) + invariants(rho)
            torch.testing.assert_close(invariants_second_variation(a, b), expected, rtol=0, atol=1e-12)


@pytest.mark.slow
@pytest.mark.parametrize("path", ["away_from_dixc.kinds:LDA", "mypackage.whole:Whole"])
def test_pre_fit_of_any_kind(any_kind, example, path, tmp_path, monkeypatch, water):
    """An LDA is fitted like a meta-GGA; what has no pointwise part starts as it is, and this is said."""
    monkeypatch.setattr(prefit_stage, "sample", lambda references: ([water[0]], ["H", "O"]))
    monkeypatch.setattr(prefit_stage, "training_origin", lambda config, references: {})
    models = [{"name": path, "prefit_steps": 20}]
    config = Config.model_validate({"molecules": MOLECULES, "models": models})
    expected = pytest.warns(DixcWarning, match="has no pointwise part: it starts as it is")
    with expected if path.endswith("Whole") else contextlib.nullcontext():
        prefit_stage.run(config.model(path), 3, config.prefit_of(path), [], tmp_path / "model.pt")
    fitted = dixc.load(tmp_path / "model.pt", classes=[path])
    error = fitted.metadata["prefit_rms_hartree_per_electron"]
    if path.endswith("Whole"):
        assert error is None
        return
    x, weights = prefit.density_points([water[0]])
    unfitted = prefit.fit(dixc.create(path), dixc.create("r2scan"), x, weights, 0, config.prefit.points, 3)
    assert error < 0.8 * unfitted


def test_as_a_model_of_a_config():
    config = Config.model_validate({"molecules": MOLECULES, "models": [{"name": PATH}, {"name": "xcdiff"}]})
    assert config.classes() == [PATH, "xcdiff"]
    assert config.parse(f"{PATH}-hess-0").model == PATH
    for wrong in ("../up:Class", "a b:C", "module:", "module:Class.attribute", "x/y"):
        with pytest.raises(ValueError, match="pattern"):
            Config.model_validate({"molecules": MOLECULES, "models": [{"name": wrong}]})


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

"""NaN in training, brought in by a functional from outside of the package: it is skipped, or ends the training."""

from __future__ import annotations

import importlib
import math
import sys
import textwrap

import pytest
import torch
from small_references import reference_record

from dixc.config.training import Training
from dixc.errors import DixcWarning, UserError
from dixc.functionals import registry
from dixc.training.loop import MAX_BAD_STEPS, Trainer
from dixc.training.molecule import TrainingMolecule

CODE = """
import torch
from dixc.functionals.xcdiff import XCdiff


class Poisoned(XCdiff):
    fault = ""

    def __init__(self):
        super().__init__(n_hidden=6, n_layers=2)

    def energy_density(self, density):
        energy = super().energy_density(density)
        if self.fault == "energy":
            return energy * torch.nan
        if self.fault == "gradient":  # the value stays as it is, its slope in the weights is 0 * inf
            return energy + torch.sqrt(0 * sum(p.sum() for p in self.parameters()))
        return energy
"""
PATH = "poisoned_functional:Poisoned"


@pytest.fixture
def poisoned(tmp_path, monkeypatch):
    """A class whose attribute `fault` says what is NaN."""
    (tmp_path / "poisoned_functional.py").write_text(textwrap.dedent(CODE))
    monkeypatch.syspath_prepend(tmp_path)
    importlib.invalidate_caches()
    yield type(registry.create(PATH))
    sys.modules.pop("poisoned_functional", None)


@pytest.fixture(scope="module")
def molecules():
    return {name: TrainingMolecule(*reference_record(name), 0, 0) for name in ("water", "ammonia")}


def trainer(molecules, tmp_path, **changes) -> Trainer:
    options = {"steps": 8, "validate_every": 8, "grid_level": 0, "precision": "double"} | changes
    train, validation = {"water": molecules["water"]}, {"ammonia": molecules["ammonia"]}
    settings = Training.model_validate(options)
    return Trainer(registry.create(PATH), "grad", 0, settings, train, validation, tmp_path / "checkpoint.pt")


def weights(run: Trainer) -> torch.Tensor:
    return torch.cat([p.detach().flatten().clone() for p in run.functional.parameters()])


@pytest.mark.slow
@pytest.mark.parametrize("fault", ["energy", "gradient"])
@pytest.mark.parametrize("rule", [False, True])
def test_a_step_with_nan_is_skipped_and_said_so(poisoned, molecules, tmp_path, fault, rule):
    run = trainer(molecules, tmp_path, metropolis={"enabled": rule})
    run.train_step()
    before = weights(run)
    poisoned.fault = fault
    row = run.train_step()
    assert row["skipped"] == 1
    assert torch.isfinite(weights(run)).all()
    if not rule:  # which may undo the step before, too
        assert torch.equal(weights(run), before)
    poisoned.fault = ""
    rows = [run.train_step() for _ in range(3)]
    assert all(row["skipped"] == 0 and math.isfinite(row["loss"]) for row in rows)
    assert torch.isfinite(weights(run)).all()
    assert not torch.equal(weights(run), before)


@pytest.mark.slow
@pytest.mark.parametrize("fault", ["energy", "gradient"])
def test_nan_for_good_ends_the_training(poisoned, molecules, tmp_path, fault):
    run = trainer(molecules, tmp_path, steps=50, validate_every=50)
    before = weights(run)
    poisoned.fault = fault
    with pytest.raises(UserError, match=f"{MAX_BAD_STEPS} steps in a row had no converged SCF or no finite"):
        run.run()
    assert torch.equal(weights(run), before)
    assert not (tmp_path / "checkpoint.pt").exists()


@pytest.mark.slow
def test_nan_in_all_validations_is_said(poisoned, molecules, tmp_path, monkeypatch):
    run = trainer(molecules, tmp_path, steps=1, validate_every=1)
    validated = run._validated

    def with_nan(name):
        poisoned.fault = "energy"
        try:
            return validated(name)
        finally:
            poisoned.fault = ""

    monkeypatch.setattr(run, "_validated", with_nan)
    with pytest.warns(DixcWarning, match="no validation had a converged SCF"):
        run.run()
    assert run.rows[-1]["validation_failed"] == 1
    assert torch.isfinite(weights(run)).all()

"""The device of a training: what may be asked for, and what happens where it is not there."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from typer.testing import CliRunner

from dixc import create
from dixc.cli import app
from dixc.config import validate
from dixc.config.training import Training
from dixc.core import grid
from dixc.core.xc import expansion, pullbacks
from dixc.errors import UserError
from dixc.training import checkpoints, model_scf, terms
from dixc.training.device import chosen_device
from dixc.training.loop import Trainer
from dixc.training.molecule import TrainingMolecule
from dixc.training.sinks import GradientSink

CONFIG = Path(__file__).parents[2] / "config/config.yaml"
ABSENT = "cuda:99"
TIGHT = {"scf_conv_tol_grad": 1e-9, "cg_tol": 1e-10}
EXPANSIONS = {
    "xcdiff": {"n_hidden": 6, "n_layers": 2, "seed": 3},
    "nnmgga": {"n_hidden": 6, "seed": 3},
    "skala-mgga": {"n_hidden": 6, "seed": 3},
    "egxc": {
        "features": 4,
        "layers": 2,
        "n_radial": 3,
        "n_message_radial": 4,
        "reweighting_hidden": 4,
        "base_hyperparameters": {"n_hidden": 6, "n_layers": 2},
        "seed": 3,
    },
}


def on_gpu(test):
    """Marks a test that needs a CUDA device."""
    return pytest.mark.gpu(
        pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")(test)
    )


def test_auto_takes_what_is_there():
    assert chosen_device("cpu") == torch.device("cpu")
    assert chosen_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")


def test_an_absent_device_is_one_line_and_leaves_nothing(tmp_path):
    config = yaml.safe_load(CONFIG.read_text())
    config["training"]["device"] = ABSENT
    (tmp_path / "gpu.yaml").write_text(yaml.safe_dump(config))
    files = {"--start": "start.pt", "--train-reference": "a.h5", "--train-derivatives": "b.h5"}
    files |= {
        "--validation-reference": "c.h5",
        "--out": "model.pt",
        "--log": "log.csv",
        "--checkpoints": "kept",
    }
    command = [
        "train",
        "--config",
        str(tmp_path / "gpu.yaml"),
        "--model",
        "xcdiff",
        "--loss",
        "base",
        "--seed",
        "0",
    ]
    for option, name in files.items():
        command += [option, str(tmp_path / name)]
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"dixc: error: training.device: '{ABSENT}' is not available")
    assert [path.name for path in tmp_path.iterdir()] == ["gpu.yaml"]


@pytest.mark.parametrize("name", ["gpu", "cuda:", "mps", "CPU"])
def test_other_words_are_refused(name):
    config = yaml.safe_load(CONFIG.read_text())
    config["training"]["device"] = name
    with pytest.raises(UserError, match=r"training\.device"):
        validate(config)


def test_another_device_is_no_reason_to_train_again():
    assert Training(device="cuda").settings("hess") == Training(device="cpu").settings("hess")


@pytest.mark.parametrize("name", EXPANSIONS)
def test_directions_together_are_those_one_by_one(name, water, monkeypatch):
    """What a GPU does with many directions, on the CPU."""
    found = [parameter_gradient(name, water, "cpu")]
    monkeypatch.setitem(pullbacks.DIRECTIONS_AT_ONCE, "cpu", 5)
    monkeypatch.setitem(expansion.POINTS_AT_ONCE, "cpu", 5_000)
    monkeypatch.setitem(grid.BLOCK_POINTS, "cpu", 4096)
    found.append(parameter_gradient(name, water, "cpu"))
    assert found[0].abs().max() > 0
    torch.testing.assert_close(found[1], found[0], rtol=1e-6, atol=1e-8 * float(found[0].abs().max()))


@on_gpu
@pytest.mark.parametrize("name", EXPANSIONS)
def test_terms_on_a_gpu_are_those_on_the_cpu(name, water):
    cpu, cuda = (parameter_gradient(name, water, device) for device in ("cpu", "cuda"))
    torch.testing.assert_close(cuda, cpu, rtol=1e-6, atol=1e-8)


@on_gpu
@pytest.mark.parametrize("name", EXPANSIONS)
def test_training_on_a_gpu_resumes_and_is_that_on_the_cpu(name, water, tmp_path):
    def trainer(device: str) -> Trainer:
        options = Training.model_validate(
            {"steps": 4, "validate_every": 2, "checkpoint_every": 2, "grid_level": 0, "precision": "double"}
        )
        molecules = {"water": TrainingMolecule(*water, grid_level=0, hessian_grid_level=0, device=device)}
        functional = create(name, **EXPANSIONS[name]).to(device)
        return Trainer(functional, "hess", 0, options, molecules, molecules, tmp_path / f"{device}.pt")

    whole, killed = trainer("cpu"), trainer("cuda")
    whole.run()
    for _ in range(2):
        killed.rows.append(killed.train_step())
    killed.validate()
    checkpoints.save(killed)
    resumed = trainer("cuda")
    resumed.run()
    assert len(resumed.rows) == 4
    for column in ("loss", "energy_raw_mEh", "hessian_raw_1", "excitation_raw_eV", "grad_norm"):
        expected = [row[column] for row in whole.rows]
        assert [row[column] for row in resumed.rows] == pytest.approx(expected, rel=1e-4)


def parameter_gradient(name: str, water, device: str) -> torch.Tensor:
    """Of all terms of the loss `hess`, in double precision, each scaled to length one."""
    functional = create(name, **EXPANSIONS[name]).to(device)
    generator = torch.Generator().manual_seed(4)
    for parameter in functional.parameters():  # an untrained EG-XC has a graph that counts for nothing
        noise = torch.randn(parameter.shape, generator=generator, dtype=parameter.dtype)
        parameter.data += 0.02 * noise.to(device)
    molecule = TrainingMolecule(*water, 0, 0, device=device)
    # the preconditioner may differ by a rounded column, which loose thresholds would show
    settings = Training.model_validate({"density": TIGHT})
    point = model_scf.solve(molecule, functional, None, settings.density.scf_conv_tol_grad)
    assert point.converged
    collected = [1000 * point.state.expansion.local.expansion.gradients.of_energy()]
    for names in (("energy", "density"), ("gradient",), ("hessian", "excitation")):
        functional.zero_grad(set_to_none=True)
        rng = np.random.default_rng(0)
        terms.evaluate(names, molecule, functional, settings, point, rng, GradientSink())
        gradients = [torch.zeros_like(p) if p.grad is None else p.grad for p in functional.parameters()]
        collected.append(torch.cat([g.ravel() for g in gradients]))
    return torch.cat([gradient.cpu() / gradient.norm().cpu() for gradient in collected])

"""The device of a training: what may be asked for, and what happens where it is not there."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import yaml
from typer.testing import CliRunner

from dixc.cli import app
from dixc.config import validate
from dixc.config.training import Training
from dixc.errors import UserError
from dixc.training import terms
from dixc.training.data import TrainingMolecule
from dixc.training.device import chosen_device

CONFIG = Path(__file__).parents[1] / "config/config.yaml"
ABSENT = "cuda:99"


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


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_terms_on_a_gpu_are_those_on_the_cpu(water):
    from dixc import create
    from dixc.training import model_scf

    found = {}
    for device in ("cpu", "cuda"):
        functional = create("xcdiff", n_hidden=6, n_layers=2, seed=3).to(device)
        molecule = TrainingMolecule(*water, grid_level=0, hessian_grid_level=0, device=device)
        point = model_scf.solve(molecule, functional, None, 1e-8)
        terms.energy_and_density(molecule, functional, point, Training())
        terms.gradient(molecule, functional, Training())
        found[device] = torch.cat([p.grad.ravel().cpu() for p in functional.parameters()])
    torch.testing.assert_close(found["cuda"], found["cpu"], rtol=1e-6, atol=1e-9)

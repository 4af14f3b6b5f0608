"""What decides whether a result is computed again: hashes of settings and inputs, as results of all users carry them.

A hash that changes here makes finished molecules, checkpoints and provenance of existing runs worthless: a change is
meant only where a setting is added, or a default is another.
"""

from __future__ import annotations

import inspect

import pytest

import dixc
from dixc.config import Config, FunctionalId, validate
from dixc.config.base import Section
from dixc.evaluation import scf as evaluation_scf
from dixc.functionals import files
from dixc.provenance import file_hash, hash_of
from dixc.reference import scf as reference_scf
from dixc.stages import derivatives, evaluate, molecules, prefit, reference, tddft, train, warmstart
from dixc.stages.training_files import TrainingInputs, TrainingOutputs
from dixc.store import FORMAT_VERSION
from dixc.training.loop import Trainer
from dixc.version import __version__

CONFIG = validate(
    {
        "molecules": {
            "files": ["a.xyz"],
            "train": {"count": 2, "max_heavy": 1},
            "validation": {"count": 1, "max_heavy": 1},
            "test": {"names": ["x"]},
            "chunk_size": 1,
        },
        "models": [
            {"name": "xcdiff", "prefit_steps": 7},
            {
                "name": "xcdiff",
                "label": "small",
                "hyperparameters": {"n_hidden": 8},
                "learning_rate": 0.1,
            },
        ],
        "derivatives": {"states_max_heavy": 5},
        "training": {"seeds": [3, 1]},
    }
)
WATER = "3\nname=water charge=0 split=train\nO 0 0 0.1178\nH 0 0.7555 -0.4712\nH 0 -0.7555 -0.4712\n"
METHANE = (
    "5\nname=methane charge=0 split=validation\nC 0 0 0\nH .629 .629 .629\nH -.629 -.629 .629\n"
    "H -.629 .629 -.629\nH .629 -.629 -.629\n"
)
REFERENCE = {
    "functional": "b3lyp", "basis": "sto-3g", "grid_level": 0, "conv_tol": 1e-10, "conv_tol_grad": 1e-06,
    "max_cycle": 100, "max_failed_fraction": 0.2,
}  # fmt: skip
DERIVATIVES = {"max_dense_pairs": 2000, "n_probes": 16, "n_states": 4, "seed": 0}
EVALUATION = {"conv_tol": 1e-09, "max_cycle": 50}


def test_hashes_of_settings():
    assert CONFIG.digest == "1f0cf0a0d6ea29ca"
    assert hash_of(CONFIG.reference.model_dump()) == "2b876526ce8ffa1b"
    assert hash_of(CONFIG.derivatives.model_dump()) == "a1aab00840fa0737"
    assert hash_of(CONFIG.evaluation.scf.model_dump()) == "9b8f43c8f41bf2ff"
    hashes = {loss: hash_of(CONFIG.training_of("small").settings(loss)) for loss in ("base", "grad", "hess")}
    assert hashes == {"base": "82b9329e0ef44f89", "grad": "452640c8c5202e81", "hess": "5da63da0c8a43552"}


@pytest.fixture(scope="module")
def chunks(tmp_path_factory):
    """Reference and derivatives of water, the reference of methane, and a model."""
    folder = tmp_path_factory.mktemp("chunks")
    settings = CONFIG.reference.model_copy(update={"basis": "sto-3g", "grid_level": 0})
    for name, text in (("water", WATER), ("methane", METHANE)):
        (folder / f"{name}.xyz").write_text(text)
        reference.run(folder / f"{name}.xyz", settings, folder / f"{name}.h5")
    derivatives.run(folder / "water.h5", CONFIG.derivatives, folder / "second.h5")
    files.save(dixc.create("xcdiff", n_hidden=4, n_layers=1), folder / "start.pt", {})
    return folder


def interrupted(*_, **__):
    raise KeyboardInterrupt


def parts(out, stage, key, settings, attributes=None):
    """The folder in which an interrupted job of this key keeps its molecules."""
    defining = [key, stage, settings, attributes or {}, FORMAT_VERSION, __version__]
    return out.with_name(f".{out.name}.{hash_of(defining)}.parts")


def test_key_of_a_reference(chunks, tmp_path, monkeypatch):
    xyz, out = chunks / "water.xyz", tmp_path / "a.h5"
    monkeypatch.setattr(reference_scf, "solve", interrupted)
    with pytest.raises(KeyboardInterrupt):
        reference.run(xyz, CONFIG.reference.model_copy(update={"basis": "sto-3g", "grid_level": 0}), out)
    assert parts(out, "reference", hash_of([REFERENCE, file_hash(xyz)]), REFERENCE).is_dir()


def test_key_of_derivatives(chunks, tmp_path, monkeypatch):
    first, out = chunks / "water.h5", tmp_path / "a.h5"
    monkeypatch.setattr(derivatives, "compute", interrupted)
    with pytest.raises(KeyboardInterrupt):
        derivatives.run(first, CONFIG.derivatives.model_copy(update={"states_max_heavy": None}), out)
    assert parts(out, "derivatives", hash_of([DERIVATIVES, file_hash(first)]), DERIVATIVES).is_dir()


@pytest.mark.parametrize("functional", ["pbe", "start.pt"])
def test_key_of_an_evaluation(chunks, tmp_path, monkeypatch, functional):
    first, out = chunks / "water.h5", tmp_path / "a.h5"
    name = str(chunks / functional) if functional.endswith(".pt") else functional
    monkeypatch.setattr(evaluation_scf, "evaluate", interrupted)
    with pytest.raises(KeyboardInterrupt):
        evaluate.run(name, CONFIG.evaluation.scf, first, out)
    source = file_hash(name) if functional.endswith(".pt") else name
    key = hash_of([EVALUATION, source, file_hash(first)])
    tags = {"model": name, "loss": "none", "seed": 0}
    assert parts(out, "scf", key, EVALUATION, tags).is_dir()


def test_name_of_a_checkpoint(chunks, tmp_path, monkeypatch):
    names = []
    monkeypatch.setattr(Trainer, "run", lambda self: names.append(self.checkpoint.name) or interrupted())
    paths = [chunks / name for name in ("start.pt", "water.h5", "second.h5", "methane.h5")]
    inputs = TrainingInputs(paths[0], *([path] for path in paths[1:]))
    outputs = TrainingOutputs(tmp_path / "m.pt", tmp_path / "m.csv", tmp_path)
    settings = CONFIG.training_of("small")
    with pytest.raises(KeyboardInterrupt):
        train.run(FunctionalId("small", "hess", 3), settings, inputs, outputs)
    key = hash_of(["small", "hess", 3, settings.settings("hess"), [file_hash(path) for path in paths]])
    assert names == [f"small-hess-3-{key}.pt"]


def test_a_model_says_which_reference_it_was_trained_on(chunks, tmp_path, monkeypatch):
    monkeypatch.setattr(Trainer, "run", lambda self: None)
    inputs = TrainingInputs(
        chunks / "start.pt", [chunks / "water.h5"], [chunks / "second.h5"], [chunks / "methane.h5"]
    )
    outputs = TrainingOutputs(tmp_path / "m.pt", tmp_path / "m.csv", tmp_path)
    train.run(FunctionalId("xcdiff", "hess", 3), CONFIG.training, inputs, outputs, config_hash="abc")
    metadata = dixc.load(outputs.model).metadata
    assert list(metadata["reference"].items()) == list(REFERENCE.items())
    assert metadata["provenance"]["config"] == "abc"


SECTIONS = {
    molecules.run: {"molecules"},
    reference.run: {"reference"},
    derivatives.run: {"derivatives"},
    prefit.run: {"models", "prefit"},
    train.run: {"training"},
    evaluate.run: {"evaluation.scf"},
    warmstart.run: {"evaluation.scf"},
    warmstart.run_default_guess: {"evaluation.scf"},
    tddft.run: {"evaluation.tddft"},
}


@pytest.mark.parametrize("stage", SECTIONS, ids=lambda stage: f"{stage.__module__}.{stage.__name__}")
def test_a_stage_gets_its_sections_and_not_the_config(stage):
    """What a stage does not get it cannot depend on: rules state these sections in their params."""
    of_config = {
        "molecules": Config.model_fields["molecules"].annotation,
        "reference": Config.model_fields["reference"].annotation,
        "derivatives": Config.model_fields["derivatives"].annotation,
        "models": type(CONFIG.models[0]),
        "prefit": type(CONFIG.prefit),
        "training": type(CONFIG.training),
        "evaluation.scf": type(CONFIG.evaluation.scf),
        "evaluation.tddft": type(CONFIG.evaluation.tddft),
    }
    names = {section.__name__: path for path, section in of_config.items()}
    annotations = [str(parameter.annotation) for parameter in inspect.signature(stage).parameters.values()]
    assert {names[word] for word in annotations if word in names} == SECTIONS[stage]
    others = {cls.__name__ for cls in Section.__subclasses__()} - names.keys()
    assert not others & set(annotations)
    assert "dict" not in " ".join(annotations)

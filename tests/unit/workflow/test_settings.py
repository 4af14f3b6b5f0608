"""Settings that rules state in their params: their text is what Snakemake compares with that of the last run."""

from __future__ import annotations

import pytest

from dixc.config import validate
from dixc.workflow import settings

CONFIG = {
    "molecules": {
        "files": ["a.xyz"],
        "train": {"count": 2, "max_heavy": 1},
        "validation": {"count": 1, "max_heavy": 1},
        "test": {"names": ["x"]},
    },
    "models": [
        {"name": "xcdiff", "prefit_steps": 7},
        {"name": "xcdiff", "label": "small", "hyperparameters": {"n_hidden": 8}, "learning_rate": 0.1},
    ],
    "derivatives": {"states_max_heavy": 5},
}
REFERENCE = (
    '"reference": {"basis": "def2-svp", "conv_tol": 1e-10, "conv_tol_grad": 1e-06, "functional": "b3lyp", '
    '"grid_level": 1, "max_cycle": 100, "max_failed_fraction": 0.2}'
)
EVALUATION = '"evaluation.scf": {"conv_tol": 1e-09, "max_cycle": 50}'


@pytest.fixture(scope="module")
def config():
    return validate(CONFIG)


def test_sections(config):
    assert settings.of_sections(config, "reference") == f"{{{REFERENCE}}}"
    assert settings.of_sections(config, "evaluation.scf") == f"{{{EVALUATION}}}"
    assert settings.of_sections(config, "reference", "evaluation.scf") == f"{{{EVALUATION}, {REFERENCE}}}"


def test_only_test_molecules_have_a_limit_for_excitations(config):
    usual = '"max_dense_pairs": 2000, "n_probes": 16, "n_states": 4, "seed": 0'
    assert settings.of_derivatives(config, "train-000") == f'{{"derivatives": {{{usual}}}}}'
    limited = f'{{"derivatives": {{{usual}, "states_max_heavy": 5}}}}'
    assert settings.of_derivatives(config, "test-012") == limited


def test_a_model_has_its_own(config):
    assert settings.of_model(config, "xcdiff") == "{}"
    assert settings.of_model(config, "small") == '{"n_hidden": 8, "name": "xcdiff"}'
    prefit = '{"prefit": {"points": 6000, "steps": %d, "target": "r2scan"}}'
    assert settings.of_prefit(config, "xcdiff") == prefit % 7
    assert settings.of_prefit(config, "small") == prefit % 400


def test_a_training_states_what_its_loss_needs(config):
    base = (
        '{"density": {"cg_tol": 0.01, "scf_conv_tol_grad": 0.0001, "weight": 2000000.0}, "ema_decay": 0.8, '
        '"energy": {"huber_mEh": 3.0, "memory": 64, "method": "least_squares", "weight": 2.0}, '
        '"final_learning_rate_fraction": 0.01, "gauss_newton": {"directions": 8, "memory": 64}, '
        '"grid_level": 1, "learning_rate": 0.1, "optimizer": "gauss_newton", "precision": "mixed", '
        '"steps": 120, "validate_every": 20}'
    )
    assert settings.of_training(config, "small", "base") == base
    gradient = '"gradient": {"metric": "inverse_hessian", "weight": 3.0}, '
    assert settings.of_training(config, "small", "grad") == base.replace(
        '"grid_level": 1', gradient + '"grid_level": 1'
    )
    assert '"hessian"' in settings.of_training(config, "small", "hess")

"""The config: what it accepts, how it says what is wrong, and that generated files are up to date."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from dixc import create
from dixc.config import Config, load, validate, write
from dixc.config.__main__ import README, SCHEMA, schema_text, with_table
from dixc.errors import UserError
from dixc.molecules.pool import Pool

ROOT = Path(__file__).parents[1]
DEFAULT = ROOT / "config" / "config.yaml"
SMALL: dict[str, Any] = {
    "molecules": {
        "files": ["a.xyz"],
        "train": {"count": 5, "max_heavy": 2},
        "validation": {"count": 2, "max_heavy": 2},
        "test": {"names": ["one", "two"]},
        "chunk_size": 2,
    }
}


def changed(path: str, value: Any) -> dict[str, Any]:
    """SMALL with one key, given by its dotted path, set to a value."""
    data = json.loads(json.dumps(SMALL))
    *sections, key = path.split(".")
    section = data
    for name in sections:
        section = section.setdefault(name, {})
    section[key] = value
    return data


def test_default_config_states_every_default():
    config = load(DEFAULT)
    written = yaml.safe_load(DEFAULT.read_text())
    assert validate({"molecules": written["molecules"]}) == config, (
        "config.yaml and the models' defaults differ"
    )
    filled_in = config.model_dump(exclude_none=True)
    assert written == filled_in, "config.yaml leaves out keys"


def test_default_config_has_the_promised_sizes():
    config = load(DEFAULT)
    assert (config.molecules.train.count, config.molecules.validation.count) == (20, 4)
    assert config.molecules.test.size == 8
    assert config.training.losses == ["base", "grad", "hess"]


def test_every_line_of_the_default_config_fits_the_schema():
    jsonschema.validate(yaml.safe_load(DEFAULT.read_text()), json.loads((ROOT / SCHEMA).read_text()))


def test_generated_files_are_up_to_date():
    readme = (ROOT / README).read_text()
    assert (ROOT / SCHEMA).read_text() == schema_text(), "stale: run python -m dixc.config"
    assert readme == with_table(readme), "stale: run python -m dixc.config"


def test_every_key_is_described():
    def check(schema: dict[str, Any]) -> None:
        for name, field in schema.get("properties", {}).items():
            assert field.get("description"), name

    schema = Config.model_json_schema()
    for section in [schema, *schema["$defs"].values()]:
        check(section)


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("training.lerning_rate", 1.0, "training.lerning_rate: unknown key (did you mean learning_rate?)"),
        ("training.energy.wieght", 1.0, "training.energy.wieght: unknown key (did you mean weight?)"),
        ("molecules.test.name", ["x"], "molecules.test.name: unknown key (did you mean names?)"),
        ("report.zzz", 1, "report.zzz: unknown key (known here: title)"),
        ("training.steps", 0, "training.steps: must be greater than or equal to 1, not 0"),
        ("training.steps", "many", "training.steps: must be a whole number, not 'many'"),
        ("training.steps", 1.5, "training.steps: must be a whole number, not 1.5"),
        ("training.steps", True, "training.steps: must be a whole number, not True"),
        ("training.learning_rate", float("nan"), "training.learning_rate: must be a finite number, not nan"),
        ("training.losses", ["bose"], "training.losses[0]: must be 'base', 'grad' or 'hess', not 'bose'"),
        ("training.seeds", [0, 0], "training: seeds has 0 more than once"),
        ("run", "../elsewhere", "run: must start with a letter or digit"),
        ("run", 7, "run: must be text (put it in quotes), not 7"),
        ("models", [{"name": "a/b"}], "models[0].name: must start with a letter or digit"),
        ("models", [{"nam": "x"}], "models[0].nam: unknown key (did you mean name?)"),
        ("models", [{"name": "x"}, {"name": "x"}], "models has 'x' more than once"),
        ("models", [{"name": "x", "label": "y"}, {"name": "y"}], "models has 'y' more than once"),
        ("evaluation.tddft.n_states", 9, "evaluation.tddft.n_states is 9, more than derivatives.n_states"),
        ("molecules.train", {"count": 1}, "molecules.train.max_heavy: missing"),
        (
            "molecules.train",
            {"count": 10**30, "max_heavy": 1},
            "molecules.train: 1000000000000000000000000000000 molecules make more than 100000 files of",
        ),
        ("molecules.train", 3, "molecules.train: must be a mapping of keys to values, not 3"),
        ("molecules.test", {}, "molecules.test: give either names or count"),
        ("molecules.test", {"count": 1}, "molecules.test: count needs min_heavy and max_heavy"),
        ("molecules.test", {"names": ["a", "a"]}, "molecules.test: names has 'a' more than once"),
        (
            "molecules.test",
            {"names": ["a"], "max_heavy": 2},
            "molecules.test: min_heavy and max_heavy go with",
        ),
    ],
)
def test_a_wrong_key_or_value_is_named(path, value, message):
    with pytest.raises(UserError, match=re.escape(f"my.yaml: {message}")) as caught:
        validate(changed(path, value), "my.yaml")
    assert "\n" not in str(caught.value)


def test_the_misspelt_key_comes_first():
    data = changed("training.steps", 0)
    data["training"]["stepz"] = 1
    with pytest.raises(UserError, match=r"training\.stepz: unknown key .*\(and 1 more\)$"):
        validate(data)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("run: [", r"line 1: not valid YAML"),
        ("run: a\nreport:\n  title: x\n title: y\n", r"line 4: not valid YAML"),
        ("run: a\nrun: b\n", r"line 2: not valid YAML: key 'run' is given twice"),
        ("", r"must be a mapping"),
        ("run: a", r"molecules: missing"),
    ],
)
def test_a_broken_file_is_located(tmp_path, text, message):
    path = tmp_path / "c.yaml"
    path.write_text(text)
    with pytest.raises(UserError, match=f"c.yaml: .*{message}") as caught:
        load(path)
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(UserError, match=r"none\.yaml: no such config file"):
        load(tmp_path / "none.yaml")
    with pytest.raises(UserError, match="cannot read the config file"):
        load(tmp_path)


def test_numbers_without_a_dot_are_numbers():
    assert validate(changed("reference.conv_tol", "1e-9")).reference.conv_tol == 1e-9


def test_chunks_follow_from_counts():
    config = validate(SMALL)
    assert config.chunks("train") == ["train-000", "train-001", "train-002"]
    assert config.chunks("test") == ["test-000"]
    with pytest.raises(UserError, match="no split 'tset'"):
        config.chunks("tset")


def test_functionals_are_baselines_and_trained_models():
    config = validate(
        {**SMALL, "models": [{"name": "skala-mgga"}], "training": {"losses": ["grad"], "seeds": [0, 3]}}
    )
    assert config.functionals() == ["pbe", "r2scan", "skala-mgga-grad-0", "skala-mgga-grad-3"]
    assert config.parse("pbe") == ("pbe", "none", 0)
    assert config.parse("skala-mgga-grad-3") == ("skala-mgga", "grad", 3)
    assert [str(config.parse(name)) for name in config.functionals()] == config.functionals()
    with pytest.raises(UserError, match="no functional 'b3lyp'"):
        config.parse("b3lyp")


def test_training_settings_leave_out_what_does_not_change_the_weights():
    one = validate(changed("training.hessian.weight", 2.0)).training
    other = validate(SMALL).training
    assert one.settings("grad") == other.settings("grad")
    assert one.settings("hess") != other.settings("hess")
    assert "gradient" not in one.settings("base")
    more_seeds = validate(changed("training.seeds", [0, 1])).training
    assert more_seeds.settings("hess") == other.settings("hess")


def test_a_model_may_have_its_own_prefit_steps_and_learning_rate():
    models = [{"name": "xcdiff"}, {"name": "skala-mgga", "learning_rate": 1e-3, "prefit_steps": 7}]
    config = validate({**SMALL, "models": models})
    assert config.training_of("xcdiff") == config.training
    assert config.prefit_of("xcdiff") == config.prefit
    expected = config.training.model_copy(update={"learning_rate": 1e-3})
    assert config.training_of("skala-mgga") == expected != config.training
    assert config.prefit_of("skala-mgga").steps == 7
    assert config.prefit_of("skala-mgga").points == config.prefit.points
    with pytest.raises(UserError, match=r"models\[0\]\.learning_rate"):
        validate({**SMALL, "models": [{"name": "xcdiff", "learning_rate": 0.0}]})


def test_written_config_reads_back_and_is_left_alone(tmp_path):
    path = tmp_path / "deep" / "config.yaml"
    for data in (SMALL, changed("molecules.test", {"count": 2, "min_heavy": 1, "max_heavy": 3})):
        config = validate(data)
        assert write(config, path)
        assert load(path) == config
        assert not write(config, path)
    assert [file.name for file in path.parent.iterdir()] == ["config.yaml"]


def test_a_class_may_be_there_twice_with_labels():
    small, large = {"n_hidden": 8}, {"n_hidden": 64}
    second = {"name": "xcdiff", "hyperparameters": large, "label": "xcdiff-64"}
    config = validate(changed("models", [{"name": "xcdiff", "hyperparameters": small}, second]))
    assert "xcdiff-64-hess-0" in config.trained()
    assert config.parse("xcdiff-64-hess-0") == ("xcdiff-64", "hess", 0)
    assert [config.model(key).hyperparameters for key in ("xcdiff", "xcdiff-64")] == [small, large]
    assert config.classes() == ["xcdiff"]
    with pytest.raises(UserError, match="model egxc is not in the config's models: xcdiff, xcdiff-64"):
        config.model("egxc")


def test_a_limit_that_is_not_set_changes_no_settings():
    assert "states_max_heavy" not in validate(SMALL).derivatives.model_dump(mode="json")
    assert (
        validate(changed("derivatives.states_max_heavy", 7)).derivatives.model_dump()["states_max_heavy"] == 7
    )


@pytest.mark.parametrize("name", ["benchmark", "paper"])
def test_other_configs_fit_schema_and_models(name):
    path = ROOT / "config" / f"{name}.yaml"
    jsonschema.validate(yaml.safe_load(path.read_text()), json.loads((ROOT / SCHEMA).read_text()))
    config = load(path)
    assert config.run == name
    assert {model.name for model in config.models} == {"nnmgga", "xcdiff", "skala-mgga", "egxc"}
    assert (config.training.losses, len(config.training.seeds)) == (["base", "grad", "hess"], 3)
    assert len(config.trained()) == 36
    for model in config.models:
        create(model.name, **model.hyperparameters)


def test_development_molecules_are_in_no_test_set():
    """Settings are chosen on them; the molecules trained on are the default run's."""
    names = ("development", "config", "benchmark")
    development, *others = [load(ROOT / "config" / f"{name}.yaml") for name in names]
    assert development.run == "development"
    assert len(development.molecules.test.names) == 12
    for other in others:
        assert development.molecules.train == other.molecules.train
        assert not set(development.molecules.test.names) & set(other.molecules.test.names)


def test_the_benchmark_extrapolates_in_size():
    chosen = load(ROOT / "config" / "benchmark.yaml").molecules
    sizes = [entry.composition.n_heavy for entry in Pool(chosen).take_named(chosen.test.names)]
    assert set(sizes) == {5, 6, 7, 9}
    assert 8 <= len(sizes) <= 12
    assert chosen.train.max_heavy == 4

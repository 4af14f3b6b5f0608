"""The config: what it accepts, how it says what is wrong, and that generated files are up to date."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from typer.testing import CliRunner

from dixc import create
from dixc.cli import app
from dixc.config import Config, load, validate, write
from dixc.config.__main__ import README, SCHEMA, schema_text, with_table
from dixc.errors import UserError
from dixc.molecules.pool import Pool
from dixc.workflow.functionals import check_functionals

ROOT = Path(__file__).parents[3]
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
        ("training.steps", 10**30, "training.steps: must be less than or equal to 1000000000, not 1000"),
        ("training.device", "tpu", "training.device: must be auto, cpu, cuda or cuda:N, the GPU of number N"),
        ("training.device", "cuda:1000", "training.device: must be auto, cpu, cuda or cuda:N"),
        ("run", "a" * 250, "run: must have at most 200 characters, not 250"),
        ("models", [{"name": "x" * 250}], "models[0].name: must have at most 100 characters, not 250"),
        (
            "evaluation.baselines",
            ["xcdiff-base-0"],
            "models and evaluation.baselines has 'xcdiff-base-0' more than",
        ),
        (
            "models",
            [{"name": "xcdiff", "hyperparameters": {"a": [1, float("nan")]}}],
            "models[0].hyperparameters.a[1]: must be a finite number, not nan",
        ),
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


NUMBERS = [
    ("training.steps", "1 to 1000000000"),
    ("training.seeds", "0 to 9223372036854775807"),
    ("training.learning_rate", "above 0, at most 1000"),
    ("training.density.weight", "0 to 1000000000000"),
    ("training.ema_decay", "from 0, below 1"),
    ("training.processes", "1 to 1024"),
    ("reference.conv_tol", "above 0, below 1"),
    ("reference.max_cycle", "1 to 1000000000"),
    ("derivatives.states_max_heavy", "0 to 1000000000"),
    ("molecules.seed", "0 to 9223372036854775807"),
    ("molecules.charges", "-1000 to 1000"),
    ("molecules.chunk_size", "1 to 1000000"),
    ("prefit.points", "1 to 10000000"),
    ("evaluation.scf.max_cycle", "1 to 1000000000"),
]


EXTREMES = {
    "2^63": 2**63,
    "10^400": 10**400,
    "16^5000": 16**5000,
    "1e308": 1e308,
    "inf": float("inf"),
    "-inf": float("-inf"),
    "nan": float("nan"),
}


@pytest.mark.parametrize("value", EXTREMES.values(), ids=EXTREMES)
@pytest.mark.parametrize(("path", "allowed"), NUMBERS)
def test_an_extreme_number_is_refused_with_the_allowed_range(path, allowed, value):
    several = path in ("training.seeds", "molecules.charges")
    with pytest.raises(UserError) as caught:
        validate(changed(path, [value] if several else value), "my.yaml")
    message = str(caught.value)
    assert message.startswith(f"my.yaml: {path}{'[0]' if several else ''}: must be ")
    assert message.endswith(f" (allowed: {allowed})")
    assert len(message) < 220


def test_every_number_of_the_config_has_bounds():
    def unbounded(schema: dict[str, Any], path: str) -> list[str]:
        found = []
        for name, field in schema.get("properties", {}).items():
            for part in (field, field.get("items", {}), *field.get("anyOf", [])):
                above = {"maximum", "exclusiveMaximum"} & part.keys()
                if part.get("type") in ("integer", "number") and not above:
                    found.append(f"{path}.{name}")
        return found

    schemas = {"Config": Config.model_json_schema(), **Config.model_json_schema()["$defs"]}
    found = [key for name, schema in schemas.items() for key in unbounded(schema, name)]
    # the number of molecules is bounded by that of files
    assert set(found) == {"SizeSelection.count", "NamedOrSizeSelection.count"}


def model(name: str, **hyperparameters: Any) -> tuple[str, list[dict[str, Any]]]:
    """A config's list of one model, as path and value."""
    return "models", [{"name": name, "hyperparameters": hyperparameters}]


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (*model("xcdif"), "models[0]: unknown functional 'xcdif'; available: "),
        (*model("nomodule:Class"), "models[0]: functional nomodule:Class: cannot import nomodule:Class"),
        (*model("pbe"), "models[0]: pbe has no weights to train"),
        (
            *model("xcdiff", depth=3),
            "models[0]: functional xcdiff: unknown hyperparameter 'depth'; known: n_hidden",
        ),
        (
            *model("xcdiff", n_hidden="many"),
            "models[0]: functional xcdiff: n_hidden must be a positive whole number",
        ),
        (
            *model("nnmgga", activation=[1]),
            "models[0]: functional nnmgga: activation must be one of gelu, elu",
        ),
        (*model("egxc", base="nope"), "models[0]: unknown functional 'nope'"),
        (*model("xcdiff", n_hidden=50_000), "models[0]: too large: more than 20000000 weights"),
        (*model("xcdiff", n_layers=50_000), "models[0]: too large: more than 1000 arrays of weights"),
        (*model("egxc", features=50_000), "models[0]: too large: more than 20000000 weights"),
        (
            *model("xcdiff", n_layers=10**12),
            "models[0].hyperparameters.n_layers: 1000000000000 is out of range",
        ),
        (*model("xcdiff", seed=2**63), "models[0].hyperparameters.seed: 9223372036854775808 is out of range"),
        (
            *model("xcdiff", n_hidden=16**5000),
            "models[0].hyperparameters.n_hidden: a number of 20001 bits is out",
        ),
        (
            *model("egxc", base_hyperparameters={"n_hidden": 10**9}),
            "models[0].hyperparameters.base_hyperparameters.n_hidden: 1000000000 is out of range",
        ),
        ("reference.functional", "b3lpy", "reference.functional: PySCF has no functional 'b3lpy'"),
        ("reference.functional", "wb97x-v", "reference.functional: 'wb97x-v' has non-local correlation"),
        ("prefit.target", "r2scna", "prefit.target: unknown functional 'r2scna'"),
        ("prefit.target", "xcdiff", "prefit.target: xcdiff is not classical"),
        (
            "evaluation.baselines",
            ["pbe", "r2scna"],
            "evaluation.baselines[1]: r2scna: neither a functional (",
        ),
    ],
)
def test_a_functional_that_cannot_be_used_is_named(path, value, message):
    config = validate(changed(path, value))
    with pytest.raises(UserError, match=f"^{re.escape(message)}") as caught:
        check_functionals(config)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("run", "small"),
        model("egxc", base_hyperparameters={"n_hidden": 8}),
        model("skala-mgga", n_hidden=512),
        ("evaluation.baselines", ["xcdiff-b3lyp", "lda"]),
        ("reference.functional", "0.3*HF + 0.7*PBE, PBE"),
    ],
    ids=["default", "egxc", "skala-mgga", "baselines", "formula"],
)
def test_functionals_that_can_be_used_pass(path, value):
    check_functionals(validate(changed(path, value)))


@pytest.mark.parametrize("command", [["molecules", "--out", "out"], ["plan"]])
def test_functionals_are_checked_before_molecules_are_read(tmp_path, command):
    wrong = changed(*model("xcdiff", depth=3))
    (tmp_path / "wrong.yaml").write_text(yaml.safe_dump(wrong))
    done = CliRunner().invoke(app, [*command, "--config", str(tmp_path / "wrong.yaml")])
    assert done.exit_code == 2
    (line,) = done.stderr.splitlines()
    # its file of molecules is not there either
    assert "unknown hyperparameter 'depth'" in line


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
    with pytest.raises(UserError, match=": cannot read: Is a directory"):
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


@pytest.mark.slow
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

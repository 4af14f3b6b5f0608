"""Model files: round trip, refusals, and that loading runs no code."""

import pickle
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

import dixc
from dixc.errors import UserError
from dixc.functionals import files, registry
from dixc.functionals.base import GridPoints

METADATA = {
    "model": "xcdiff",
    "loss": "hess",
    "seed": 0,
    "history": [1.0, 0.5],
    "nothing": None,
    "nested": {"a": True},
}


@pytest.fixture
def model():
    functional = registry.create("xcdiff", n_hidden=4, n_layers=2, seed=1)
    with torch.no_grad():
        functional.exchange.output.bias += 0.25
    return functional


@pytest.fixture
def path(tmp_path, model):
    target = tmp_path / "deep" / "model.pt"
    files.save(model, target, METADATA)
    return target


def rewrite(path, **changes):
    """The file at `path` with some entries replaced (None: removed)."""
    content = torch.load(path, weights_only=True) | changes
    torch.save({key: value for key, value in content.items() if value is not None}, path)


def refused(path):
    with pytest.raises(UserError) as caught:
        files.load(path)
    message = str(caught.value)
    assert str(path) in message
    assert "\n" not in message
    return message


def test_round_trip(path, model):
    for loaded in (dixc.load(path), files.load(str(path)), files.resolve(path)):
        assert loaded.metadata == METADATA
        assert loaded.hyperparameters == model.hyperparameters
        assert not loaded.training
        x = torch.tensor([[0.3], [0.1], [0.2]], dtype=torch.float64)
        grid = GridPoints(torch.ones(1, dtype=torch.float64))
        assert torch.equal(loaded(x, grid), model(x, grid))
    assert [p.name for p in path.parent.iterdir()] == ["model.pt"]


def test_classical_functional_and_overwriting(path):
    files.save(registry.create("pbe"), path, {})
    assert files.load(path).xctype == "GGA"


def test_float32_model_is_loaded_in_float64(tmp_path, model):
    files.save(model.to(torch.float32), tmp_path / "m.pt", {})
    assert all(p.dtype == torch.float64 for p in files.load(tmp_path / "m.pt").parameters())


def test_metadata_is_converted(tmp_path, model):
    metadata = {
        "a": np.float64(0.5),
        "b": np.arange(3),
        "c": (1, np.int64(2)),
        "d": Path("x/y"),
        "e": np.bool_(True),
    }
    files.save(model, tmp_path / "m.pt", metadata)
    loaded = files.load(tmp_path / "m.pt").metadata
    assert loaded == {"a": 0.5, "b": [0, 1, 2], "c": [1, 2], "d": "x/y", "e": True}
    assert type(loaded["a"]) is float


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        ({"a": {"b": [1, object()]}}, r"metadata.a.b\[1\]: a model file cannot hold a value of type object"),
        ({"a": {1: 2}}, "metadata.a: a key of a model file must be a string, not 1"),
    ],
)
def test_metadata_is_refused_before_anything_is_written(tmp_path, model, metadata, message):
    with pytest.raises(UserError, match=message):
        files.save(model, tmp_path / "m.pt", metadata)
    assert not list(tmp_path.iterdir())


def test_interrupted_save_leaves_the_old_file(path, model, monkeypatch):
    before = path.read_bytes()

    def fail(content, file):
        file.write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", fail)
    with pytest.raises(UserError, match=r"model\.pt: cannot write: No space left on device"):
        files.save(model, path, {})
    assert path.read_bytes() == before
    assert [p.name for p in path.parent.iterdir()] == ["model.pt"]


def test_missing_and_foreign_files(tmp_path):
    assert "no such model file" in refused(tmp_path / "nowhere.pt")
    assert "Is a directory" in refused(tmp_path)
    text = tmp_path / "text.pt"
    text.write_text("not a model")
    assert "not a model file" in refused(text)
    other = tmp_path / "other.pt"
    torch.save({"weights": torch.ones(2)}, other)
    assert "not a model file" in refused(other)
    with zipfile.ZipFile(other, "w") as archive:
        archive.writestr("readme", "an archive of something else")
    assert "not a model file" in refused(other)


@pytest.mark.parametrize("kept", [0.0, 0.3, 0.9, 0.999])
def test_truncated_file(path, kept):
    data = path.read_bytes()
    path.write_bytes(data[: int(kept * len(data))])
    assert "cut off" in refused(path)


@pytest.mark.slow
def test_changed_bytes_never_load_silently(path):
    data, rng = path.read_bytes(), np.random.default_rng(0)
    expected = files.load(path).state_dict()
    for _ in range(60):
        broken = bytearray(data)
        broken[rng.integers(len(data))] ^= 1 << rng.integers(8)
        path.write_bytes(bytes(broken))
        try:
            state = files.load(path).state_dict()
        except UserError:
            continue
        # what was changed must be padding or a time stamp of the archive
        assert all(torch.equal(state[key], expected[key]) for key in expected)


def test_newer_format(path):
    rewrite(path, version=files.VERSION + 1)
    assert f"model file of format {files.VERSION + 1}" in refused(path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"metadata": None}, "incomplete model file (no metadata)"),
        ({"version": None}, "no format version"),
        ({"name": "kxc"}, "unknown functional 'kxc'"),
        ({"hyperparameters": {"n_hidden": 4, "depth": 2}}, "unknown hyperparameter 'depth'"),
        ({"hyperparameters": {"n_hidden": "four"}}, "n_hidden must be a positive whole number"),
        ({"hyperparameters": {"n_hidden": 8, "n_layers": 2}}, "weights do not fit"),
        ({"hyperparameters": {1: 2}}, "keywords must be strings"),
        ({"state": {}}, "weights do not fit"),
        ({"state": {"exchange.output.bias": torch.tensor([float("nan")])}}, "are not finite numbers"),
    ],
)
def test_wrong_content(path, changes, message):
    rewrite(path, **changes)
    assert message in refused(path)


class Malicious:
    """Creates a file when unpickled."""

    def __init__(self, target):
        self.target = target

    def __reduce__(self):
        return Path.touch, (self.target,)


def test_loading_runs_no_code(tmp_path, path):
    witness = tmp_path / "witness"
    content = torch.load(path, weights_only=True)
    content["metadata"]["payload"] = Malicious(witness)
    torch.save(content, path)
    assert "more than numbers and text" in refused(path)
    path.write_bytes(pickle.dumps(Malicious(witness)))
    refused(path)
    assert not witness.exists()
    torch.save(content, path)
    torch.load(path, weights_only=False)
    assert witness.exists()  # the payload does work where it is let in


def test_own_class_is_required(tmp_path):
    with pytest.raises(UserError, match="Linear is not a functional of the registry"):
        files.save(torch.nn.Linear(1, 1), tmp_path / "m.pt", {})


FULL = """
import resource, sys
from dixc.errors import UserError
from dixc.functionals import files, registry
for limit in (15_000, 100):
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    try:
        files.save(registry.create("xcdiff"), sys.argv[1], {})
    except UserError as error:
        print(error)
"""


@pytest.mark.slow
def test_full_disk_leaves_the_old_file(path):
    before = path.read_bytes()
    done = subprocess.run([sys.executable, "-c", FULL, str(path)], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == 2 * f"{path}: cannot write: File too large\n"
    assert path.read_bytes() == before
    assert [file.name for file in path.parent.iterdir()] == ["model.pt"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"state": {"a": torch.zeros(1).expand(10**12)}}, "weights a claim to be larger than what is stored"),
        ({"hyperparameters": {"n_hidden": 10**9}}, "weights do not fit hyperparameter n_hidden = 1000000000"),
        ({"hyperparameters": {"n_hidden": 64, "n_layers": 64}}, "weights do not fit"),
        ({"hyperparameters": {"seed": torch.ones(2)}}, "cannot hold a value of type Tensor"),
        ({"metadata": {"seed": "../../x"}}, "metadata.seed is not what dixc writes there"),
    ],
)
def test_content_that_would_cost_or_mislead_is_refused_before_it_is_used(path, changes, message):
    rewrite(path, **changes)
    assert message in refused(path)


def test_compressed_files_are_refused_unread(path):
    with zipfile.ZipFile(path) as source:
        members = {name: source.read(name) for name in source.namelist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as target:
        for name, content in members.items():
            target.writestr(name, content)
    assert "compressed" in refused(path)

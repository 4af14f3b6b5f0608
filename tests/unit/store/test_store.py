import json
import os
import random
import subprocess
import sys

import h5py
import numpy as np
import pytest

from dixc.errors import UserError
from dixc.store import ChunkWriter, atomic_file, open_chunk, read_info
from dixc.store import files as store_files

SETTINGS = {"basis": "def2-svp", "conv_tol": 1e-10}


def writer(path, key="k1", **kwargs):
    return ChunkWriter(path, stage="reference", settings=SETTINGS, key=key, **kwargs)


def write(chunk, name, value=1.0, split="train"):
    arrays = {"dm": np.full((3, 3), value), "e": value}
    chunk.write(
        name, arrays, {"split": split, "n_heavy": 2, "charge": 0, "converged": True}, {"e": "hartree"}
    )


def make(path, names=("b", "a"), **kwargs):
    chunk = writer(path, **kwargs)
    for value, name in enumerate(names):
        write(chunk, name, value)
    chunk.finish(0.0)


def test_what_is_written_is_read(tmp_path):
    path = tmp_path / "new" / "train-000.h5"
    chunk = writer(path, attributes={"model": "xcdiff", "seed": 3})
    write(chunk, "zeta", 0.25)
    chunk.fail("alpha", "SCF not\nconverged", {"split": "train", "n_heavy": 1})
    chunk.finish(0.5)
    with open_chunk(path, stage="reference") as file:
        assert list(file) == ["zeta", "alpha"], "order of writing, not of the alphabet"
        assert (file.attrs["stage"], file.attrs["split"], file.attrs["model"], file.attrs["seed"]) == (
            "reference", "train", "xcdiff", 3,
        )  # fmt: skip
        assert json.loads(file.attrs["settings"]) == SETTINGS
        assert json.loads(file.attrs["provenance"])["numpy"] == np.__version__
        ok, failed = file["zeta"], file["alpha"]
        np.testing.assert_array_equal(ok["dm"], np.full((3, 3), 0.25))
        assert (ok["e"][()], ok["e"].attrs["unit"], ok["dm"].attrs["unit"]) == (0.25, "hartree", "1")
        assert (ok.attrs["status"], ok.attrs["name"], ok.attrs["n_heavy"]) == ("ok", "zeta", 2)
        assert bool(ok.attrs["converged"]) is True
        assert (failed.attrs["status"], failed.attrs["reason"]) == ("failed", "SCF not converged")
    assert os.listdir(path.parent) == [path.name], "no parts and no temporary files stay"
    info = read_info(path)
    assert info["failed"] == {"alpha": "SCF not converged"}
    assert info["molecules"] == ["zeta", "alpha"]
    assert (info["stage"], info["split"], info["settings"]) == ("reference", "train", SETTINGS)


def test_same_content_same_bytes(tmp_path):
    make(tmp_path / "a.h5")
    make(tmp_path / "b.h5")
    assert (tmp_path / "a.h5").read_bytes() == (tmp_path / "b.h5").read_bytes()


def test_mixed_splits_and_no_molecules(tmp_path):
    chunk = writer(tmp_path / "a.h5")
    write(chunk, "a", split="train")
    write(chunk, "b", split="test")
    chunk.finish(0.0)
    assert read_info(tmp_path / "a.h5")["split"] == ""
    writer(tmp_path / "b.h5").finish(0.0)
    assert read_info(tmp_path / "b.h5")["molecules"] == []


@pytest.mark.slow
def test_any_flipped_bit_is_refused_before_hdf5_opens_the_file(tmp_path, monkeypatch):
    path = tmp_path / "a.h5"
    make(path, names=["a"])
    good = path.read_bytes()

    def refuse(*args, **kwargs):
        raise AssertionError("HDF5 was let near a damaged file")

    monkeypatch.setattr(h5py, "File", refuse)
    rng = random.Random(0)
    bits = list(range(128 * 8)) + [8 * byte + rng.randrange(8) for byte in range(128, 512)]
    bits += rng.sample(range(512 * 8, len(good) * 8), 800) + list(range(len(good) * 8 - 64, len(good) * 8))
    for bit in bits:
        bad = bytearray(good)
        bad[bit // 8] ^= 1 << bit % 8
        path.write_bytes(bad)
        with pytest.raises(UserError, match=r"damaged|not a chunk|newer"), open_chunk(path):
            pass


@pytest.mark.parametrize("cut", [0, 5, 100, 511, 512, 513, -1])
def test_truncated_file_is_refused(tmp_path, cut):
    path = tmp_path / "a.h5"
    make(path)
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(UserError, match=r"a\.h5: (damaged|not a chunk)"), open_chunk(path):
        pass


def test_appended_bytes_are_refused(tmp_path):
    path = tmp_path / "a.h5"
    make(path)
    path.write_bytes(path.read_bytes() + b"x")
    with pytest.raises(UserError, match=r"damaged.*delete it"), open_chunk(path):
        pass


def test_missing_foreign_newer_and_other_stage(tmp_path, monkeypatch):
    def problem(path, stage=None):
        with pytest.raises(UserError) as caught, open_chunk(path, stage):
            pass
        assert "\n" not in str(caught.value)
        return str(caught.value).removeprefix(f"{path}: ")

    path = tmp_path / "a.h5"
    assert problem(path) == "no such file"
    assert problem(tmp_path) == "cannot read: Is a directory"
    with h5py.File(path, "w") as file:
        file["x"] = 1
    assert problem(path) == "not a chunk file of dixc"
    make(path)
    assert problem(path, "scf") == "a file of the stage 'reference', where one of 'scf' is needed"
    monkeypatch.setattr(store_files, "FORMAT_VERSION", 7)
    make(path)
    monkeypatch.undo()
    assert problem(path) == "written by a newer dixc (format 7, this one knows 1)"


def test_files_are_read_only(tmp_path):
    make(tmp_path / "a.h5")
    with open_chunk(tmp_path / "a.h5") as file, pytest.raises(ValueError, match="no write intent"):
        file.create_group("x")


KILLED = """
import os, sys, numpy as np
from dixc.store import ChunkWriter
chunk = ChunkWriter(sys.argv[1], stage="reference", settings={}, key="k")
for name in ["m3", "m1", "m2"]:
    if not chunk.has(name):
        print("computing", name, flush=True)
        if name == sys.argv[2]:
            os.kill(os.getpid(), 9)
        chunk.write(name, {"x": np.arange(3)}, {"split": "test"})
chunk.finish(0.0)
"""


@pytest.mark.slow
def test_resume_after_a_kill_keeps_finished_molecules_and_their_order(tmp_path):
    path = tmp_path / "a.h5"

    def run(kill):
        return subprocess.run([sys.executable, "-c", KILLED, path, kill], capture_output=True, text=True)

    first = run("m2")
    assert first.returncode == -9
    assert first.stdout.split() == ["computing", "m3", "computing", "m1", "computing", "m2"]
    assert not path.exists()
    second = run("none")
    assert second.returncode == 0, second.stderr
    assert second.stdout.split() == ["computing", "m2"]
    assert read_info(path)["molecules"] == ["m3", "m1", "m2"]
    assert os.listdir(tmp_path) == ["a.h5"]


def test_damaged_part_is_computed_again(tmp_path):
    chunk = writer(tmp_path / "a.h5")
    write(chunk, "a")
    write(chunk, "b")
    part = next(chunk.parts_folder.iterdir())
    part.write_bytes(part.read_bytes()[:-3])
    again = writer(tmp_path / "a.h5")
    assert sorted([again.has("a"), again.has("b")]) == [False, True]


@pytest.mark.parametrize("change", ["key", "settings", "attributes"])
def test_parts_of_other_inputs_are_removed(tmp_path, change):
    path = tmp_path / "a[1].h5"
    first = writer(path)
    write(first, "a")
    other = writer(tmp_path / "a1.h5")
    kwargs = {"stage": "reference", "settings": SETTINGS, "key": "k1", "attributes": None}
    kwargs[change] = {"key": "k2", "settings": {"basis": "sto-3g"}, "attributes": {"seed": 1}}[change]
    second = ChunkWriter(path, **kwargs)
    assert not second.has("a")
    assert not first.parts_folder.exists()
    assert other.parts_folder.exists(), "another file's parts are none of ours"


def test_too_many_failures_name_molecules_and_reasons_and_are_tried_again(tmp_path):
    path = tmp_path / "a.h5"
    chunk = writer(path)
    write(chunk, "good")
    chunk.fail("bad1", "SCF not converged", {"split": "train"})
    chunk.fail("bad2", "no basis", {"split": "train"})
    with pytest.raises(UserError) as caught:
        chunk.finish(0.5)
    assert str(caught.value) == (
        f"{path}: 2 of 3 molecules failed, more than the allowed 50%: "
        "bad1 (SCF not converged); bad2 (no basis)"
    )
    assert not path.exists()
    again = writer(path)
    assert again.has("good")
    assert not again.has("bad1")
    write(again, "bad1")
    again.fail("bad2", "no basis", {})
    again.finish(1 / 3)
    assert read_info(path)["failed"] == {"bad2": "no basis"}


def test_long_lists_of_failures_are_cut(tmp_path):
    chunk = writer(tmp_path / "a.h5")
    for i in range(30):
        chunk.fail(f"m{i}", "x", {})
    with pytest.raises(UserError, match=r"m19 \(x\); and 10 more$"):
        chunk.finish(0.2)


def test_molecule_without_result_is_a_bug(tmp_path):
    chunk = writer(tmp_path / "a.h5")
    chunk.has("forgotten")
    with pytest.raises(RuntimeError, match="no result of forgotten"):
        chunk.finish(0.0)


FULL = """
import resource, sys, numpy as np
from dixc.errors import UserError
from dixc.store import ChunkWriter
chunk = ChunkWriter(sys.argv[1], stage="reference", settings={}, key="k")
for i in range(6):
    chunk.write(f"m{i}", {"x": np.random.default_rng(i).random(3000)}, {"split": "test"})
size = int(sys.argv[2])
resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
try:
    chunk.write("big", {"x": np.zeros(20000)}, {})
except UserError as error:
    print(error)
try:
    chunk.finish(0.0)
except UserError as error:
    print(error)
"""


@pytest.mark.slow
@pytest.mark.parametrize("limit", [30_000, 100_000, 140_000])
def test_full_disk_leaves_nothing_half_written_and_no_crash(tmp_path, limit):
    path = tmp_path / "a.h5"
    path.write_bytes(b"the old file")
    done = subprocess.run([sys.executable, "-c", FULL, path, str(limit)], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert len(lines) == 2
    assert all(line.endswith("cannot write: File too large") for line in lines)
    assert path.read_bytes() == b"the old file"
    assert not [f for _, _, names in os.walk(tmp_path) for f in names if f.endswith(".tmp")]
    resumed = ChunkWriter(path, stage="reference", settings={}, key="k")
    assert all(resumed.has(f"m{i}") for i in range(6))
    resumed.finish(0.0)
    assert len(read_info(path)["molecules"]) == 6


def test_places_that_cannot_be_written_are_refused_at_the_start(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot write: a part of its path is a file"):
        writer(tmp_path / "file" / "a.h5")
    with pytest.raises(UserError, match="cannot write: it is a folder"):
        writer(tmp_path)
    monkeypatch.setattr(os, "mkdir", _denied)
    with pytest.raises(UserError, match="cannot write: Permission denied"):
        writer(tmp_path / "a.h5")


def _denied(*args, **kwargs):
    raise PermissionError(13, "Permission denied")


def test_atomic_file_keeps_the_old_file_on_any_error(tmp_path, monkeypatch):
    path = tmp_path / "a"
    with atomic_file(path) as file:
        file.write(b"old")
    with pytest.raises(TypeError), atomic_file(path) as file:
        file.write(b"new" + 1)
    monkeypatch.setattr(os, "replace", _denied)
    with pytest.raises(UserError, match=r"a: cannot write: Permission denied"), atomic_file(path) as file:
        file.write(b"new")
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["a"]


FULL_TEXT = """
import resource, sys
from dixc.errors import UserError
from dixc.store import atomic_file
resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000))
try:
    with atomic_file(sys.argv[1]) as file:
        file.write(b"x" * 9000)
except UserError as error:
    print(error)
"""


def test_text_on_a_full_disk_is_not_cut_short(tmp_path):
    done = subprocess.run([sys.executable, "-c", FULL_TEXT, tmp_path / "a"], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.strip() == f"{tmp_path / 'a'}: cannot write: File too large"
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("name", ["", "a/b", "."])
def test_names_that_hdf5_would_misread(tmp_path, name):
    with pytest.raises(ValueError, match="cannot be the name"):
        write(writer(tmp_path / "a.h5"), name)

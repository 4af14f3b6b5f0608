import json
import subprocess
import sys

import numpy as np
import pytest

import dixc
from dixc import provenance
from dixc.errors import UserError


def test_collect_is_json_and_complete():
    found = json.loads(json.dumps(provenance.collect()))
    for key in (
        "dixc",
        "commit",
        "dirty",
        "python",
        "pyscf",
        "libxc",
        "torch",
        "numpy",
        "h5py",
        "platform",
        "threads",
    ):
        assert key in found
    assert found["dixc"] == dixc.__version__
    assert found["numpy"] == np.__version__
    assert found["threads"] >= 1


def test_collect_imports_nothing_heavy():
    code = (
        "import sys, dixc.provenance as p; p.collect(); "
        "print([m for m in ('torch', 'pyscf', 'ase') if m in sys.modules], p.collect()['libxc'])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["[]", "unknown"]


def test_libxc_version_once_pyscf_is_there():
    import pyscf.lib  # noqa: F401

    assert provenance.collect()["libxc"][0].isdecimal()


def _git(folder, *args):
    identity = ["-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false"]
    subprocess.run(["git", "-C", str(folder), *identity, *args], check=True, capture_output=True)


def test_commit_and_dirty_flag(tmp_path):
    commit = provenance._commit.__wrapped__
    assert commit(tmp_path) == ("unknown", None)
    _git(tmp_path, "init")
    assert commit(tmp_path) == ("unknown", None), "no commit yet"
    (tmp_path / "a").write_text("1")
    _git(tmp_path, "add", "a")
    _git(tmp_path, "commit", "-m", "a")
    (tmp_path / "untracked").write_text("1")
    digits, dirty = commit(tmp_path)
    assert len(digits) == 40
    assert dirty is False
    (tmp_path / "a").write_text("2")
    assert commit(tmp_path) == (digits, True)


def test_commit_of_a_surrounding_checkout_is_not_ours(tmp_path):
    _git(tmp_path, "init")
    inside = tmp_path / "site-packages"
    inside.mkdir()
    assert provenance._commit.__wrapped__(inside) == ("unknown", None)


def test_hash_is_canonical_and_stable(tmp_path):
    value = {"b": [1, 2.5, None, True], "a": {"x": "ü"}}
    assert provenance.hash_of(value) == provenance.hash_of({"a": {"x": "ü"}, "b": (1, 2.5, None, True)})
    assert provenance.hash_of({"a": 1}) == "015abd7f5cc57a2d", (
        "a change makes every unfinished run start anew"
    )
    assert provenance.hash_of({"a": np.float64(0.1), "p": tmp_path}) == provenance.hash_of(
        {"p": str(tmp_path), "a": 0.1}
    )
    assert provenance.hash_of({"a": 1}) != provenance.hash_of({"a": 2})
    with pytest.raises(TypeError, match="cannot hash a object"):
        provenance.hash_of({"a": object()})


def test_file_hash(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(b"abc")
    assert provenance.file_hash(path) == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    with pytest.raises(UserError, match="no such file"):
        provenance.file_hash(tmp_path / "b")
    with pytest.raises(UserError, match="cannot read"):
        provenance.file_hash(tmp_path)

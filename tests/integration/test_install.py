"""dixc, installed, is found from every folder, the one above a clone called `dixc` included."""

from __future__ import annotations

import shutil
import subprocess
import sys
import sysconfig
from importlib.util import find_spec
from pathlib import Path

import pytest

import dixc

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = """\
import dixc, dixc.pyscf
from importlib.resources import files
print(dixc.__version__, dixc.load("xcdiff-b3lyp").metadata["model"])
print((files("dixc") / "report" / "templates" / "style.css").is_file())
print(dixc.__file__)
"""


def call(folder: Path, *command: str) -> list[str]:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.splitlines()


@pytest.fixture
def above(tmp_path) -> Path:
    """A folder with a clone called `dixc` and a script beside it."""
    clone = tmp_path / "dixc"
    shutil.copytree(ROOT / "dixc", clone / "dixc", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, clone)
    (tmp_path / "script.py").write_text(SCRIPT)
    return tmp_path


@pytest.fixture
def python(tmp_path) -> str:
    """The interpreter of an environment that has what this one has, but no dixc: no .pth file here is read there."""
    call(tmp_path, sys.executable, "-m", "venv", "--without-pip", "environment")
    python = str(tmp_path / "environment" / "bin" / "python")
    (inner,) = call(tmp_path, python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))")
    (Path(inner) / "outer.pth").write_text(sysconfig.get_path("purelib"))
    return python


@pytest.mark.skipif(find_spec("pip") is None, reason="an environment without pip")
@pytest.mark.parametrize("editable", [True, False])
def test_found_from_the_folder_above_the_clone(above, python, editable):
    pip = [sys.executable, "-m", "pip", "--python", python, "--disable-pip-version-check", "install", "-q"]
    options = ["--no-deps", "--no-build-isolation", "--no-index"]
    call(above, *pip, *options, *(["-e"] if editable else []), "./dixc")
    assert call(above, python, "-c", "import dixc; print(dixc.__version__)") == [dixc.__version__]
    for program in (["script.py"], ["-c", SCRIPT]):
        version, has_style, place = call(above, python, *program)
        assert version == f"{dixc.__version__} xcdiff"
        assert has_style == "True"
        assert Path(place).is_relative_to(above / "dixc") == editable
    assert call(above, python, "-m", "dixc", "--version") == [f"dixc {dixc.__version__}"]
    assert call(above, str(Path(python).parent / "dixc"), "--version") == [f"dixc {dixc.__version__}"]

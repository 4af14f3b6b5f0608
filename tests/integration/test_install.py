"""An installed dixc: it is found from every folder, and SCF needs no package of an extra."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import sysconfig
from importlib.util import find_spec
from pathlib import Path

import pytest
import tomllib

import dixc
from dixc.extras import PACKAGES

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = """\
import dixc, dixc.pyscf
from importlib.resources import files
print(dixc.__version__, dixc.load("xcdiff-b3lyp").metadata["model"])
data = ("report/templates/style.css", "py.typed", "workflow/costs.csv")
print(all((files("dixc") / name).is_file() for name in data))
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
        version, has_files, place = call(above, python, *program)
        assert version == f"{dixc.__version__} xcdiff"
        assert has_files == "True"
        assert Path(place).is_relative_to(above / "dixc") == editable
    assert call(above, python, "-m", "dixc", "--version") == [f"dixc {dixc.__version__}"]
    assert call(above, str(Path(python).parent / "dixc"), "--version") == [f"dixc {dixc.__version__}"]


MISSING = ["e3nn", "jinja2", "matplotlib", "pandas", "pygments", "snakemake", "yaml"]
WITHOUT = f"""\
import sys

class Refused:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {MISSING}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Refused())
"""
SCF = """
import dixc, dixc.pyscf
from pyscf import dft, gto
mol = gto.M(atom="O 0 0 0.1178; H 0 0.7555 -0.4712; H 0 -0.7555 -0.4712", basis="sto-3g", verbose=0)
assert -76 < dixc.pyscf.RKS(mol, xc="xcdiff-b3lyp").run().e_tot < -75
hybrid = dft.RKS(mol, xc="b3lyp")
accelerated = dixc.pyscf.accelerate(hybrid, xc="xcdiff-b3lyp").run()
assert accelerated.converged and abs(accelerated.e_tot - hybrid.run().e_tot) < 1e-7
assert not {*sys.modules} & {*%s}
"""
COMMAND = """
from dixc.cli import main
sys.argv = ["dixc", *sys.argv[1:]]
main()
"""


def without_extras(tmp_path, program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """A program in an interpreter in which dixc is installed alone, without an extra."""
    command = [sys.executable, "-c", WITHOUT + program, *arguments]
    return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)


def test_scf_and_accelerate_need_no_extra(tmp_path):
    done = without_extras(tmp_path, SCF % MISSING)
    assert done.returncode == 0, done.stderr


def test_commands_for_molecules_need_no_extra(tmp_path):
    (tmp_path / "h2.xyz").write_text("2\n\nH 0 0 0\nH 0 0 0.74\n")
    options = ["--basis", "sto-3g", "--grid-level", "0"]
    done = without_extras(tmp_path, COMMAND, "scf", "h2.xyz", *options, "--out", "h2.jsonl")
    assert done.returncode == 0, done.stderr
    done = without_extras(tmp_path, COMMAND, "scf", "h2.xyz", *options, "--hybrid", "b3lyp", "--accelerate")
    assert done.returncode == 0, done.stderr
    done = without_extras(tmp_path, COMMAND, "models")
    assert done.returncode == 0, done.stderr
    rows = {line.split()[0]: line for line in done.stdout.splitlines()}
    assert "needs the package e3nn: pip install 'dixc[egxc]'" in rows["egxc"]
    for name in ("pbe", "xcdiff", "nnmgga", "skala-mgga", "xcdiff-b3lyp"):
        assert "cannot be created" not in rows[name]


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (
            ["report", "--config", "a.yaml", "--tables", "tables", "--out", "report.html"],
            "this command needs the package yaml: pip install 'dixc[workflow]'",
        ),
        (["plan", "--config", "a.yaml"], "this command needs the package yaml: pip install 'dixc[workflow]'"),
        (
            ["scf", "h2.xyz", "--xc", "egxc"],
            "functional egxc: needs the package e3nn: pip install 'dixc[egxc]'",
        ),
    ],
)
def test_a_missing_extra_is_said_in_one_line(tmp_path, arguments, line):
    (tmp_path / "a.yaml").write_text("run: a\n")
    (tmp_path / "h2.xyz").write_text("2\n\nH 0 0 0\nH 0 0 0.74\n")
    done = without_extras(tmp_path, COMMAND, *arguments)
    assert done.returncode == 2
    assert done.stderr == f"dixc: error: {line}\n"
    assert done.stdout == ""


def test_create_says_which_extra_is_missing(tmp_path):
    program = """
import dixc
from dixc.errors import InputError
for name in ("egxc", "dixc.functionals.egxc.functional:EGXC"):
    try:
        dixc.create(name)
    except InputError as error:
        print(error)
"""
    done = without_extras(tmp_path, program)
    assert done.stdout.count("needs the package e3nn: pip install 'dixc[egxc]'") == 2, done.stderr


def test_the_packages_of_extras_are_those_that_pip_installs():
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    for extra, packages in PACKAGES.items():
        declared = {re.match(r"[\w-]+", requirement)[0] for requirement in extras[extra]}
        # pygments is imported by Snakemake alone
        assert declared - {"pygments"} == {{"yaml": "pyyaml"}.get(package, package) for package in packages}

"""Files of others: what is no file, what leads elsewhere, and text that steers a terminal or a spreadsheet."""

from __future__ import annotations

import csv
import io
import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from dixc.cli import app
from dixc.config.sections import MoleculeFile
from dixc.display import Harmless, harmless
from dixc.errors import UserError
from dixc.inputs import require_regular
from dixc.molecules import sources
from dixc.store import open_chunk, write_csv
from dixc.store.csvtext import csv_bytes, inert
from dixc.store.files import write_chunk

CONFIG = """\
run: small
molecules:
  files: [{path: FILE, exclude: LIST}]
  train: {count: 1, min_heavy: 1, max_heavy: 1}
  validation: {count: 1, min_heavy: 0, max_heavy: 0}
  test: {names: [a]}
reference: {basis: sto-3g, grid_level: 0}
"""
# X stands for what is no file
COMMANDS = [
    "scf X", "scf a.xyz --xc X", "scf X --hybrid b3lyp", "info X",
    "molecules --config X --out out", "molecules --config file.yaml --out out",
    "molecules --config list.yaml --out out",
    "plan --config X", "plan --config file.yaml",
    "reference X --config good.yaml --out out/r.h5", "derivatives X --config good.yaml --out out/d.h5",
    "prefit --config good.yaml --model xcdiff --seed 0 --reference X --out out/m.pt",
    "evaluate pbe --reference X --config good.yaml --out out/s.h5",
    "evaluate X --reference X --config good.yaml --out out/s.h5",
    "warmstart pbe --reference X --scf X --config good.yaml --out out/w.csv",
    "tddft pbe --reference X --scf X --derivatives X --config good.yaml --out out/t.csv",
    "tables --config good.yaml --scf X --out out", "report --config good.yaml --tables tables --out out/r.html",
    "train --config good.yaml --model xcdiff --loss base --seed 0 --start X --train-reference X --train-derivatives X "
    "--validation-reference X --out out/m.pt --log out/l.csv --checkpoints out/c",
]  # fmt: skip


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    (tmp_path / "a.xyz").write_text("1\nname=a\nHe 0 0 0\n")
    os.mkfifo("pipe")
    Path("folder").mkdir()
    server = socket.socket(socket.AF_UNIX)
    server.bind("socket")
    yield tmp_path
    server.close()


# --- no files


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("what", ["pipe", "/dev/zero"])
def test_no_command_waits_for_a_pipe_or_reads_a_device(folder, command, what):
    for name, file, listed in (("good", "a.xyz", "null"), ("file", what, "null"), ("list", "a.xyz", what)):
        Path(f"{name}.yaml").write_text(CONFIG.replace("FILE", file).replace("LIST", listed))
    Path("tables").mkdir()
    for name in ("scf", "warmstart", "tddft", "summary"):
        Path("tables", f"{name}.csv").symlink_to(folder / what)
    done = CliRunner().invoke(app, command.replace("X", what).split())
    assert done.exit_code == 2, done.exception
    assert "cannot read: it is a " in done.stderr
    assert done.stderr.startswith("dixc: error: ")
    assert done.stderr.count("\n") == 1
    assert not [path for path in Path("out").rglob("*") if path.is_file()]


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/dev/zero", "a device"),
        ("pipe", "a pipe"),
        ("socket", "a socket"),
        ("folder", "Is a directory"),
        ("a\0b", "not a name"),
    ],
)
def test_what_is_no_file_is_named(folder, path, kind):
    with pytest.raises(UserError, match=kind):
        require_regular(path)
    require_regular("a.xyz")
    require_regular("not there")


def test_a_pipe_in_a_folder_or_table_of_molecules_is_refused(folder):
    os.rename("pipe", "folder/x.xyz")
    Path("table.csv").write_text("file\nfolder/x.xyz\n")
    for path in ("folder", "table.csv"):
        with pytest.raises(UserError, match=r"x\.xyz: cannot read: it is a pipe"):
            list(sources.entries(MoleculeFile(path=path)))


def test_tables_without_end_are_refused(folder):
    for text in ("a" * 2**21, '"' + "a" * 200_000 + '"\nx\n', "file\n" + "a" * 2**21):
        Path("table.csv").write_text(text)
        with pytest.raises(UserError, match="not a"):
            list(sources.entries(MoleculeFile(path="table.csv")))


def test_a_list_with_a_byte_order_mark_leaves_out_its_first_molecule_too(folder):
    Path("list.txt").write_bytes(b"\xef\xbb\xbfa\n")
    assert list(sources.entries(MoleculeFile(path="a.xyz", exclude="list.txt"))) == []


# --- HDF5 that leads elsewhere


def soft(file):
    file["a/x"] = h5py.SoftLink("/b")


def external(file):
    file["a"] = h5py.ExternalLink("secret.h5", "x")


def dangling(file):
    file.create_group("a/b")["x"] = h5py.ExternalLink("none.h5", "x")


def virtual(file):
    layout = h5py.VirtualLayout((3,), "f8")
    layout[:] = h5py.VirtualSource("secret.h5", "x", (3,))
    file.create_group("a").create_virtual_dataset("x", layout)


def outside(file):
    file.create_dataset("a/x", (3,), "f8", external=[("secret.bin", 0, 24)])


def enormous(file):
    file.create_dataset("a/x", (10**9, 10**6), "f8")


def compressed(file):
    file.create_dataset("a/x", data=np.zeros((2000, 2000)), compression="gzip")


@pytest.mark.parametrize("fill", [soft, external, dangling, virtual, outside, enormous, compressed])
def test_hdf5_that_leads_elsewhere_is_refused_and_not_followed(folder, fill):
    with h5py.File("secret.h5", "w") as file:
        file["x"] = np.arange(3.0)
    Path("secret.bin").write_bytes(bytes(24))
    path = folder / "chunk.h5"
    write_chunk(path, "reference", {"split": "", "settings": "{}", "provenance": "{}"}, fill)
    with pytest.raises(UserError, match=r"chunk.h5: not as dixc writes it \(a") as caught, open_chunk(path):
        pass
    assert "\n" not in str(caught.value)
    done = CliRunner().invoke(app, ["info", "chunk.h5"])
    assert (done.exit_code, done.stdout) == (2, "")


def test_plain_hdf5_of_every_kind_is_read(folder):
    def fill(file):
        file.create_group("a").attrs["name"] = "a"
        for name, value in {
            "empty": np.zeros((0, 3)),
            "one": 1.0,
            "text": "x",
            "texts": ["x", "yy"],
            "many": np.ones((9, 9)),
        }.items():
            file[f"a/{name}"] = value

    write_chunk(folder / "chunk.h5", "reference", {}, fill)
    with open_chunk("chunk.h5") as file:
        assert len(file["a"]) == 5


# --- terminals

ATTACK = "\x1b]0;owned\x07\x1b[2J\x9b31m\r\x08\u202eevil"


def is_harmless(text: str) -> bool:
    return not set(text) & set("\x1b\x07\x9b\r\x08\u202e")


@pytest.mark.parametrize(
    "arguments",
    [["scf", "x.xyz", "--xc", "lda", "--basis", "sto-3g"], ["scf", f"no{ATTACK}.xyz"], ["scf", "a.xyz", "--xc", ATTACK],
     ["scf", "a.xyz", "--basis", f"b{ATTACK}"], ["scf", "a.xyz", "--hybrid", ATTACK], [ATTACK], ["info", "model.pt"],
     ["info", "chunk.h5"], ["info", "chunk.h5", "--json"], ["info", "data.csv"], ["info", f"{ATTACK}.xyz"],
     ["molecules", "--config", "c.yaml", "--out", "o"], ["scf", "model.xyz", "--xc", "model.pt", "--basis", "sto-3g"]],
)  # fmt: skip
def test_text_of_others_does_not_steer_the_terminal(folder, arguments):
    from dixc.functionals import files, registry

    metadata = {"model": ATTACK, "loss": "hess", "seed": 0, "elements": ["H"], "note": "a\ndixc: error: fake"}
    files.save(registry.create("xcdiff", n_hidden=3, n_layers=1), folder / "model.pt", metadata)
    attributes = {"split": ATTACK, "settings": json.dumps({ATTACK: ATTACK}), "provenance": "{}"}
    write_chunk(folder / "chunk.h5", "reference" + ATTACK.replace("\0", ""), attributes, lambda file: None)
    for name in ("x.xyz", f"{ATTACK}.xyz"):
        Path(name).write_text(f'1\nname="{ATTACK}"\nX{ATTACK} 0 0 0\n')
    Path("model.xyz").write_text("1\nname=a\nHe 0 0 0\n")
    Path("data.csv").write_text(f"{ATTACK},b\n1,2\n")
    Path("c.yaml").write_text(f'"a{json.dumps(ATTACK)[1:-1]}": 1\n')
    done = CliRunner().invoke(app, arguments)
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    assert is_harmless(done.output), ascii(done.output)
    assert "\ndixc: error: fake" not in done.output
    assert done.output


def test_what_is_harmless_stays_and_json_keeps_its_values():
    assert harmless("a\tb\nc Å 水 é") == "a\tb\nc Å 水 é"
    assert json.loads(harmless(json.dumps({"x": "\x7f" + ATTACK}, ensure_ascii=False))) == {
        "x": "\x7f" + ATTACK
    }
    assert is_harmless(harmless(ATTACK))


@pytest.mark.parametrize(
    ("encoding", "shown"), [("ascii", "\\xe9 \\udcff"), ("latin-1", "é \\udcff"), ("utf-8", "é \\udcff")]
)
def test_no_terminal_stumbles_over_a_character(encoding, shown):
    raw = io.BytesIO()
    below = io.TextIOWrapper(raw, encoding=encoding, write_through=True)
    print("é \udcff", file=Harmless(below), end="")
    assert raw.getvalue().decode(encoding) == shown


def test_a_file_name_that_is_no_text_is_shown(folder):
    name = b"\xff\x1b.xyz"
    Path(os.fsdecode(name)).write_text("1\nname=a\nHe 0 0 0\n")
    command = [sys.executable, "-m", "dixc", "info", name]
    done = subprocess.run(command, capture_output=True, env=os.environ | {"PYTHONIOENCODING": "utf-8"})
    assert done.returncode == 0, done.stderr
    assert b"\\udcff\\u001b.xyz" in done.stdout


# --- spreadsheets


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r", "\n", "＝"])
def test_no_text_of_a_table_is_a_formula(folder, start):
    text = f'{start}HYPERLINK("http://x")'
    write_csv(folder / "t.csv", pd.DataFrame({"name": [text, "water"], "x": [-1.5, 2.0]}), {})
    with open("t.csv", newline="") as file:
        rows = list(csv.reader(file))
    assert rows == [["name", "x"], ["'" + text, "-1.5"], ["water", "2.0"]]
    assert inert(inert(text)) == inert(text)


@pytest.mark.parametrize(
    "value", ["-1.5", "-76.1 -76.2", "+1e-05", "", "a=b", "H2O", "C=O", "-", -1.5, None, True]
)
def test_numbers_and_other_text_stay(value):
    assert inert(value) == (value if value != "-" else "'-")


def test_tables_without_text_of_others_are_as_pandas_writes_them():
    table = pd.DataFrame(
        {"a": ["x", "-1.0 -2.0"], "b": [1.5, np.nan], "c": pd.array([1, None], "Int64"), "d": [True, False]}
    )
    assert csv_bytes(table) == table.to_csv(index=False).encode()
    assert csv_bytes(table[:0]) == table[:0].to_csv(index=False).encode()


def test_the_list_of_molecules_has_no_formulas(folder):
    atoms = "".join(
        f'1\nname=m{i} smiles="=1+{i}"\n{symbol} 0 0 0\n' for i, symbol in enumerate(("He", "Ne", "Ar"))
    )
    Path("=m.xyz").write_text(atoms)
    text = CONFIG.replace("{path: FILE, exclude: LIST}", '"=m.xyz"').replace("names: [a]", "names: [m2]")
    text = text.replace("heavy: 0", "heavy: 1")
    Path("c.yaml").write_text(text)
    done = CliRunner().invoke(app, ["molecules", "--config", "c.yaml", "--out", "out"])
    assert done.exit_code == 0, done.output
    rows = list(csv.DictReader(Path("out/molecules.csv").read_text().splitlines()))
    assert {row["smiles"] for row in rows} == {"'=1+0", "'=1+1", "'=1+2"}
    assert {row["source"] for row in rows} == {"'=m.xyz"}

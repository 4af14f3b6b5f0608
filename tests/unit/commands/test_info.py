"""`dixc info` and provenance, on a whole chain of real commands for three molecules in a minimal basis."""

from __future__ import annotations

import json

import pandas as pd
import pytest
from typer.testing import CliRunner

import dixc
from dixc import provenance
from dixc.cli import app
from dixc.config import load, write
from dixc.store import read_info, sidecar

runner = CliRunner()
MOLECULES = """3
name=water
O 0 0 0.1178
H 0 0.7555 -0.4712
H 0 -0.7555 -0.4712
2
name=fluoride
F 0 0 0
H 0 0 0.92
2
name=hydrogen
H 0 0 0
H 0 0 0.74
"""
CONFIG = """
run: small
molecules:
  files: [three.xyz]
  train: {count: 1, min_heavy: 1, max_heavy: 1}
  validation: {count: 1, min_heavy: 0, max_heavy: 0}
  test: {names: [fluoride]}
reference: {basis: sto-3g, grid_level: 0}
derivatives: {n_states: 2}
models: [{name: xcdiff, hyperparameters: {n_hidden: 4, n_layers: 1}}]
prefit: {steps: 2, points: 200}
training: {losses: [grad], steps: 2, grid_level: 0, validate_every: 2, checkpoint_every: 1}
evaluation: {tddft: {n_states: 1}}
"""


def dixc_command(*arguments: str) -> str:
    done = runner.invoke(app, list(arguments))
    assert done.exit_code == 0, done.output + repr(done.exception)
    return done.stdout


def info(path) -> dict:
    return json.loads(dixc_command("info", str(path), "--json"))


@pytest.fixture(scope="module")
def chain(tmp_path_factory):
    """Working folder with one file of each kind, made by the commands of the workflow."""
    folder = tmp_path_factory.mktemp("chain")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("OMP_NUM_THREADS", "1")
        (folder / "three.xyz").write_text(MOLECULES)
        (folder / "my.yaml").write_text(CONFIG)
        write(load("my.yaml"), "config.yaml")
        _run_all()
        yield folder


def _run_all() -> None:
    config = ["--config", "config.yaml"]
    dixc_command("molecules", *config, "--out", "molecules")
    for split in ("train", "validation", "test"):
        dixc_command("reference", f"molecules/{split}-000.xyz", *config, "--out", f"ref/{split}.h5")
    for split in ("train", "test"):
        dixc_command("derivatives", f"ref/{split}.h5", *config, "--out", f"der/{split}.h5")
    model = [*config, "--model", "xcdiff", "--seed", "0"]
    dixc_command("prefit", *model, "--reference", "ref/train.h5", "--out", "prefit.pt")
    training = ["--train-reference", "ref/train.h5", "--train-derivatives", "der/train.h5"]
    training += ["--validation-reference", "ref/validation.h5", "--loss", "grad", "--start", "prefit.pt"]
    kept = ["--out", "model.pt", "--log", "log.csv", "--checkpoints", "checkpoints"]
    dixc_command("train", *model, *training, *kept)
    of_test = [*config, "--reference", "ref/test.h5"]
    dixc_command("evaluate", "model.pt", *of_test, "--out", "scf.h5")
    dixc_command("warmstart", "model.pt", *of_test, "--scf", "scf.h5", "--out", "warm.csv")
    dixc_command(
        "tddft", "model.pt", *of_test, "--scf", "scf.h5", "--derivatives", "der/test.h5", "--out", "td.csv"
    )
    parts = ["--scf", "scf.h5", "--warmstart", "warm.csv", "--tddft", "td.csv"]
    dixc_command("tables", *config, *parts, "--out", "tables")
    dixc_command("report", *config, "--tables", "tables", "--training", "log.csv", "--out", "report.html")


MADE_BY_A_STAGE = ["ref/train.h5", "der/train.h5", "scf.h5", "prefit.pt", "model.pt", "log.csv", "warm.csv",
                   "td.csv", "tables/scf.csv", "tables/summary.csv", "report.html", "figures/metrics.svg"]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("name", MADE_BY_A_STAGE)
def test_every_file_says_which_code_config_molecules_and_libraries_made_it(chain, name):
    found = info(name)
    made = found["provenance"]
    now = provenance.collect()
    for key in ("dixc", "commit", "pyscf", "torch", "environment"):
        assert made[key] == now[key], key
    assert made["libxc"][0].isdecimal()
    assert made["config"] == provenance.hash_of(load("config.yaml").model_dump(mode="json"))
    split = "train" if "train" in name or name in ("prefit.pt", "model.pt", "log.csv") else "test"
    assert made["molecules"] == provenance.file_hash(f"molecules/{split}-000.xyz")[:16]
    assert not made.get("changed")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["molecules/train-000.xyz", "molecules/molecules.csv"])
def test_molecules_name_their_sources(chain, name):
    made = info(name)["provenance"]
    assert made["inputs"]["file_0"] == {"file": "three.xyz", "sha256": provenance.file_hash("three.xyz")}
    assert made["dixc"] == dixc.__version__


@pytest.mark.slow
def test_config_and_text(chain):
    found = info("config.yaml")
    assert found["run"] == "small"
    assert found["provenance"]["dixc"] == dixc.__version__
    assert found["functionals"] == ["pbe", "r2scan", "xcdiff-grad-0"]
    shown = dixc_command("info", "tables/scf.csv")
    assert "kind                  table scf\n" in shown
    assert "made_by\n" in shown
    assert f"  config              {found['provenance']['config']}\n" in shown
    assert "listed by --json" in shown


@pytest.mark.slow
def test_a_chain_can_be_followed_back(chain):
    functional = info("scf.h5")["provenance"]["inputs"]["functional"]
    assert functional == {"file": "model.pt", "sha256": provenance.file_hash("model.pt")}
    assert info("tables/scf.csv")["provenance"]["made_by"][0]["files"] == 1
    assert info("model.pt")["elements"] == ["H", "O"]
    assert info("model.pt")["train_molecules"] == 1


@pytest.mark.slow
def test_tables_stay_plain_csv_and_a_changed_one_is_told(chain, tmp_path):
    table = pd.read_csv("tables/scf.csv")
    assert list(table)[:3] == ["model", "loss", "seed"]
    for name in ("scf.csv", "provenance.json"):
        (tmp_path / name).write_bytes((chain / "tables" / name).read_bytes())
    assert info(tmp_path / "scf.csv")["provenance"]["changed"] is False
    (tmp_path / "scf.csv").write_text((tmp_path / "scf.csv").read_text() + "\n")
    assert info(tmp_path / "scf.csv")["provenance"]["changed"] is True
    (tmp_path / "provenance.json").unlink()
    assert "none recorded" in info(tmp_path / "scf.csv")["provenance"]


@pytest.mark.slow
def test_checkpoint(chain, monkeypatch):
    from dixc.training import loop

    def stop(self):
        raise KeyboardInterrupt

    monkeypatch.setattr(loop.Trainer, "validate", stop)
    arguments = ["train", "--config", "config.yaml", "--model", "xcdiff", "--seed", "0", "--loss", "grad"]
    arguments += ["--start", "prefit.pt", "--train-reference", "ref/train.h5", "--train-derivatives"]
    arguments += ["der/train.h5", "--validation-reference", "ref/validation.h5", "--out", "again.pt"]
    done = runner.invoke(app, [*arguments, "--log", "again.csv", "--checkpoints", "kept"])
    assert done.exit_code == 130
    (checkpoint,) = (chain / "kept").iterdir()
    found = info(checkpoint)
    assert (found["kind"], found["loss"], found["step"]) == ("checkpoint of a training", "grad", 1)
    assert found["provenance"]["torch"] == provenance.collect()["torch"]


JOINS = {
    "warmstart": ["warmstart", "model.pt", "--scf", "scf.h5", "--reference", "ref/train.h5"],
    "tddft": ["tddft", "model.pt", "--scf", "scf.h5", "--reference", "ref/train.h5", "--derivatives", "der/test.h5"],
    "other derivatives": ["tddft", "model.pt", "--scf", "scf.h5", "--reference", "ref/test.h5",
                          "--derivatives", "der/train.h5"],
    "other model": ["tddft", "prefit.pt", "--scf", "scf.h5", "--reference", "ref/test.h5",
                    "--derivatives", "der/test.h5"],
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("name", JOINS)
def test_files_that_do_not_belong_together_are_refused(chain, name):
    done = runner.invoke(app, [*JOINS[name], "--config", "config.yaml", "--out", "joined.csv"])
    assert done.exit_code == 2
    assert "made from another" in done.stderr
    assert done.stderr.count("\n") == 1
    assert not (chain / "joined.csv").exists()


@pytest.mark.slow
def test_elements_that_training_did_not_see_are_warned_of_once(chain):
    done = runner.invoke(
        app, ["scf", "three.xyz", "--xc", "model.pt", "--basis", "sto-3g", "--grid-level", "0"]
    )
    assert done.exit_code == 0
    assert done.stderr == (
        "dixc: warning: xcdiff-grad-0: trained on H, O only, used for F: "
        "its results for such molecules are an extrapolation, check some\n"
    )
    assert "fluoride (FH, charge 0)" in done.stdout


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.bin", b"\x00\x01", "not a file that dixc writes"),
        ("a.csv", b"a,b\n1,2\n", "not a table of dixc"),
        ("a.html", b"<html></html>", "not a page or figure of dixc"),
        ("a.json", b"{}", "not a provenance file of dixc"),
        ("a.json", b"[" * 100_000, "not valid JSON"),
        ("a.yaml", b"a: 1", "unknown key"),
        ("a.pt", b"PK\x03\x04 and no more", "not a model file of dixc"),
        ("a.xyz", b"", "no molecules in it"),
    ],
)
def test_other_files_are_refused_in_one_line(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    done = runner.invoke(app, ["info", str(tmp_path / name)])
    assert done.exit_code == 2
    assert message in done.stderr
    assert done.stderr.count("\n") == 1
    assert done.stdout == ""


def test_a_comment_survives_any_text(tmp_path):
    record = {"words": "a --> b -- c", "number": -1}
    path = tmp_path / "a.html"
    path.write_text("<html></html>\n" + sidecar.comment(record))
    assert path.read_text().count("-->") == 1
    assert sidecar.read_comment(path) == record


@pytest.mark.slow
def test_info_of_a_chunk_matches_read_info(chain):
    assert info("scf.h5")["settings"] == read_info("scf.h5")["settings"]

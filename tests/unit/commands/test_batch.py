"""`dixc scf` on files of many molecules: failures are rows, and a run that was ended goes on."""

from __future__ import annotations

import fcntl
import json
import os
import resource
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from typer.testing import CliRunner

import dixc.pyscf
from dixc.cli import app
from dixc.commands import scf
from dixc.commands.rows import Rows
from dixc.errors import UserError

WATER = "3\nname=water{}\nO 0 0 0.1178\nH 0 0.7555 -0.4712\nH 0 -0.7555 -0.4712\n"
HYDROGEN = "2\nname=hydrogen\nH 0 0 0\nH 0 0 0.74\n"
HELIUM = "1\nname=helium\nHe 0 0 0\n"
METHYL = "4\nname=methyl\nC 0 0 0\nH 1 0 0\nH -.5 .8 0\nH -.5 -.8 0\n"
BAD = {
    "odd electrons": (METHYL, "CH3", "9 electrons, an odd number"),
    "atoms on top of each other": ("2\nname=x\nH 0 0 0\nH 0 0 .1\n", "H2", "0.100 angstrom apart"),
    "coordinate that is not finite": ("2\nname=x\nH 0 0 0\nH 0 0 inf\n", "H2", "not finite"),
    "unknown element": ("1\nname=x\nQq 0 0 0\n", None, "unknown element 'Qq'"),
    "bad name": ("1\nname=a/b\nHe 0 0 0\n", "He", "letters, digits"),
    "no electrons": ("1\nname=proton charge=1\nH 0 0 0\n", "H+", "0 electrons"),
    "electrons": ("1\nname=x charge=-3\nH 0 0 0\n", "H-3", "4 electrons need 2 orbitals, sto-3g has 1"),
    "no basis": ("1\nname=x\nU 0 0 0\n", "U", "PySCF has no basis 'sto-3g'"),
    "charge": ("1\nname=x charge=1.5\nHe 0 0 0\n", None, "charge=1.5: must be a whole number"),
}  # fmt: skip
ENGINES = [["--xc", "pbe"], ["--hybrid", "b3lyp"], ["--hybrid", "b3lyp", "--accelerate"], ["--hybrid", "hf"]]
ONE_BUILD = ["--hybrid", "b3lyp", "--accelerate", "--max-builds", "1"]
FAST = ["--basis", "sto-3g", "--grid-level", "0"]


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Runs `dixc scf` on a text; returns exit code, stderr and the rows of out.jsonl."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")

    def run(text, *arguments):
        (tmp_path / "in.xyz").write_text(text)
        done = CliRunner().invoke(app, ["scf", "in.xyz", *FAST, "--out", "out.jsonl", *arguments])
        assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
        return done.exit_code, done.stderr, rows(tmp_path / "out.jsonl")

    return run


def rows(path):
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


@pytest.mark.slow
@pytest.mark.parametrize("what", BAD)
def test_a_frame_that_cannot_be_computed_is_a_row_and_the_others_go_on(run, what):
    text, formula, reason = BAD[what]
    code, shown, found = run(HYDROGEN + text + WATER.format(""), "--xc", "lda")
    assert code == 2
    assert shown.count("\n") == 1
    assert "in.xyz: 1 of" in shown
    assert [row["name"] for row in (found[0], found[-1])] == ["hydrogen", "water"]
    assert found[0]["converged"] is found[-1]["converged"] is True
    failed = found[-2]
    assert (failed["converged"], failed["formula"]) == (False, formula)
    assert reason in failed["error"]
    assert f"molecules failed: {failed['name']} (" in shown


@pytest.mark.parametrize("engine", ENGINES, ids=" ".join)
def test_every_kind_of_calculation_goes_on_after_a_failure(run, engine):
    code, shown, found = run(METHYL + HELIUM + HYDROGEN, *engine)
    assert (code, shown.count("\n")) == (2, 1)
    assert [row["converged"] for row in found] == [False, True, True]


@pytest.mark.parametrize("error", [np.linalg.LinAlgError("singular\nmatrix"), RuntimeError("Nocc > Nmo"), MemoryError(),
                                   UserError("no such thing")])  # fmt: skip
@pytest.mark.parametrize("engine", ENGINES[:2], ids=" ".join)
def test_what_pyscf_raises_is_a_row(run, monkeypatch, engine, error):
    from pyscf.scf import hf

    kernel = hf.SCF.kernel

    def failing(self, *args, **kwargs):
        if self.mol.natm == 1:
            raise error
        return kernel(self, *args, **kwargs)

    for cls in (hf.SCF, dixc.pyscf.RKS):
        monkeypatch.setattr(cls, "kernel", failing)
    code, shown, found = run(HELIUM + HYDROGEN, *engine)
    assert code == 2
    assert shown.startswith("dixc: error: in.xyz: 1 of 2 molecules failed: helium (")
    assert [row["converged"] for row in found] == [False, True]
    assert " ".join(str(error).split()) in found[0]["error"]
    assert type(error).__name__ in found[0]["error"] or isinstance(error, UserError)


@pytest.mark.slow
def test_energies_from_one_build_are_no_failures(run, tmp_path):
    code, shown, found = run(WATER.format("") + METHYL + WATER.format("2"), *ONE_BUILD)
    assert (code, shown.count("\n")) == (2, 1)
    assert "1 of 3 molecules failed: methyl (" in shown
    assert [("error" in row, row["converged"]) for row in found] == [
        (False, False),
        (True, False),
        (False, False),
    ]
    code, shown, found = run(WATER.format(""), *ONE_BUILD, "--out", "alone.jsonl")
    assert (code, shown) == (0, "")
    (row,) = rows(tmp_path / "alone.jsonl")
    assert (row["converged"], row["max_builds"], row["hybrid_fock_builds"]) == (False, 1, 1)
    assert row["correction_Eh"] == pytest.approx(row["e_tot_Eh"] - row["e_tot_build_Eh"], abs=1e-12)
    assert row["energies_by_build_Eh"] == [row["e_tot_Eh"]]
    run(WATER.format(""), *ONE_BUILD[:3], "--out", "exact.jsonl")
    (exact,) = rows(tmp_path / "exact.jsonl")
    assert exact["converged"]
    assert "max_builds" not in exact
    assert (
        abs(row["e_tot_Eh"] - exact["e_tot_Eh"])
        < row["energy_error_estimate_Eh"]
        < -row["correction_Eh"] / 10
    )


def test_a_fixed_number_of_builds_that_tells_nothing_is_a_failure(run, monkeypatch):
    from dataclasses import replace

    from dixc.pyscf.surrogates import FittedSurrogate

    minimum = FittedSurrogate.minimum

    def lost(self, point):
        found = minimum(self, point)
        return replace(found, found=False) if point.fock.shape[0] > 2 else found

    monkeypatch.setattr(FittedSurrogate, "minimum", lost)
    code, shown, found = run(WATER.format("") + HYDROGEN, *ONE_BUILD)
    assert (code, shown.count("\n")) == (2, 1)
    assert "1 Fock build did not tell where the energy is least" in found[0]["error"]
    assert "error" not in found[1]


def test_an_energy_too_far_off_is_a_failure(run, monkeypatch):
    from dixc.commands import hybrid

    monkeypatch.setattr(hybrid, "MOST_LEFT", 1e-9)
    code, _, (row,) = run(WATER.format(""), *ONE_BUILD)
    assert code == 2
    assert row["error"].startswith("the energy from 1 Fock build may be ")
    assert row["error"].endswith(" Eh off")


def test_the_number_of_builds_belongs_to_the_identity_of_a_run(run):
    first = run(HYDROGEN, *ONE_BUILD)
    assert run(HYDROGEN, *ONE_BUILD) == first
    for other in (ONE_BUILD[:3], [*ONE_BUILD[:4], "2"], [*ONE_BUILD, "--xc", "r2scan"]):
        code, shown, found = run(HYDROGEN, *other)
        assert code == 2
        assert "holds something else" in shown
        assert found == first[2]


def test_numbers_that_are_not_finite_are_a_failure_and_the_file_is_strict_json(run, monkeypatch):
    true = scf.ground_state

    def broken(mf, name):
        return true(mf, name) | ({"e_tot_Eh": float("nan")} if name == "helium" else {})

    monkeypatch.setattr(scf, "ground_state", broken)
    code, _, found = run(HELIUM + HYDROGEN, "--xc", "lda")
    assert code == 2
    assert "not finite" in found[0]["error"]
    assert found[1]["converged"]


def test_a_file_without_a_molecule_that_can_be_computed_is_refused_before_anything_is_written(run, tmp_path):
    code, shown, found = run(METHYL, "--xc", "lda")
    assert (code, found) == (2, [])
    assert shown == (
        "dixc: error: in.xyz: frame 1 (line 1, methyl): 9 electrons, an odd number: only closed shells are supported\n"
    )
    assert not (tmp_path / "out.jsonl").exists()


@pytest.mark.parametrize(
    ("second", "reason"),
    [
        (
            HELIUM.replace("He ", "Ne "),
            "frame 2 (line 4, helium): a molecule of this name is at line 1 already",
        ),
        (HELIUM.replace("name=helium", "neon"), "frame 2 (line 5): no name=... in the comment line"),
        (METHYL[:20], "frame 2 (line 4, methyl): truncated: 1 of 4 atoms are there"),
    ],
)
def test_what_makes_the_rest_of_a_file_doubtful_is_found_before_anything_is_computed(run, second, reason):
    assert run(HELIUM + second, "--xc", "lda") == (2, f"dixc: error: in.xyz: {reason}\n", [])


def test_without_virtual_orbitals_there_are_no_excitations_and_that_is_said(run, tmp_path):
    code, shown, found = run(HELIUM + HYDROGEN, "--xc", "lda", "--tddft", "1")
    assert (code, shown) == (0, "")
    assert found[0]["lumo_eV"] is found[0]["gap_eV"] is None
    assert "no virtual orbitals" in found[0]["excitations_error"]
    assert len(found[1]["excitations_eV"]) == 1
    (more,) = run(HYDROGEN, "--xc", "lda", "--tddft", "2", "--out", "more.jsonl")[2:]
    assert more == found, "another file was written"
    assert "only 1" in rows(tmp_path / "more.jsonl")[0]["excitations_error"]


@pytest.mark.parametrize(
    "arguments", [["--xc", ""], ["--hybrid", " "], ["--hybrid", ","], ["--basis", ""]], ids=str
)
def test_an_empty_name_is_no_default(run, arguments):
    code, shown, found = run(HELIUM, *arguments)
    assert (code, found, shown.count("\n")) == (2, [], 1)
    assert "no functional" in shown or "no basis" in shown


# --- going on


@pytest.mark.slow
def test_a_rerun_computes_only_what_is_missing_and_gives_the_same_file(run, tmp_path, monkeypatch):
    text, out = HELIUM + METHYL + HYDROGEN, tmp_path / "out.jsonl"
    run(text, "--xc", "lda")
    whole = out.read_bytes()
    done = []
    true = scf.solve
    monkeypatch.setattr(scf, "solve", lambda mol, *args: done.append(args[-1]) or true(mol, *args))
    lines = whole.splitlines(keepends=True)
    for kept, left in (
        (lines[:1], ["hydrogen"]),
        (lines[:2], ["hydrogen"]),
        ([], ["helium", "hydrogen"]),
        (lines, []),
    ):
        done.clear()
        out.write_bytes(b"".join(kept))
        code, _, found = run(text, "--xc", "lda")
        assert (code, done) == (2, left)
        assert [row["name"] for row in found] == ["helium", "methyl", "hydrogen"]
        assert out.read_bytes() == whole
    for cut in (1, 5, 30, len(lines[1]) - 1):
        out.write_bytes(lines[0] + lines[1][:cut])
        run(text, "--xc", "lda")
        assert out.read_bytes() == whole, "what a power cut left of a row is not kept"


def test_all_rows_are_shown_again(run, tmp_path):
    shown = []
    for _ in range(2):
        run(HELIUM + METHYL, "--xc", "lda")
        shown.append(
            CliRunner().invoke(app, ["scf", "in.xyz", "--xc", "lda", *FAST, "--json", "--out", "out.jsonl"])
        )
    assert shown[0].stdout == shown[1].stdout == (tmp_path / "out.jsonl").read_text()


@pytest.mark.parametrize("other", [
    ["--xc", "pbe"], ["--xc", "lda", "--charge", "-2"], ["--xc", "lda", "--grid-level", "1"],
    ["--xc", "lda", "--tddft", "1"],
    ["--xc", "lda", "--basis", "6-31g"], ["--hybrid", "b3lyp"],
], ids=" ".join)  # fmt: skip
def test_other_settings_are_refused_and_the_file_stays(run, tmp_path, other):
    run(HELIUM + HYDROGEN, "--xc", "lda")
    before = (tmp_path / "out.jsonl").read_bytes()
    code, shown, _ = run(HELIUM + HYDROGEN, *other)
    assert code == 2
    assert shown.count("\n") == 1
    assert "out.jsonl: holds something else than results of these molecules with these settings" in shown
    assert (tmp_path / "out.jsonl").read_bytes() == before


OTHERS = ["precious", "precious\n", '{"name": "helium"}\n', "[]\n", '{"run": 1, "name": "helium"}\n', "\n\n",
          "[" * 10000 + "\n", "\0\0\0"]  # fmt: skip


@pytest.mark.parametrize("content", OTHERS, ids=range(len(OTHERS)))
def test_a_file_of_something_else_is_left_alone(run, tmp_path, content):
    (tmp_path / "out.jsonl").write_text(content)
    (tmp_path / "in.xyz").write_text(HELIUM)
    done = CliRunner().invoke(app, ["scf", "in.xyz", "--xc", "lda", *FAST, "--out", "out.jsonl"])
    assert (done.exit_code, done.stderr.count("\n")) == (2, 1)
    assert (tmp_path / "out.jsonl").read_text() == content


@pytest.mark.parametrize("key", ["e_tot_Eh", "cycles", "dipole_debye", "gap_eV"])
def test_rows_that_were_changed_by_hand_are_left_alone(run, tmp_path, key):
    text, options = HELIUM + METHYL, ["--xc", "lda", "--basis", "6-31g"]
    _, _, (row, *_) = run(text, *options)
    del row[key]
    (tmp_path / "out.jsonl").write_text(json.dumps(row) + "\n")
    code, shown, found = run(text, *options)
    assert (code, shown.count("\n"), found) == (2, 1, [row])
    assert "something else" in shown


def test_the_molecules_of_a_changed_file_are_others(run, tmp_path):
    run(HELIUM, "--xc", "lda")
    code, shown, _ = run(HELIUM.replace("0 0 0", "0 0 1"), "--xc", "lda")
    assert (code, "holds something else" in shown) == (2, True)


def test_a_run_that_is_ended_before_its_first_row_leaves_no_file(run, tmp_path, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(scf, "solve", interrupted)
    assert run(HELIUM, "--xc", "lda") == (130, "dixc: interrupted\n", [])
    assert not (tmp_path / "out.jsonl").exists()


def test_two_runs_do_not_write_to_one_file(run, tmp_path):
    with open(tmp_path / "out.jsonl", "wb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        code, shown, _ = run(HELIUM, "--xc", "lda")
    assert (code, shown) == (2, "dixc: error: out.jsonl: another run is writing to it\n")


@pytest.mark.parametrize("out", ["/dev/null", "/dev/full", ".", "pipe"])
def test_results_go_into_files_only(run, tmp_path, out):
    os.mkfifo(tmp_path / "pipe")
    code, shown, _ = run(HELIUM, "--xc", "lda", "--out", out)
    assert (code, shown.count("\n")) == (2, 1)
    assert f"{out}: cannot write: it is a" in shown
    assert not os.path.isfile("/dev/null")


def test_a_write_that_fails_is_taken_back(tmp_path):
    with Rows(tmp_path / "o", "k", ["a", "b"]) as file:
        file.add({"run": "k", "name": "a"})
        before = (tmp_path / "o").read_bytes()
        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) + 5, limits[1]))
        try:
            with pytest.raises(UserError, match="cannot write: File too large"):
                file.add({"run": "k", "name": "b"})
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert (tmp_path / "o").read_bytes() == before


@pytest.mark.slow
def test_a_killed_run_leaves_whole_lines_and_is_continued(tmp_path):
    text = "".join(
        HYDROGEN.replace("hydrogen", f"h{i}").replace("0.74", f"{0.7 + 0.01 * i:.2f}") for i in range(30)
    )
    (tmp_path / "in.xyz").write_text(text)
    out = tmp_path / "out.jsonl"
    command = [sys.executable, "-m", "dixc", "scf", "in.xyz", "--xc", "lda", "--out", "out.jsonl", *FAST]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    counts = [0]
    for wanted in (1, 8):
        process = subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=subprocess.DEVNULL)
        while len(rows(out)) < wanted and process.poll() is None:
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert out.read_bytes().endswith(b"\n")
        counts.append(len(rows(out)))
    assert counts == sorted(counts)
    subprocess.run(command, cwd=tmp_path, env=environment, stdout=subprocess.DEVNULL, check=True)
    assert [row["name"] for row in rows(out)] == [f"h{i}" for i in range(30)]

"""Single molecules in the report, outliers, links to logs, plain words, and the summary in the terminal."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree

import numpy as np
import pandas as pd
import pytest
from report_page import make_report
from synthetic_results import MOLECULES, make_config, make_results, make_tables, set_values

from dixc.errors import UserError
from dixc.report import failures, introduction, molecules, plots_molecules, terminal, theme
from dixc.report.sources import Sources, read_molecules
from dixc.stages import report
from dixc.tables import outliers
from dixc.tables.frames import write_tables
from dixc.tables.summary import summarise

NAMES = [name for name, _ in MOLECULES["test"]]


def svg_of(tables, name="furan"):
    return theme.drawn_small(plots_molecules.molecule_figure, make_results(tables), name)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run's folder with the logs of one functional, and its sources."""
    folder = tmp_path_factory.mktemp("run")
    (folder / "molecules.csv").write_text(
        "name,split,formula,smiles,chunk\nfuran,test,C4H4O,O1C=CC=C1,test-000\nbenzene,test,C6H6,,test-001\n"
    )
    for path in ("evaluate/xcdiff-hess-0/test-000", "warmstart/reference/test-000", "train/xcdiff-base-0"):
        (folder / "logs" / path).parent.mkdir(parents=True)
        (folder / "logs" / f"{path}.log").touch()
    return folder, Sources(read_molecules(folder / "molecules.csv"), folder)


def test_links_lead_to_logs_that_are_there(run):
    _, sources = run
    assert sources.log("scf", "xcdiff", "hess", 0, "furan") == "logs/evaluate/xcdiff-hess-0/test-000.log"
    assert (
        sources.log("warmstart", "b3lyp", "none", 0, "furan", "minao")
        == "logs/warmstart/reference/test-000.log"
    )
    assert sources.log("scf", "xcdiff", "hess", 1, "furan") is None, "no such file"
    assert sources.log("scf", "xcdiff", "hess", 0, "benzene") is None, "in another chunk"
    assert sources.log("scf", "xcdiff", "hess", 0, "unheard of") is None
    assert sources.training_log("xcdiff-base-0") == "logs/train/xcdiff-base-0.log"
    assert (sources.words("furan"), sources.words("benzene"), sources.words("x")) == (
        "C4H4O, O1C=CC=C1", "C6H6", "",
    )  # fmt: skip


@pytest.mark.slow
def test_a_failed_row_has_its_log(run):
    _, sources = run
    tables = make_tables(failed={("hess", 0, "furan"), ("hess", 0, "benzene")})
    found = {row["where"]: row for row in failures.failures(make_results(tables), {}, sources)}
    assert found["scf"]["links"] == [("test-000.log", "logs/evaluate/xcdiff-hess-0/test-000.log")]
    assert found["tddft"]["links"] == []
    log = pd.DataFrame({"skipped": [1, 0]})
    row = failures.failures(make_results(make_tables()), {"xcdiff-base-0": log}, sources)[0]
    assert row["links"] == [("log", "logs/train/xcdiff-base-0.log")]


@pytest.mark.parametrize(
    ("text", "message"), [("", "not a CSV table"), ("name,formula\nx,y\n", "no column chunk")]
)
def test_a_bad_table_of_molecules_is_an_error(tmp_path, text, message):
    (tmp_path / "molecules.csv").write_text(text)
    with pytest.raises(UserError, match=message):
        read_molecules(tmp_path / "molecules.csv")
    with pytest.raises(UserError, match="no such file"):
        read_molecules(tmp_path / "other.csv")


@pytest.mark.slow
def test_page_with_molecules_and_logs(run, capsys):
    folder, _ = run
    tables = make_tables(failed={("hess", 0, "furan")})
    write_tables(tables | {"summary": summarise(tables)}, folder / "tables")
    report.run(make_config(), folder / "tables", [], folder / "report.html", folder / "molecules.csv")
    text = (folder / "report.html").read_text()
    assert text.count('href="logs/evaluate/xcdiff-hess-0/test-000.log"') == 2, (
        "at the molecule and at the failure"
    )
    assert "xcdiff hess: SCF failed" in text
    assert "C4H4O, O1C=CC=C1" in text
    assert "1 of 160 SCF calculations; 1" not in text, "five functionals on 14 molecules are 70"
    assert (
        "1 of 70 SCF calculations; 1 of 48 warm-start calculations; 1 of 40 excitation calculations" in text
    )
    assert f"report: {folder / 'report.html'}" in capsys.readouterr().out


@pytest.mark.slow
def test_cards_show_failures_first_and_the_numbers_of_the_tables():
    tables = make_tables(failed={("hess", 0, "benzene")})
    tables["scf"].loc[tables["scf"]["molecule"] == "furan", "e_rho_mEh"] = 1.25
    made = molecules.cards(make_results(tables), Sources(), [])
    names = [card["name"] for card in made["cards"]]
    assert names[0] == "benzene"
    assert sorted(names) == sorted(NAMES)
    assert made["cards"][0]["flags"] == [
        f"xcdiff hess: {what} failed" for what in ("SCF", "warm start", "TDDFT")
    ]
    failed = next(row for row in made["cards"][0]["rows"] if row["name"] == "xcdiff hess")
    assert failed["converged"] == "NO"
    assert failed["cells"][-1] == "–"
    furan = next(card for card in made["cards"] if card["name"] == "furan")
    assert {row["cells"][3] for row in furan["rows"]} == {"1.25"}
    assert [row["name"] for row in furan["rows"]] == [
        "pbe",
        "r2scan",
        "xcdiff base",
        "xcdiff grad",
        "xcdiff hess",
    ]


def test_only_so_many_cards(monkeypatch):
    monkeypatch.setattr(molecules, "MOST", 3)
    made = molecules.cards(make_results(make_tables()), Sources(), [])
    assert (len(made["cards"]), made["left_out"]) == (3, 5)


@pytest.mark.slow
def test_figure_of_a_molecule():
    tables = make_tables(details=True)
    svg = svg_of(tables)
    words = {
        text.text.strip()
        for text in ElementTree.fromstring(svg).iter("{http://www.w3.org/2000/svg}text")
        if text.text
    }
    assert {"b3lyp", "pbe", "xcdiff hess", "excitation energy / eV", "orbital gradient / hartree"} <= words
    assert "Verdana" in svg
    assert len(svg) < 80_000
    assert "not recorded" not in svg
    assert "not recorded" in svg_of(tables | {"convergence": tables["convergence"].iloc[:0]})
    assert "no excitations" in svg_of(tables | {"spectra": tables["spectra"].iloc[:0]})
    assert svg_of(make_tables()) == "", "nothing to draw"


@pytest.mark.slow
def test_a_failed_scf_is_marked_in_the_figure():
    crosses = [
        svg_of(make_tables(details=True, failed=failed)).count(plots_molecules.FAILED.lower())
        for failed in ((), {("hess", 0, "furan")})
    ]
    assert crosses[0] == 0 < crosses[1]


def test_figure_without_strengths():
    tables = make_tables(details=True)
    tables["spectra"][["oscillator_strength", "reference_strength"]] = np.nan
    assert "<svg" in svg_of(tables)


@pytest.mark.slow
def test_dark_states_have_no_band():
    tables = make_tables(details=True)
    bright = svg_of(tables).count('opacity: 0.3"')
    tables["spectra"][["oscillator_strength", "reference_strength"]] = 1e-9
    assert svg_of(tables).count('opacity: 0.3"') == 0 < bright


def test_bands_have_the_area_of_the_strengths():
    grid = np.linspace(0, 20, 4001)
    bands = plots_molecules._bands(grid, np.array([5.0, 9.0, 12.0]), np.array([0.2, 0.05, np.nan]))
    assert bands.sum() * (grid[1] - grid[0]) == pytest.approx(0.25)
    half = bands[np.abs(grid - 5) < 1].max() / 2
    above = grid[(bands > half) & (np.abs(grid - 5) < 1)]
    assert above[-1] - above[0] == pytest.approx(plots_molecules.WIDTH_EV, abs=0.02)


def test_outliers_by_hand():
    tables = make_tables()
    for column in ("e_tot_error_fit_mEh", "e_rho_mEh", "dipole_error_debye"):
        tables["scf"][column] = 1.0
    tables["tddft"]["error_eV"] = 0.1
    assert outliers.outliers(make_results(tables)) == []
    set_values(tables, "grad", [1.0] * 7 + [4.5])
    tables["scf"].loc[
        (tables["scf"]["loss"] == "base") & (tables["scf"]["split"] == "train"), "e_rho_mEh"
    ] = 99.0
    tables["tddft"].loc[[0], "error_eV"] = -0.5
    found = outliers.outliers(make_results(tables))
    assert [(one.functional.label, one.metric.source.table, one.value) for one in found] == [
        ("pbe", "tddft", 0.5),
        ("xcdiff grad", "scf", 4.5),
    ]
    assert found[1].molecule == tables["scf"].query("loss == 'grad' and e_rho_mEh == 4.5")["molecule"].item()
    assert found[1].words == "E_rho 4.50 mEh, 4.5 times the median of 1.00"
    shown = failures.outlier_rows(found, Sources())
    assert [row["who"] for row in shown["rows"]] == ["pbe", "xcdiff grad"]


def test_plain_words():
    tables = make_tables()
    for loss, value in (("base", 0.4), ("grad", 0.3), ("hess", 0.5), ("none", 2.0)):
        set_values(tables, loss, value)
    results = make_results(tables)
    done = " ".join(introduction.done(results))
    assert "B3LYP/def2-svp" in done
    assert "learned from 4 molecules" in done
    assert "8 test molecules" in done
    assert "pbe, r2scan" in done
    sentences = introduction.meaning(results)
    assert "xcdiff grad comes within 0.30 mEh" in sentences[0]
    assert "within 2.0 mEh" in sentences[0]
    assert re.search(r"B3LYP itself needs \S+ Fock builds .* and 12.0 from the usual guess", sentences[-1])
    assert failures.failed(results) == "Nothing: all 158 calculations converged."
    empty = make_results({name: table.iloc[:0] for name, table in tables.items()})
    assert introduction.meaning(empty) == []
    assert failures.failed(empty) == "There are no results at all."


def test_summary_for_the_terminal(tmp_path):
    tables = make_tables(seeds=(0, 1), failed={("hess", 0, "furan"), ("hess", 1, "water")})
    set_values(tables, "base", 0.456)
    tables["scf"].loc[tables["scf"]["molecule"] == "oxirane", "e_tot_error_fit_mEh"] = np.nan  # no failure
    write_tables(tables | {"summary": summarise(tables)}, tmp_path)
    text = terminal.summary_text(tmp_path / "summary.csv", "results/x/report.html")
    lines = text.splitlines()
    assert lines[0].split()[:3] == ["test", "molecules", "E_rho/mEh"]
    assert [line.split()[-1] for line in lines[2:7]] == ["0", "0", "0", "0", "2"]
    assert [line.split("  ")[0] for line in lines[2:7]] == [
        "pbe", "r2scan", "xcdiff base", "xcdiff grad", "xcdiff hess",
    ]  # fmt: skip
    assert lines[4].split()[2] == "0.46"
    assert len({len(line) for line in lines[:7]}) == 1, "aligned"
    assert "12.0 from the default guess" in text
    assert lines[-1] == "report: results/x/report.html"
    assert max(map(len, lines)) < 110


@pytest.mark.parametrize(
    "text", [None, "1\n", "model,loss\na,b\n", "model,loss,split,metric,value,n_failed\na,b,c,d,x,1\n"]
)
def test_no_summary_without_a_table(tmp_path, text):
    if text is not None:
        (tmp_path / "summary.csv").write_text(text)
    assert terminal.summary_text(tmp_path / "summary.csv") == ""


def test_coordinates_are_rounded_and_scales_are_not():
    svg = '<g transform="scale(0.015625)"><path d="M 12.3456 0.98765 L -1.23456 100"/></g>'
    assert theme.PLACES.sub(theme._rounded, svg) == (
        '<g transform="scale(0.015625)"><path d="M 12.3 0.99 L -1.23 100"/></g>'
    )


@pytest.mark.slow
def test_tables_of_an_older_version_can_be_reported(tmp_path):
    tables = {name: table for name, table in make_tables().items() if name not in report.OF_DETAILS}
    assert "No excitations and no SCF histories" in make_report(tmp_path, tables, make_config(), [])

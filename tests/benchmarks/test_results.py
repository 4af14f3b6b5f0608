"""docs/results.md: numbers by hand on made-up tables, and words that follow from them."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from synthetic_results import make_config, make_logs, make_results, make_tables

from benchmarks.results import collect, equal_time, page
from benchmarks.results.__main__ import main
from benchmarks.results.numbers import Seeds
from dixc.config import write
from dixc.report import paper
from dixc.tables.frames import write_tables
from dixc.tables.judge import CLAIM_RULE, RULE, estimate
from dixc.tables.metrics import tagged
from dixc.tables.summary import summarise

ROOT = Path(__file__).parents[2]
BASE = {"first": (10.0, 11.0, 12.0), "second": (20.0, 19.0, 18.0)}  # a number a seed


def made_up(metric: str = "e_rho_mEh", factors=(("grad", 0.9), ("hess", 0.5))) -> pd.DataFrame:
    """seeds.csv of two architectures; grad and hess are `base` times a factor."""
    rows = [("r2scan", "none", 0, "test", metric, 30.0, 8, 0)]
    for model, values in BASE.items():
        for seed, value in enumerate(values):
            for loss, factor in (("base", 1.0), *factors):
                rows.append((model, loss, seed, "test", metric, factor * value, 8, 0))
    return pd.DataFrame(rows, columns=["model", "loss", "seed", "split", "metric", "value", "n", "n_failed"])


def cells(text: str, start: str) -> list[str]:
    """The cells of the first table line that begins with `start`."""
    line = next(line for line in text.splitlines() if line.startswith(f"| {start} |"))
    return [cell.strip() for cell in line.strip("|").split("|")][1:]


def test_averages_are_made_seed_by_seed():
    seeds = Seeds(made_up())
    assert list(seeds.average("e_rho_mEh", "base")) == [15.0, 15.0, 15.0]
    found = estimate(seeds.values("e_rho_mEh", "first", "base"))
    assert (found.mean, found.spread, found.n) == (11.0, 1.0, 3)
    assert seeds.change("e_rho_mEh", "hess").mean == pytest.approx(-50)


def test_a_seed_that_one_architecture_lacks_is_left_out():
    table = made_up()
    seeds = Seeds(table[~((table["model"] == "second") & (table["seed"] == 2) & (table["loss"] == "hess"))])
    assert list(seeds.average("e_rho_mEh", "hess")) == [7.5, 7.5]
    assert len(seeds.average("e_rho_mEh", "base")) == 3
    assert seeds.change("e_rho_mEh", "hess").n == 2


def test_report_and_page_judge_in_the_same_words(tmp_path):
    """The claims of a run of three seeds and two models, in the page and in the report."""
    seeds, models = (0, 1, 2), ("xcdiff", "nnmgga")
    tables, config = make_tables(seeds, models), make_config(seeds, models)
    of_report = {
        (row["title"], ours["who"]): ours["verdict"]
        for row in paper.paper_rows(make_results(tables, config))
        for ours in row["ours"]
    }
    text = page.claims(Seeds(collect.seeds(tables)))
    head = " ".join(page.HEAD.split())
    assert RULE in head
    assert CLAIM_RULE in head
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if "| `" in line
    ]
    judged = 0
    for title, _, loss, _, verdict in rows:
        loss = loss.strip("`")
        who = f"xcdiff {loss}" if "XCdiff" in title else f"{loss}, mean of 2 models"
        if "Iterations" not in title:
            assert of_report[title, who] == verdict, (title, who)
            judged += 1
    assert judged == 7


@pytest.mark.parametrize(
    ("factor", "words"), [(0.5, "holds"), (0.9, "smaller than in the paper"), (1.2, "worse")]
)
def test_words_change_with_the_numbers(factor, words):
    noise = made_up(factors=(("grad", factor), ("hess", factor)))
    text = page.claims(Seeds(noise))
    assert re.search(rf"^- .*{words}.*: E_rho \(`grad`\), E_rho \(`hess`\)$", text, re.MULTILINE), text


def test_overview_has_every_row():
    text = page.overview(Seeds(made_up()))
    place = 2  # E_rho is the third metric
    assert cells(text, "r2scan")[place] == "30.0"
    assert cells(text, "`base`")[place] == "15.0 ± 0"
    assert cells(text, "`grad` against `base`")[place] == "−10 ± 0 %"
    assert cells(text, "paper")[place] == "1.2 → 0.8"
    assert cells(text, "`base`")[0] == "–", "a metric without numbers"
    assert "seeds that all of them have finished: `base` 3, `grad` 3, `hess` 3" in text
    one = page.architecture(Seeds(made_up()), "first")
    assert cells(one, "`base`")[place] == "11.0 ± 1.0"
    assert cells(one, "r2scan")[place] == "30.0"
    assert cells(one, "paper, mean of four")[place] == "1.2 → 0.8"


def test_the_papers_excitations_are_of_one_architecture():
    table = made_up("tddft_mae_eV")
    table["model"] = table["model"].replace("second", "xcdiff")
    seeds = Seeds(table)
    assert [cells(page.architecture(seeds, m), "paper, mean of four")[-1][:4] for m in seeds.models] == [
        "–",
        "−19 ",
    ]


def test_iterations_are_against_the_default_guess():
    """Of all seeds, also those of a run that has no SCF of the reference itself."""
    table = made_up("warmstart_cycles_density", (("grad", 0.8),))
    default = table.iloc[[0]].assign(model="b3lyp", metric="warmstart_cycles_minao", value=20.0)
    text = page.claims(Seeds(pd.concat([table[table["loss"] != "none"], default])))
    row = next(line for line in text.splitlines() if "Iterations" in line)
    # 0.8 * 15 of 20; the best is 0.8 * 10
    assert "−40 ± 0 %" in row
    assert "best architecture and seed −60 %" in row


def test_errors_at_equal_time():
    seeds = Seeds(made_up())
    rows = [
        (model, loss, 0, steps, 1.0, 1.0, e_rho, 1.0, 1.0)
        for model, loss, steps, e_rho in (
            ("first", "grad", 60, 5.0), ("second", "grad", 70, 16.0),
            ("first", "hess", 30, 20.0), ("second", "hess", 40, 25.0)
        )
    ]  # fmt: skip
    table = pd.DataFrame(rows, columns=["model", "loss", "seed", "steps", *equal_time.COMPARED])
    text = equal_time.errors(seeds, table)
    found = [[c.strip() for c in line.strip("|").split("|")] for line in text.splitlines() if "`" in line]
    place = 3 + list(equal_time.COMPARED).index("e_rho_mEh")
    by_row = {tuple(row[:3]): row[place] for row in found if len(row) > place}
    assert by_row["first", "`base`", "all"] == "10.0"
    assert by_row["second", "`grad`", "70"] == "16.0"
    # 21 and 45 against 10 + 20
    assert by_row["mean", "`grad` against `base`", ""] == "−30 %"
    assert by_row["mean", "`hess` against `base`", ""] == "+50 %"
    fewer = equal_time.errors(seeds, table.iloc[:3])  # the second has no `hess`: means are of the first alone
    assert "+100 %" in next(line for line in fewer.splitlines() if line.startswith("| mean | `hess`"))


def test_one_seed_is_said_to_be_one():
    """The seeds that are finished count, not those that were asked for."""
    about = pd.DataFrame([("run", "demo"), ("seeds", "0 1 2")], columns=["key", "value"])
    rest = {"training": collect.training({}), "failures": pd.DataFrame(columns=["model", "molecule"])}
    table = made_up()
    three = page.section({"about": about, "seeds": table} | rest)
    one = page.section({"about": about, "seeds": table[table["seed"] == 0]} | rest)
    assert "no spread" not in three
    assert "One of 3 seeds is finished for all architectures: their averages have no spread" in one


def test_equal_time_is_when_base_was_done():
    rows = []
    for loss, per_step, scores in (("base", 1.0, (9, 7, 5, 4)), ("hess", 2.0, (8, 3, 2, 1))):
        for place, score in enumerate(scores, start=1):
            step = 10 * place
            rows.append(("a", loss, 0, step, 5.0 * step, per_step * step, score, 1.0, 1e-6, 0, place))
    columns = ["model", "loss", "seed", "step", "wall_s", "cpu_s", *collect.VALIDATION, *collect.COUNTED]
    table = pd.DataFrame(rows, columns=columns)
    text = equal_time.scores(table)
    assert "CPU s a step" in text
    base, hess = ([c.strip() for c in line.strip("|").split("|")] for line in text.splitlines()[-2:])
    assert base[1:] == ["`base`", "1.00", "40.0", "40.0", "4.00", "4.00", "4.0", "0"]
    # twice as dear: half the steps, and the score of then
    assert hess[1:] == ["`hess`", "2.00", "80.0", "20.0", "3.00", "1.00", "4.0", "0"]
    assert "wall-clock s a step" in equal_time.scores(table.assign(cpu_s=np.nan))


@pytest.fixture
def run(tmp_path) -> Path:
    """A run's folder with tables and logs."""
    folder, tables = tmp_path / "results" / "demo", make_tables()
    write(make_config(), folder / "config.yaml")
    write_tables(tables | {"summary": summarise(tables)}, folder / "tables")
    make_logs(folder / "training")
    return folder


def test_from_a_run_to_the_page(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["collect", str(run), "docs/results/demo"]) == 0
    Path("docs/results/demo/notes.md").write_text("Half of it ran elsewhere.\n")
    assert main(["page", "docs/results", "docs/results.md"]) == 0
    text = Path("docs/results.md").read_text()
    summary = pd.read_csv(run / "tables" / "summary.csv").set_index(["model", "loss", "split", "metric"])[
        "value"
    ]
    names = [metric.name for metric in tagged("page")]
    for loss in ("base", "grad", "hess"):
        for cell, metric in zip(cells(text, f"`{loss}`"), names, strict=True):
            if ("xcdiff", loss, "test", metric) in summary:
                shown = float(cell.split(" ±")[0])
                assert shown == pytest.approx(summary["xcdiff", loss, "test", metric], rel=6e-3), (
                    loss,
                    metric,
                )
    assert "One seed: there is no spread" in text
    assert "\n\nHalf of it ran elsewhere.\n\n" in text
    assert sum(path.stat().st_size for path in Path("docs/results").rglob("*.csv")) < 100_000


def test_failed_molecules_are_named(run, tmp_path):
    scf = pd.read_csv(run / "tables" / "scf.csv")
    bad = scf.index[(scf["loss"] == "hess") & (scf["split"] == "test")][0]
    scf.loc[bad, "converged"] = False
    scf.to_csv(run / "tables" / "scf.csv", index=False)
    collect.run(run, tmp_path / "out")
    text = page.section(collect.read(tmp_path / "out"))
    assert f"| scf | xcdiff `hess` | {scf.loc[bad, 'molecule']} (seed 0) |" in text


def test_bad_input_is_one_line(run, tmp_path, capsys):
    assert main(["page", str(tmp_path), str(tmp_path / "a.md")]) == 2
    assert "no run in it" in capsys.readouterr().err
    collect.run(run, tmp_path / "out" / "demo")
    (tmp_path / "out" / "demo" / "about.csv").unlink()
    assert main(["page", str(tmp_path / "out"), str(tmp_path / "a.md")]) == 2
    assert "about.csv: no such file" in capsys.readouterr().err
    shutil.rmtree(run / "tables")
    assert main(["collect", str(run), str(tmp_path / "new")]) == 2
    assert not (tmp_path / "a.md").exists()
    assert not (tmp_path / "new").exists()


def stored(folder: Path, seeds: tuple[int, ...]) -> Path:
    """A run's folder with these seeds."""
    tables = make_tables(seeds)
    write(make_config(seeds), folder / "config.yaml")
    write_tables(tables | {"summary": summarise(tables)}, folder / "tables")
    make_logs(folder / "training")
    return folder


def test_seeds_of_another_machine_are_added(tmp_path):
    first, second = (stored(tmp_path / name, seeds) for name, seeds in (("a", (0, 1)), ("b", (1, 2))))
    assert main(["collect", str(first), str(tmp_path / "out")]) == 0
    alone = collect.read(tmp_path / "out")["seeds"]
    assert main(["collect", "--add", str(second), str(tmp_path / "out")]) == 0
    tables = collect.read(tmp_path / "out")
    assert sorted(tables["seeds"].query("loss == 'hess'")["seed"].unique()) == [0, 1, 2]
    assert not tables["seeds"].duplicated(["model", "loss", "seed", "split", "metric"]).any()
    about = dict(zip(tables["about"]["key"], tables["about"]["value"], strict=True))
    assert about["seeds"] == "0 1 2"
    kept = tables["seeds"].query("loss == 'hess' and seed == 0").reset_index(drop=True)
    assert kept.equals(alone.query("loss == 'hess' and seed == 0").reset_index(drop=True))


def test_a_run_with_other_settings_is_not_added(run, tmp_path, capsys):
    collect.run(run, tmp_path / "out")
    before = (tmp_path / "out" / "seeds.csv").read_bytes()
    changed = make_config().model_dump(mode="json")
    changed["training"]["steps"] += 1
    write(type(make_config()).model_validate(changed), run / "config.yaml")
    assert main(["collect", "--add", str(run), str(tmp_path / "out")]) == 2
    assert "other settings" in capsys.readouterr().err
    assert (tmp_path / "out" / "seeds.csv").read_bytes() == before


def test_the_page_is_that_of_its_tables(tmp_path):
    page.run(ROOT / "docs" / "results", tmp_path / "results.md")
    stale = "stale: python -m benchmarks.results page docs/results docs/results.md"
    assert (tmp_path / "results.md").read_text() == (ROOT / "docs" / "results.md").read_text(), stale


def test_failures_are_listed_by_functional():
    failed = pd.DataFrame(
        [
            ("scf", "xcdiff", "hess", 0, "a"),
            ("scf", "xcdiff", "hess", 1, "b"),
            ("tddft", "pbe", "none", 0, "c"),
        ],
        columns=["table", "model", "loss", "seed", "molecule"],
    )
    lines = page.failures(failed).splitlines()[2:]
    assert lines == ["| scf | xcdiff `hess` | a (seed 0), b (seed 1) |", "| tddft | pbe | c (seed 0) |"]
    assert page.failures(failed[:0]).startswith("None: every SCF")

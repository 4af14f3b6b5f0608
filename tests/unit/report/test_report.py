"""The report: numbers and words of synthetic tables, figures, self-containment, and missing parts."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree

import numpy as np
import pandas as pd
import pytest
from report_page import Page, headline, make_report, section
from synthetic_results import MOLECULES, key, make_config, make_logs, make_results, make_tables, set_values

from dixc.config import Config
from dixc.errors import UserError
from dixc.report import (
    FIGURES,
    failures,
    figures,
    losses,
    metric_tables,
    paper,
    plots_training,
    terminal,
    training_logs,
    usage,
)
from dixc.report.sources import Sources
from dixc.stages import report
from dixc.tables import claims
from dixc.tables.frames import write_tables
from dixc.tables.judge import Verdict
from dixc.tables.metrics import BY_NAME, tagged
from dixc.tables.samples import floats
from dixc.tables.schema import FunctionalKey
from dixc.tables.summary import summarise
from dixc.text import number, signed_percent


def names(tag: str) -> list[str]:
    """Names of the metrics with a tag."""
    return [metric.name for metric in tagged(tag)]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Folder, tables and text of a report with everything in it."""
    folder = tmp_path_factory.mktemp("whole")
    tables = make_tables(seeds=(0, 1), failed={("hess", 0, "furan")}, details=True)
    return (
        folder,
        tables,
        make_report(folder, tables, make_config((0, 1)), make_logs(folder / "training", (0, 1))),
    )


def cell_of(row) -> str:
    """What the page shows of a row of the summary: value, molecules that failed, spread."""
    failed = f"†{row.n_failed}" if row.n_failed else ""
    spread = f" ± {number(row.spread, 2)}" if pd.notna(row.spread) else ""
    return number(row.value) + failed + spread


@pytest.mark.slow
def test_numbers_of_the_summary_are_in_the_page(whole):
    folder, _, text = whole
    summary = pd.read_csv(folder / "tables" / "summary.csv")
    page = Page(text).text
    cells = headline(text)
    shown = summary[(summary["split"] == "test") & summary["metric"].isin(names("headline"))]
    for row in shown.itertuples():
        metric = BY_NAME[row.metric]
        cell = cells.pop((FunctionalKey(row.model, row.loss).label, f"{metric.label}{metric.unit}"))
        assert cell == cell_of(row), row
    # nothing else is in the table but names and counts of SCFs
    assert {column for _, column in cells} == {"Functional", "SCF converged"}
    assert len(shown) == 5 * len(tagged("headline"))
    assert "8 for testing (5 to 7 heavy atoms)" in page
    assert "B3LYP/def2-svp" in page


@pytest.mark.slow
def test_errors_after_builds_are_a_section_of_the_page(whole):
    folder, _, text = whole
    summary = pd.read_csv(folder / "tables" / "summary.csv")
    cells = headline(text, "builds")
    shown = summary[(summary["split"] == "test") & summary["metric"].isin(names("builds"))]
    assert len(shown) == 3 * 5
    for row in shown.itertuples():
        metric = BY_NAME[row.metric]
        cell = cells[FunctionalKey(row.model, row.loss).label, f"{metric.label}{metric.unit}"]
        assert re.split("[† ]", cell)[0] == number(row.value), (row, cell)
        assert ("†1" in cell) == (row.loss == "hess")
    assert 'href="#builds"' in text


@pytest.mark.slow
def test_tables_without_errors_after_builds_have_no_such_section(words_only, tmp_path):
    tables = make_tables()
    tables["warmstart"] = tables["warmstart"].assign(one_build_error_uEh=np.nan, two_build_error_uEh=np.nan)
    text = make_report(tmp_path, tables, make_config(), [])
    assert 'id="builds"' not in text
    assert "#builds" not in text
    assert "single Fock build" not in Page(text).text
    assert "failed" not in str(failures.failures(make_results(tables), {}))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("factors", "losses", "words"),
    [
        ((0.5, 0.5, 0.5), "base grad hess", "pays here; hess lowers test One-build error by 50 % against grad ("),
        ((2.0, 2.0, 2.0), "base grad hess", "does not pay here; hess raises test One-build error by 100 % against"),
        ((0.9, 1.0, 1.16), "base grad hess", "cannot be told here; hess makes no clear change; it raises test One-"),
        ((0.5,), "base grad hess", "cannot be told from one seed; hess lowers test One-build error by 50 % against"),
        ((0.5, 0.5, 0.5), "base hess", "pays here; hess lowers test One-build error by 50 % against base ("),
        ((0.5, 0.5, 0.5), "base grad", None),
        ((0.5, 0.5, 0.5), "hess", None),
    ],
)  # fmt: skip
def test_whether_hessian_supervision_pays(factors, losses, words):
    """`factors`: errors of hess, a seed each, where those of the other losses are 1."""
    present, seeds = losses.split(), range(len(factors))
    tables = {name: table[table["loss"].isin(["none", *present])].reset_index(drop=True)
              for name, table in make_tables(seeds).items()}  # fmt: skip
    warm = tables["warmstart"]
    errors = warm["loss"].map({"none": 9.0, "base": -4.0, "grad": 4.0, "hess": -4.0})
    errors *= floats(warm["seed"].map(dict(enumerate(factors)))) ** (warm["loss"] == "hess")
    tables["warmstart"] = warm.assign(one_build_error_uEh=errors * floats(warm["n_heavy"]))
    config = with_settings(training={"seeds": list(seeds), "steps": 120, "losses": present})
    sentences = metric_tables.builds(make_results(tables, config))["sentences"]
    assert len(sentences) == (words is not None)
    if words:
        assert sentences[0].startswith("xcdiff: ")
        assert words in sentences[0]


@pytest.mark.slow
def test_trained_functionals_are_named_with_lines_that_load_them(whole):
    models = section(whole[2], "models")
    for loss in ("base", "grad", "hess"):
        for seed in (0, 1):
            assert f"<code>results/synthetic/models/xcdiff-{loss}-{seed}.pt</code>" in models
    code = Page(re.search(r"<pre>(.*?)</pre>", models, re.DOTALL)[0])
    lines = "".join(code.words)
    compile(lines, "report", "exec")
    assert "dixc.pyscf.RKS(mol, xc=xc)" in lines
    assert 'accelerate(dft.RKS(mol, xc="b3lyp")' in lines


def with_settings(**changes) -> Config:
    """The config of the synthetic tables with other sections."""
    return Config.model_validate(make_config().model_dump(mode="json", exclude_none=True) | changes)


def test_an_own_class_is_loaded_by_its_import_path():
    config = with_settings(models=[{"name": "my.module:Mine", "label": "mine"}])
    code = usage.trained(make_results(make_tables(models=("mine",)), config))["code"]
    assert 'dixc.load("results/synthetic/models/mine-base-0.pt", ["my.module:Mine"])' in code


@pytest.mark.slow
@pytest.mark.parametrize(
    ("functional", "basis", "comparable"),
    [
        ("b3lyp", "def2-svp", True),
        ("B3LYP ", "def2SVP", True),
        ("b3lyp", "def2-tzvp", False),
        ("pbe0", "def2-svp", False),
        ("hf", "def2-svp", False),
    ],
)
def test_the_paper_is_left_out_where_its_reference_is_another(
    words_only, tmp_path, functional, basis, comparable
):
    config = with_settings(reference={"functional": functional, "basis": basis})
    text = make_report(tmp_path, make_tables(), config, [])
    assert bool(section(text, "paper")) == comparable
    assert ("−66 %" in Page(text).text) == comparable
    assert ('href="#paper"' in text) == comparable
    # a file of the workflow, also where there is nothing to compare
    assert (tmp_path / "figures/paper.svg").is_file()
    assert text.count("data:image/svg+xml") == len(FIGURES) - (0 if comparable else 1)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("functional", "words"),
    [
        ("b3lyp", "imitate an expensive hybrid"),
        ("hf", "imitate Hartree-Fock"),
        ("tpss", "imitate another one, TPSS"),
    ],
)
def test_the_reference_is_called_what_it_is(words_only, tmp_path, functional, words):
    page = Page(
        make_report(tmp_path, make_tables(), with_settings(reference={"functional": functional}), [])
    ).text
    assert words in page
    assert ("Hybrid functionals such as" in page) == (functional == "b3lyp")


# --- which loss


def validated(values: dict[str, tuple], seeds=(0, 1, 2), count: int = 4) -> dict[str, pd.DataFrame]:
    """Tables with `count` validation molecules, on which each loss has a total-energy error and an E_rho.

    Both are numbers, or as many as there are seeds.
    """
    tables = make_tables(seeds=seeds)
    scf = tables["scf"]
    one = scf[(scf["split"] == "validation") & (scf["molecule"] == "oxirane")]
    more = pd.concat([one.iloc[:0], *(one.assign(molecule=f"molecule{number}") for number in range(count))])
    for loss, both in values.items():
        for column, numbers in zip(("e_tot_error_mEh", "e_rho_mEh"), both, strict=True):
            for seed, value in zip(seeds, np.broadcast_to(numbers, len(seeds)), strict=True):
                more.loc[(more["loss"] == loss) & (more["seed"] == seed), column] = value
    tables["scf"] = pd.concat([scf[scf["split"] != "validation"], more], ignore_index=True)
    return tables


def recommendation(tables: dict[str, pd.DataFrame], config: Config | None = None) -> usage.Recommendation:
    """What is recommended for XCdiff."""
    return usage.Recommendation(make_results(tables, config), "xcdiff")


@pytest.mark.parametrize(
    ("values", "loss", "words"),
    [
        (
            {"base": (5, 1.0), "grad": (5, 0.8), "hess": (5, 0.5)},
            "hess",
            "hess is recommended: on the 4 validation molecules it is better than base on E_rho and than grad "
            "on E_rho, and nowhere worse.",
        ),
        (
            {"base": (3, 0.5), "grad": (5, 0.8), "hess": (5, 0.6)},
            "base",
            "base is recommended: on the 4 validation molecules it is better than grad on Total energy MAE and "
            "E_rho and than hess on Total energy MAE and E_rho",
        ),
        (
            {"base": (3, 1.0), "grad": (5, 0.8), "hess": (6, 0.5)},
            None,
            "no loss can be recommended for everything: on the 4 validation molecules base is best for Total energy "
            "MAE; hess is best for E_rho",
        ),
        (
            {"base": (5, 0.50), "grad": (5, (0.45, 0.53, 0.55)), "hess": (5, (0.52, 0.45, 0.50))},
            None,
            "no loss can be recommended: on the 4 validation molecules none is ahead of all others",
        ),
    ],
)
def test_a_loss_is_recommended_by_validation_molecules(values, loss, words):
    tables = validated(values)
    # whatever the test says
    for other in ("base", "grad", "hess"):
        set_values(tables, other, 1000.0 if other == loss else 0.1)
    made = recommendation(tables)
    assert made.sentence.startswith(f"xcdiff: {words}")
    assert made.winner == loss
    if loss:
        assert f"models/xcdiff-{loss}-0.pt" in usage.trained(make_results(tables))["code"]


def test_seeds_that_disagree_recommend_nothing():
    tables = validated({"base": (5, 1.0), "grad": (5, 1.0), "hess": (5, 1.0)}, seeds=(0, 1))
    scf = tables["scf"]
    scf.loc[(scf["loss"] == "hess") & (scf["seed"] == 0) & (scf["split"] == "validation"), "e_rho_mEh"] = 0.4
    assert recommendation(tables, make_config((0, 1))).winner is None


def test_one_seed_recommends_nothing_and_its_means_are_told():
    made = recommendation(validated({"base": (3, 1.0), "grad": (5, 0.8), "hess": (6, 0.5)}, seeds=(0,)))
    assert made.winner is None
    assert made.sentence == (
        "xcdiff: no loss can be recommended by one seed; best by the mean alone on the 4 validation molecules: base on "
        "Total energy MAE; hess on E_rho."
    )


@pytest.mark.slow
def test_without_enough_molecules_or_losses_nothing_is_recommended():
    clear = {"base": (5, 1.0), "grad": (5, 0.8), "hess": (5, 0.5)}
    sentence = recommendation(validated(clear, count=2)).sentence
    assert "no loss can be recommended: 2 validation molecules" in sentence
    sentence = recommendation(validated(clear, count=0)).sentence
    assert "no loss can be recommended: no validation molecules" in sentence
    sentence = recommendation(validated(clear), with_settings(training={"losses": ["base"]})).sentence
    assert sentence == "xcdiff: no loss can be recommended: the run has base alone."


# --- elements that training does not have


@pytest.mark.slow
def test_an_element_that_training_does_not_have_is_said(words_only, tmp_path):
    tables = make_tables(failed={("hess", 0, "pyrrole")})
    scf = tables["scf"]
    scf.loc[scf["molecule"] == "furan", "e_tot_error_fit_mEh"] = np.nan
    summary = summarise(tables)
    test = summary[summary["split"] == "test"].set_index(["loss", "model", "metric"])
    fit, counted = (
        test.loc["hess", "xcdiff", name] for name in ("e_tot_mae_fit_mEh", "unseen_element_molecules")
    )
    # furan is no failure, pyrrole is one
    assert (fit["n"], fit["n_failed"]) == (6, 1)
    assert (counted["value"], counted["n"], counted["n_failed"]) == (1, 8, 0)
    page = Page(make_report(tmp_path, tables, make_config(), [])).text
    assert "1 of 8 test molecules has an element that no training molecule has: furan. Trained" in page
    assert "1 of the test molecules: an element" in terminal.summary_text(tmp_path / "tables/summary.csv")


def test_elements_are_told_from_formulas(tmp_path):
    known = {"water": ("train", "H2O"), "furan": ("test", "C4H4O"), "toluene": ("test", "C7H7Cl+")}
    rows = {name: {"split": split, "formula": formula} for name, (split, formula) in known.items()}
    words = failures.unseen(make_results(make_tables()), Sources(rows))
    assert words.startswith(
        "2 of 8 test molecules have an element that no training molecule has: furan (C), "
    )
    assert "toluene (C, Cl)" in words
    assert not failures.unseen(make_results(make_tables()))


@pytest.mark.slow
def test_nothing_is_loaded_from_elsewhere(whole):
    page = Page(whole[2])
    allowed = ("#", "data:image/svg+xml;base64,", "https://arxiv.org/", "https://doi.org/", "logs/")
    assert all(reference.startswith(allowed) for reference in page.references)
    assert not {"script", "link", "iframe", "object"} & set(page.tags)
    style = re.search(r"<style>(.*?)</style>", whole[2], re.DOTALL)[1]
    assert "url(" not in style
    assert "@import" not in style


@pytest.mark.slow
def test_figures_are_in_the_page_and_beside_it(whole):
    folder, _, text = whole
    images = Page(text).images
    assert len(images) == len(FIGURES) + len(MOLECULES["test"])
    assert len(text) < 3e6
    assert all(image["alt"] for image in images)
    written = sorted(path.name for path in (folder / "figures").iterdir())
    assert written == sorted(f"{name}.svg" for name in FIGURES)
    for name in written:
        root = ElementTree.parse(folder / "figures" / name).getroot()
        assert root.tag.endswith("svg")
    # nothing half-written or hidden is left
    assert {path.name for path in folder.iterdir()} == {"tables", "training", "figures", "report.html"}


@pytest.mark.slow
def test_the_same_input_gives_the_same_report(whole, tmp_path):
    _, tables, text = whole
    again = make_report(tmp_path, tables, make_config((0, 1)), make_logs(tmp_path / "training", (0, 1)))
    # all but versions, which tell of the checkout and may change while tests run
    assert again.split('id="provenance"')[0] == text.split('id="provenance"')[0]


@pytest.mark.slow
def test_failures_are_counted_and_named(whole):
    _, tables, text = whole
    rows = failures.failures(make_results(tables), {})
    assert {row["where"] for row in rows} == {"scf", "warmstart", "tddft"}
    assert all(
        (row["who"], row["count"], row["names"]) == ("xcdiff hess", "1 of 16", "furan (seed 0)")
        for row in rows
    )
    page = Page(text).text
    assert "furan (seed 0)" in page
    assert "15 / 16" in page
    assert "†1" in page


@pytest.mark.slow
@pytest.mark.parametrize("column", ["skipped", "undone"])
def test_bad_training_steps_are_told(tmp_path, column):
    logs = make_logs(tmp_path)
    log = pd.read_csv(logs[0])
    log[column] = 0
    log.loc[:2, column] = 1
    assert column == "skipped" or "undone" in plots_training.quantities({"a": log})["overall"]
    rows = failures.failures(make_results(make_tables()), {"xcdiff-base-0": log})
    assert [(row["who"], row["count"]) for row in rows] == [("xcdiff-base-0", "3 of 120")]


@pytest.mark.slow
def test_one_seed_is_said(words_only, tmp_path):
    page = Page(make_report(tmp_path, make_tables(), make_config(), make_logs(tmp_path / "training"))).text
    assert "one seed and 8 test molecules" in page
    assert "spread between seeds unknown" in page
    assert "All trainings took the same number of steps, 120." in page


@pytest.mark.parametrize(
    ("new", "percent", "n_better"),
    [
        ([0.8] * 8, -20.0, 8),
        ([1.3] * 8, 30.0, 0),
        # the mean falls by 30 %, but by two molecules only
        ([1.0] * 6 + [-0.2, -0.2], -30.0, 2),
    ],
)
def test_one_seed_is_described_and_not_judged(new, percent, n_better):
    tables = make_tables()
    set_values(tables, "base", [1.0] * 8)
    set_values(tables, "grad", new)
    change = make_results(tables).change("e_rho_mEh", key("grad"), key("base"))
    assert change.percent.mean == pytest.approx(percent)
    assert (change.verdict, change.n_better, change.n) == (Verdict.ONE_SEED, n_better, 8)
    assert np.isnan(change.percent.spread)
    words = losses.change_sentence(change, "grad", "base")
    assert f"better on {n_better} of 8 molecules" in words
    assert "1 seed, spread between seeds unknown" in words
    assert ("lowers" in words) == (percent < 0)
    sentence = losses.steps(make_results(tables))[0].sentence
    assert "gradient term (grad against base): one seed, not judged: Total energy MAE" in sentence
    assert f"E_rho {signed_percent(percent)}" in sentence


@pytest.mark.parametrize(
    ("new", "verdict", "words"),
    [
        # -20 % with a standard deviation of 2 %: half the interval is 4.303 * 2 / sqrt(3) = 5 %
        ((0.78, 0.80, 0.82), Verdict.BETTER, "grad lowers test E_rho by 20 % against base"),
        ((1.28, 1.30, 1.32), Verdict.WORSE, "grad raises test E_rho by 30 % against base"),
        # the same with 10 %: half the interval is 25 %
        (
            (0.70, 0.80, 0.90),
            Verdict.UNCLEAR,
            "grad makes no clear change; it lowers test E_rho by 20 % against base",
        ),
    ],
)
def test_verdicts_follow_the_interval_over_seeds(new, verdict, words):
    tables = make_tables(seeds=(0, 1, 2))
    set_values(tables, "base", 1.0)
    for seed, value in enumerate(new):
        set_values(tables, "grad", value, seed=seed)
    change = make_results(tables, make_config((0, 1, 2))).change("e_rho_mEh", key("grad"), key("base"))
    assert change.verdict is verdict
    sentence = losses.change_sentence(change, "grad", "base")
    assert words in sentence
    if verdict is Verdict.BETTER:
        assert "3 seeds, 95 % interval −25 % to −15 %" in sentence


def test_seeds_are_paired():
    """All seeds fall by a tenth, however far they are apart."""
    tables = make_tables(seeds=(0, 1, 2))
    for seed, value in enumerate((1.0, 5.0, 25.0)):
        set_values(tables, "base", value, seed=seed)
        set_values(tables, "grad", 0.9 * value, seed=seed)
    change = make_results(tables).change("e_rho_mEh", key("grad"), key("base"))
    assert change.percent.mean == pytest.approx(-10)
    assert change.verdict is Verdict.BETTER


def test_a_change_below_the_spread_of_seeds_is_not_clear():
    tables = make_tables(seeds=(0, 1))
    for seed, value in ((0, 1.0), (1, 0.5)):
        set_values(tables, "base", [1.0] * 8, seed=seed)
        set_values(tables, "grad", [value] * 8, seed=seed)
    change = make_results(tables).change("e_rho_mEh", key("grad"), key("base"))
    # 0 and -50 %: mean -25 %, standard deviation 35 %
    assert change.percent.mean == pytest.approx(-25)
    assert change.percent.spread == pytest.approx(50 / np.sqrt(2))
    assert change.verdict is Verdict.UNCLEAR


def test_only_common_molecules_are_compared():
    tables = make_tables(failed={("grad", 0, "furan")})
    set_values(tables, "base", [100.0] + [1.0] * 7)
    set_values(tables, "grad", [0.0] + [0.5] * 7)
    change = make_results(tables).change("e_rho_mEh", key("grad"), key("base"))
    assert (change.value, change.against, change.n, change.n_left_out) == (0.5, 1.0, 7, 1)
    against_pbe = make_results(tables).change("e_rho_mEh", key("grad"), key("pbe"))
    assert against_pbe.n == 7


def test_it_is_said_where_base_wins():
    tables = make_tables(seeds=(0, 1))
    for loss, value in (("base", 0.4), ("grad", 0.5), ("hess", 0.6)):
        set_values(tables, loss, value)
    results = make_results(tables, make_config((0, 1)))
    assert results.best("e_rho_mEh", [key(loss) for loss in ("base", "grad", "hess")]) == [("xcdiff", "base")]
    assert re.search(r"base on [^;]*E_rho", losses.winner_sentences(results)[0])
    sentences = [step.sentence for step in losses.steps(results)]
    assert re.search(r"worse on [^;]*E_rho \+25 %", sentences[0])
    assert re.search(r"worse on [^;]*E_rho \+50 %", sentences[2])


def test_nobody_wins_by_failing():
    tables = make_tables(failed={("hess", 0, "furan")})
    set_values(tables, "base", [9.0] + [1.0] * 7)
    set_values(tables, "hess", [9.0] + [1.1] * 7)
    best = make_results(tables).best("e_rho_mEh", [key("base"), key("hess")])
    assert best == [("xcdiff", "base")]


def test_paper_and_ours_by_hand():
    tables = make_tables()
    set_values(tables, "base", [1.0] * 8)
    set_values(tables, "hess", [0.6] * 8)
    found = {(one.claim.metric.name, one.loss): one for one in claims.findings(make_results(tables))}
    assert found["e_rho_mEh", "hess"].percent == pytest.approx(-40)
    assert "1.00 → 0.600 mEh" in found["e_rho_mEh", "hess"].words
    warm = tables["warmstart"]
    mine = warm[(warm["loss"] == "hess") & (warm["guess"] == "density")]
    saved = (100 * (11 - mine["cycles"]) / 11).mean()
    assert found["warmstart_cycles_saved_percent", "hess"].percent == pytest.approx(-saved)
    assert ("tddft_mae_eV", "grad") not in found  # the paper's figure is for Hessian supervision


def test_several_models_are_averaged():
    models = ("xcdiff", "nnmgga")
    found = claims.findings(make_results(make_tables(models=models), make_config(models=models)))
    *each, mean = [one for one in found if one.claim.metric.name == "e_rho_mEh" and one.loss == "grad"]
    assert len(each) == 2
    base, grad = np.mean([one.by_seed[["old", "new"]].mean() for one in each], axis=0)
    assert mean.percent == pytest.approx(100 * (grad / base - 1)), (
        "the change of the mean, as in docs/results.md"
    )
    saved = [
        one.percent for one in found if one.claim.metric.name.endswith("saved_percent") and one.loss == "grad"
    ]
    assert saved[2] == pytest.approx(np.mean(saved[:2]))
    assert next(one.who for one in found if one.is_mean) == "grad, mean of 2 models"


def test_tiles_are_of_the_mean_or_of_the_model_that_is_claimed_for():
    models = ("nnmgga", "xcdiff")
    tables = make_tables(models=models)
    wrong = (tables["tddft"]["model"] == "nnmgga") & (tables["tddft"]["loss"] == "hess")
    tables["tddft"].loc[wrong, "error_eV"] *= 9
    results = make_results(tables, make_config(models=models))
    shown = {tile["title"]: tile["ours"] for tile in paper.tiles(results)}
    found = {(one.claim.metric.name, one.model, one.loss): one for one in claims.findings(results)}
    mine = found["tddft_mae_eV", "xcdiff", "hess"]
    assert [one["percent"] for one in shown["TDDFT MAE, xcdiff"]] == [signed_percent(mine.percent)]
    mean = found["e_rho_mEh", "mean of 2 models", "grad"]
    assert shown["E_rho"][0]["percent"] == signed_percent(mean.percent)
    assert mine.percent != pytest.approx(found["tddft_mae_eV", "mean of 2 models", "hess"].percent)


def drop(tables, **conditions):
    """Tables without the rows that meet a condition, by name of the table."""
    return {name: table[~conditions[name](table)].reset_index(drop=True) if name in conditions else table
            for name, table in tables.items()}  # fmt: skip


def everything(table):
    return pd.Series(True, index=table.index)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["scf", "warmstart", "tddft"])
def test_a_table_without_rows_is_told(tmp_path, name):
    text = make_report(tmp_path, drop(make_tables(), **{name: everything}), make_config(), [])
    page = Page(text).text
    assert f"{name}: the table has no rows." in page
    assert "xcdiff-base-0: no training log." in page


@pytest.mark.slow
def test_a_model_without_rows_is_told(words_only, tmp_path):
    tables = drop(
        make_tables(),
        **{name: lambda table: table["loss"] == "hess" for name in ("scf", "warmstart", "tddft")},
    )
    page = Page(make_report(tmp_path, tables, make_config(), [])).text
    assert "scf: no test rows of xcdiff hess." in page
    assert "tddft: no test rows of xcdiff hess." in page


@pytest.mark.slow
def test_molecules_without_rows_are_told(tmp_path):
    tables = drop(make_tables(), scf=lambda table: table["molecule"] == "toluene")
    page = Page(make_report(tmp_path, tables, make_config(), [])).text
    assert "scf: 1 of 8 test molecules of the config have no row" in page


@pytest.mark.slow
def test_all_failed(tmp_path):
    tables = make_tables()
    for table in tables.values():
        table["converged"] = False
    page = Page(make_report(tmp_path, tables, make_config(), [])).text
    assert "none of the test rows of pbe converged" in page
    assert "8 of 8" in page
    assert "Nothing can be compared" in page


@pytest.mark.slow
def test_nothing_at_all(tmp_path):
    empty = {name: table.iloc[:0] for name, table in make_tables().items()}
    page = Page(make_report(tmp_path, empty, make_config(), [])).text
    assert "The tables have no test rows." in page
    assert "No training logs." in page


@pytest.mark.slow
def test_values_that_are_not_numbers(tmp_path):
    tables = make_tables()
    for name, column in (("scf", "e_rho_mEh"), ("warmstart", "hybrid_fock_builds"), ("tddft", "error_eV")):
        tables[name].loc[::2, column] = pd.NA if tables[name][column].dtype == "Int64" else np.nan
    log = make_logs(tmp_path / "training")[0]
    rows = pd.read_csv(log)
    rows.loc[3, ["loss", "energy_raw_mEh"]] = np.inf
    rows.to_csv(log, index=False)
    assert "<html" in make_report(tmp_path, tables, make_config(), [log])


@pytest.mark.slow
def test_names_are_escaped(tmp_path):
    tables = make_tables()
    for table in tables.values():
        table["molecule"] = table["molecule"].replace({"furan": "<b>$x_{1$ & co"})
    text = make_report(tmp_path, tables, make_config(), [])
    assert "<b>$x" not in text
    assert "&lt;b&gt;$x_{1$ &amp; co" in text


@pytest.mark.slow
def test_settings_and_versions_are_in_the_page(whole):
    page = Page(whole[2]).text
    assert "max_heavy: 4" in page
    assert "dixc" in page
    for package in ("pyscf", "torch"):
        assert package in page


@pytest.mark.slow
@pytest.mark.parametrize("name", ["summary.csv", "scf.csv"])
def test_a_missing_table_is_an_error_that_leaves_nothing(tmp_path, name):
    tables = make_tables()
    write_tables(tables | {"summary": summarise(tables)}, tmp_path / "tables")
    (tmp_path / "tables" / name).unlink()
    with pytest.raises(UserError, match=rf"{name}: no such file"):
        report.run(make_config(), tmp_path / "tables", [], tmp_path / "out" / "report.html")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("text", "message"), [("", "cannot be read"), ("step,loss\n1,2\n", "no column wall_s")]
)
def test_a_bad_training_log_is_an_error(tmp_path, text, message):
    path = tmp_path / "xcdiff-base-0.csv"
    path.write_text(text)
    with pytest.raises(UserError, match=message):
        training_logs.read_logs([path])


@pytest.mark.slow
def test_a_training_log_without_rows(tmp_path):
    path = tmp_path / "xcdiff-base-0.csv"
    path.write_text("step,wall_s,loss\n")
    assert "<html" in make_report(tmp_path, make_tables(), make_config(), [path])


def test_names_of_logs():
    assert training_logs.parse_name("skala-mgga-hess-12") == ("skala-mgga", "hess", "12")


def test_functionals_follow_the_config_and_then_the_tables():
    tables = make_tables(models=("xcdiff", "other"))
    assert make_results(tables).functionals == [
        ("pbe", "none"), ("r2scan", "none"), ("xcdiff", "base"), ("xcdiff", "grad"), ("xcdiff", "hess"),
        ("other", "base"), ("other", "grad"), ("other", "hess"),
    ]  # fmt: skip


def test_every_figure_has_words():
    assert tuple(figures.KINDS) == FIGURES

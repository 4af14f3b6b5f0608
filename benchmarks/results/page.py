"""docs/results.md from the CSV files of `collect`; each run's notes.md is put in as it is."""

from __future__ import annotations

from pathlib import Path
from textwrap import fill

import numpy as np
import pandas as pd

from benchmarks.results import equal_time
from benchmarks.results.cells import cell, percent
from benchmarks.results.collect import EQUAL_TIME, read
from benchmarks.results.numbers import Seeds
from dixc.config.root import NO_LOSS
from dixc.errors import InputError
from dixc.store import atomic_file
from dixc.tables.claims import CLAIMS, Claim
from dixc.tables.judge import CLAIM_RULE, RULE, estimate, judge_claim
from dixc.tables.metrics import tagged
from dixc.tables.schema import BASE, FunctionalKey
from dixc.text import DASH, markdown_table, number, signed_percent

METRICS = tagged("page")
BASELINES = ("pbe", "r2scan")
ABOUT = ("reference", "train", "test", "excitations", "models", "losses", "seeds", "steps")
PROGRAMS = ("dixc", "commit", "pyscf", "torch")
HEAD = f"""# Results

Made by `python -m benchmarks.results page docs/results docs/results.md` from the tables in
[docs/results/](results/). `python -m benchmarks.results collect results/<run> docs/results/<run>`
takes these from a run. Errors are against the reference on test molecules, at each functional's own
SCF solution. Numbers are means over molecules, then over seeds, ± the standard deviation between
seeds; [tables.md](tables.md) says what each metric is. The paper (arXiv:2606.04279) has other
molecules, sizes and lengths of training: its figures are targets, not values that a small run must
show.

{fill(RULE, 100)}
{fill(CLAIM_RULE, 100)}
"""


def run(source: Path, out: Path) -> None:
    """Write the page of all runs in a folder.

    Args:
        source: folder with a folder of CSV files for each run.
        out: Markdown file.

    Raises:
        InputError: no run there, or a file is missing or damaged.
    """
    folders = sorted(path.parent for path in source.glob("*/seeds.csv"))
    if not folders:
        raise InputError(f"{source}: no run in it (a folder with seeds.csv)")
    text = "\n".join([HEAD, *(section(read(folder), _notes(folder)) for folder in folders)])
    with atomic_file(out) as file:
        file.write(text.encode())


def _notes(folder: Path) -> str:
    """What people wrote about a run, in notes.md beside its tables; nothing if there is none."""
    path = folder / "notes.md"
    return path.read_text(encoding="utf-8").strip() if path.exists() else ""


def section(tables: dict[str, pd.DataFrame], notes: str = "") -> str:
    """All about one run."""
    about = dict(zip(tables["about"]["key"], tables["about"]["value"], strict=True))
    seeds = Seeds(tables["seeds"])
    at_equal_time = [equal_time.scores(tables["training"])]
    if EQUAL_TIME in tables:
        at_equal_time.append(equal_time.errors(seeds, tables[EQUAL_TIME]))
    pieces = [
        f"## Run `{about.get('run', '')}`",
        _described(about, seeds),
        notes,
        "### Averaged over architectures",
        _minao(seeds, about),
        overview(seeds),
        "### Claims",
        claims(seeds),
        "### Each architecture",
        *(architecture(seeds, model) for model in seeds.models),
        "### At equal training time",
        *at_equal_time,
        "### Failures",
        failures(tables["failures"]),
    ]
    return "\n\n".join(piece for piece in pieces if piece) + "\n"


def _described(about: dict[str, str], seeds: Seeds) -> str:
    asked = about.get("seeds", "").split()
    words = [f"- {key}: {about[key]}" for key in ABOUT if key in about]
    programs = ", ".join(f"{key} {about[key]}" for key in PROGRAMS if key in about)
    words.append(f"- made with: {programs}" if programs else "")
    if max(_finished(seeds).values(), default=0) == 1:
        unspread = "One seed: there is no spread"
        if len(asked) > 1:
            unspread = (
                f"One of {len(asked)} seeds is finished for all architectures: their averages have no spread"
            )
        words.append(f"- **{unspread}, and small differences mean nothing.**")
    return "\n".join(word for word in words if word)


def _minao(seeds: Seeds, about: dict[str, str]) -> str:
    name = about.get("reference", "/").split("/")[0]
    builds = seeds.values("warmstart_fock_builds_minao", name, NO_LOSS)
    return (
        ""
        if builds.empty
        else f"From PySCF's default guess {name} takes {number(builds.mean())} Fock builds."
    )


def overview(seeds: Seeds) -> str:
    """The table of the mean over architectures."""
    return _counted(seeds) + "\n\n" + _table(seeds, "", None, "paper")


def architecture(seeds: Seeds, model: str) -> str:
    """The table of one architecture."""
    return _table(seeds, f"**{model}**", model, "paper, mean of four")


def _table(seeds: Seeds, head: str, model: str | None, paper: str) -> str:
    """Baselines, losses of an architecture (None: averaged), their changes, the paper's figures."""
    rows = [
        [name, *(cell(estimate(seeds.values(metric.name, name, NO_LOSS))) for metric in METRICS)]
        for name in BASELINES
    ]
    rows += [
        [f"`{loss}`", *(cell(estimate(seeds.of(metric.name, loss, model))) for metric in METRICS)]
        for loss in seeds.losses
    ]
    rows += [
        [
            f"`{loss}` against `{BASE}`",
            *(percent(seeds.change(metric.name, loss, model)) for metric in METRICS),
        ]
        for loss in seeds.losses
        if loss != BASE and BASE in seeds.losses
    ]
    # what the paper reports of one architecture says nothing about another
    of_one = {
        claim.metric: claim.model for claim in CLAIMS if claim.model and model not in (None, claim.model)
    }
    figures = ("" if metric in of_one else metric.paper for metric in METRICS)
    rows.append([paper, *(figure or DASH for figure in figures)])
    return markdown_table([head, *(metric.heading for metric in METRICS)], rows)


def _finished(seeds: Seeds) -> dict[str, int]:
    """Number of seeds of each loss that all architectures have finished."""
    return {loss: len(seeds.average("e_rho_mEh", loss)) for loss in seeds.losses}


def _counted(seeds: Seeds) -> str:
    each = ", ".join(f"`{loss}` {count}" for loss, count in _finished(seeds).items())
    return f"Mean of {', '.join(seeds.models)}; seeds that all of them have finished: {each}."


def claims(seeds: Seeds) -> str:
    """The paper's claims, ours beside them, and what that means, first in a few words."""
    rows: list[list[str]] = []
    cases: dict[str, list[str]] = {}
    for claim in CLAIMS:
        for loss in (loss for loss in seeds.losses if claim.is_about(loss)):
            row = _claim(seeds, claim, loss)
            if row:
                rows.append(row)
                if np.isfinite(claim.high) and not claim.is_saving:
                    of = f" of {claim.model}" if claim.model else ""
                    cases.setdefault(row[-1], []).append(f"{claim.metric.label}{of} ({row[2]})")
    if not rows:
        return "No numbers."
    words = "\n".join(f"- {verdict}: {', '.join(which)}" for verdict, which in cases.items())
    table = markdown_table(["claim", "paper", "loss", "here", "verdict"], rows)
    means = "Changes are those of the mean over architectures, but for claims about one."
    return "\n\n".join([words, table, means])


def _claim(seeds: Seeds, claim: Claim, loss: str) -> list[str] | None:
    if claim.is_saving:
        return _iterations(seeds, claim, loss)
    if claim.model and claim.model not in seeds.models:
        return None
    change = seeds.change(claim.metric.name, loss, claim.model)
    _, words = judge_claim(change, claim.high)
    return [claim.title, claim.figure, f"`{loss}`", percent(change), words] if change.n else None


def _iterations(seeds: Seeds, claim: Claim, loss: str) -> list[str] | None:
    """Mean iterations from the distilled density against mean iterations from the default guess."""
    metric, table = "warmstart_cycles_density", seeds.table
    default = table.loc[table["metric"] == "warmstart_cycles_minao", "value"].mean()
    fewer = {model: 100 * (seeds.of(metric, loss, model) / default - 1) for model in (None, *seeds.models)}
    mean = estimate(fewer.pop(None))
    if not np.isfinite(mean.mean):
        return None
    best = min(changes.min() for changes in fewer.values())
    words = f"best architecture and seed {signed_percent(best)}"
    return [claim.title, claim.figure, f"`{loss}`", percent(mean), words]


def failures(failed: pd.DataFrame) -> str:
    """Which molecules did not converge, by table and functional."""
    if failed.empty:
        return "None: every SCF, warm start and excitation of a test or validation molecule converged."
    rows = []
    for (name, model, loss), group in failed.groupby(["table", "model", "loss"], sort=False):
        words = ", ".join(f"{row.molecule} (seed {row.seed})" for row in group.itertuples())
        functional = f"{model} `{loss}`" if FunctionalKey(model, loss).is_trained else model
        rows.append([name, functional, words])
    return markdown_table(["", "functional", "molecules"], rows)

"""docs/results.md from the CSV files of `collect`: all words are computed, but for each run's notes.md."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.results import equal_time
from benchmarks.results.cells import DIRECT, cell, percent, table
from benchmarks.results.collect import EQUAL_TIME, read
from benchmarks.results.numbers import Seeds, estimate, verdict
from dixc.errors import InputError
from dixc.store import atomic_file
from dixc.tables.claims import CLAIMS, Claim
from dixc.tables.compare import number, signed_percent

PAPER_ROW = {
    "e_tot_mae_mEh": "−66 % against `base`",
    "e_tot_mae_fit_mEh": "–",
    "e_rho_mEh": "1.2 → 0.8",
    "dipole_error_debye": "not uniform",
    "l2_density": "not uniform",
    "warmstart_fock_builds_density": "up to −50 % of the iterations",
    "warmstart_fock_builds_accelerate": "–",
    "tddft_mae_eV": "−19 to −35 % (XCdiff, `hess`)",
}
ONE_ONLY = {"tddft_mae_eV": "xcdiff"}  # the architecture of which the paper reports it
BASELINES = ("pbe", "r2scan")
SHORT = {
    "e_tot_mae_mEh": "total energy",
    "e_rho_mEh": "E_rho",
    "tddft_mae_eV": "excitation energies of XCdiff",
}
HEAD = """# Results

Made by `python -m benchmarks.results page docs/results docs/results.md` from the tables in
[docs/results/](results/), which `python -m benchmarks.results collect results/<run> docs/results/<run>`
takes from a run. Errors are against the reference
on test molecules, at each functional's own SCF solution; numbers are means over molecules, then over seeds, ± the
standard deviation between seeds. The paper (arXiv:2606.04279) has other molecules, sizes and lengths of training: its
figures are targets, not values that a small run must show.
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
    pieces = [f"## Run `{about.get('run', '')}`", _described(about, seeds), notes, "### Averaged over architectures",
              _minao(seeds, about), overview(seeds), "### Claims", claims(seeds), "### Each architecture",
              *(architecture(seeds, model) for model in seeds.models), "### At equal training time",
              *at_equal_time, "### Failures", failures(tables["failures"])]  # fmt: skip
    return "\n\n".join(piece for piece in pieces if piece) + "\n"


def _described(about: dict[str, str], seeds: Seeds) -> str:
    asked = about.get("seeds", "").split()
    words = [f"- {key}: {about[key]}" for key in ("reference", "train", "test", "excitations", "models", "losses",
                                                  "seeds", "steps") if key in about]  # fmt: skip
    program = ", ".join(f"{key} {about[key]}" for key in ("dixc", "commit", "pyscf", "torch") if key in about)
    words.append(f"- made with: {program}" if program else "")
    if max(_finished(seeds).values(), default=0) == 1:
        unspread = "One seed: there is no spread"
        if len(asked) > 1:
            unspread = (
                f"One of {len(asked)} seeds is finished for all architectures: their averages have no spread"
            )
        words.append(f"- **{unspread}, and small differences mean nothing.**")
    return "\n".join(word for word in words if word)


def _minao(seeds: Seeds, about: dict[str, str]) -> str:
    metric, name = "warmstart_fock_builds_minao", about.get("reference", "/").split("/")[0]
    builds = seeds.values(metric, name, "none")
    return (
        ""
        if builds.empty
        else f"From PySCF's default guess {name} takes {number(builds.mean())} Fock builds."
    )


def overview(seeds: Seeds) -> str:
    """The table of the mean over architectures."""
    return _counted(seeds) + "\n\n" + table(["", *DIRECT.values()], _rows(seeds, None, "paper"))


def architecture(seeds: Seeds, model: str) -> str:
    """The table of one architecture."""
    return table([f"**{model}**", *DIRECT.values()], _rows(seeds, model, "paper, mean of four"))


def _rows(seeds: Seeds, model: str | None, paper: str) -> list[list[str]]:
    """Baselines, the three losses of an architecture (None: averaged), their changes, and the paper's figures."""
    rows = [
        [name, *(cell(estimate(seeds.values(metric, name, "none"))) for metric in DIRECT)]
        for name in BASELINES
    ]
    rows += [
        [f"`{loss}`", *(cell(estimate(seeds.of(metric, loss, model))) for metric in DIRECT)]
        for loss in seeds.losses
    ]
    rows += [
        [f"`{loss}` against `base`", *(percent(seeds.change(metric, loss, model)) for metric in DIRECT)]
        for loss in seeds.losses if loss != "base" and "base" in seeds.losses
    ]  # fmt: skip
    figures = (
        "–" if model and ONE_ONLY.get(metric, model) != model else words
        for metric, words in PAPER_ROW.items()
    )
    return [*rows, [paper, *figures]]


def _finished(seeds: Seeds) -> dict[str, int]:
    """Number of seeds of each loss that all architectures have finished."""
    return {loss: len(seeds.average("e_rho_mEh", loss)) for loss in seeds.losses}


def _counted(seeds: Seeds) -> str:
    each = ", ".join(f"`{loss}` {count}" for loss, count in _finished(seeds).items())
    return f"Mean of {', '.join(seeds.models)}; seeds that all of them have finished: {each}."


def claims(seeds: Seeds) -> str:
    """The paper's claims, ours beside them, and what that means, first in a few words."""
    rows, found = [], {}
    for claim in CLAIMS:
        for loss in (loss for loss in seeds.losses if loss != "base" and claim.loss in (None, loss)):
            row = _claim(seeds, claim, loss)
            if row:
                rows.append(row)
                if claim.metric in SHORT:
                    found.setdefault(row[-1], []).append(f"{SHORT[claim.metric]} ({row[2]})")
    if not rows:
        return "No numbers."
    words = "\n".join(f"- {words}: {', '.join(cases)}" for words, cases in found.items())
    closing = (
        "A claim holds if the change is beyond the seeds' spread (95 % confidence) and at least as large as the "
        "paper's.\nChanges are those of the mean over architectures, but for claims about one."
    )
    return words + "\n\n" + table(["claim", "paper", "loss", "here", "verdict"], rows) + "\n\n" + closing


def _claim(seeds: Seeds, claim: Claim, loss: str) -> list[str] | None:
    if claim.metric == "warmstart_cycles_saved_percent":
        return _iterations(seeds, claim, loss)
    if claim.model and claim.model not in seeds.models:
        return None
    change = seeds.change(claim.metric, loss, claim.model)
    words = verdict(change, claim.high) if np.isfinite(claim.high) else "no figure to compare with"
    return [claim.title, claim.figure, f"`{loss}`", percent(change), words] if change.n else None


def _iterations(seeds: Seeds, claim: Claim, loss: str) -> list[str] | None:
    """Mean iterations from the distilled density against mean iterations from the default guess."""
    metric, known = "warmstart_cycles_density", seeds.table
    default = known.loc[known["metric"] == "warmstart_cycles_minao", "value"].mean()
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
        rows.append([name, model if loss == "none" else f"{model} `{loss}`", words])
    return table(["", "functional", "molecules"], rows)

"""docs/results.md from the CSV files of `dixc.results.collect`: all words are computed, but for each run's notes.md."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from dixc.errors import UserError
from dixc.report.compare import number, signed_percent
from dixc.report.paper import CLAIMS, Claim
from dixc.results.collect import EQUAL_TIME, read
from dixc.results.numbers import Estimate, Seeds, estimate, verdict
from dixc.store import atomic_file

DIRECT = {
    "e_tot_mae_mEh": "total energy, mEh",
    "e_tot_mae_fit_mEh": "the same, fitted, mEh",
    "e_rho_mEh": "E_rho, mEh",
    "dipole_error_debye": "dipole, D",
    "l2_density": "L2 density, bohr^-1.5",
    "warmstart_fock_builds_density": "builds from its density",
    "warmstart_fock_builds_accelerate": "builds accelerated by it",
    "tddft_mae_eV": "TDDFT, eV",
}
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
# columns of benchmarks/trainings.py
COMPARED = {
    "e_tot_error_mEh": "e_tot_mae_mEh",
    "e_tot_error_fit_mEh": "e_tot_mae_fit_mEh",
    "e_rho_mEh": "e_rho_mEh",
    "dipole_error_debye": "dipole_error_debye",
    "tddft_error_eV": "tddft_mae_eV",
}
SHORT = {
    "e_tot_mae_mEh": "total energy",
    "e_rho_mEh": "E_rho",
    "tddft_mae_eV": "excitation energies of XCdiff",
}
HEAD = """# Results

Made by `python -m dixc.results page docs/results docs/results.md` from the tables in [docs/results/](results/), which
`python -m dixc.results collect results/<run> docs/results/<run>` takes from a run. Errors are against the reference
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
        UserError: no run there, or a file is missing or damaged.
    """
    folders = sorted(path.parent for path in source.glob("*/seeds.csv"))
    if not folders:
        raise UserError(f"{source}: no run in it (a folder with seeds.csv)")
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
    at_equal_time = [equal_time(tables["training"])]
    if EQUAL_TIME in tables:
        at_equal_time.append(errors_at_equal_time(seeds, tables[EQUAL_TIME]))
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


def _cell(found: Estimate) -> str:
    spread = f" ± {number(found.spread, 2)}" if np.isfinite(found.spread) else ""
    return number(found.mean) + spread


def _percent(found: Estimate) -> str:
    if not np.isfinite(found.mean):
        return "–"
    spread = f" ± {found.spread:.0f}" if np.isfinite(found.spread) else ""
    return signed_percent(found.mean).removesuffix(" %") + spread + " %"


def _table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def overview(seeds: Seeds) -> str:
    """The table of the mean over architectures."""
    return _counted(seeds) + "\n\n" + _table(["", *DIRECT.values()], _rows(seeds, None, "paper"))


def architecture(seeds: Seeds, model: str) -> str:
    """The table of one architecture."""
    return _table([f"**{model}**", *DIRECT.values()], _rows(seeds, model, "paper, mean of four"))


def _rows(seeds: Seeds, model: str | None, paper: str) -> list[list[str]]:
    """Baselines, the three losses of an architecture (None: averaged), their changes, and the paper's figures."""
    rows = [
        [name, *(_cell(estimate(seeds.values(metric, name, "none"))) for metric in DIRECT)]
        for name in BASELINES
    ]
    rows += [
        [f"`{loss}`", *(_cell(estimate(seeds.of(metric, loss, model))) for metric in DIRECT)]
        for loss in seeds.losses
    ]
    rows += [
        [f"`{loss}` against `base`", *(_percent(seeds.change(metric, loss, model)) for metric in DIRECT)]
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
    return words + "\n\n" + _table(["claim", "paper", "loss", "here", "verdict"], rows) + "\n\n" + closing


def _claim(seeds: Seeds, claim: Claim, loss: str) -> list[str] | None:
    if claim.metric == "warmstart_cycles_saved_percent":
        return _iterations(seeds, claim, loss)
    if claim.model and claim.model not in seeds.models:
        return None
    change = seeds.change(claim.metric, loss, claim.model)
    words = verdict(change, claim.high) if np.isfinite(claim.high) else "no figure to compare with"
    return [claim.title, claim.figure, f"`{loss}`", _percent(change), words] if change.n else None


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
    return [claim.title, claim.figure, f"`{loss}`", _percent(mean), words]


def equal_time(training: pd.DataFrame) -> str:
    """Seconds a step, and validation at the end and when `base` was done, both by architecture."""
    if training.empty:
        return "No training logs."
    clock = "cpu_s" if training["cpu_s"].notna().all() else "wall_s"
    rows = []
    for model, of_model in training.groupby("model", sort=False):
        base = of_model[of_model["loss"] == "base"]
        budget = base.groupby("seed")[clock].max()
        for loss, runs in of_model.groupby("loss", sort=False):
            rows.append([model, f"`{loss}`", *_times(runs, clock, budget)])
    word = "CPU" if clock == "cpu_s" else "wall-clock"
    head = ["", "loss", f"{word} s a step", f"{word} s in all", "steps in the time of `base`", "score then",
            "score at the end", "steps undone", "steps skipped"]  # fmt: skip
    words = (
        "Score: the validation loss by which weights are chosen (energy up to an offset per electron, and density), "
        "the same for\nevery loss; the best so far. *Then* is when `base` was done: a loss with more terms has made "
        "fewer steps by then, and\nits learning rate has not come down as far, so a training planned for that time "
        "would do better."
    )
    return words + "\n\n" + _table(head, rows)


def errors_at_equal_time(seeds: Seeds, table: pd.DataFrame) -> str:
    """Test errors of trainings that were planned for the time of `base`, each architecture and their mean.

    Args:
        seeds: of the run, where `base` is.
        table: equal_time.csv, of benchmarks/trainings.py.
    """
    new = table.rename(columns=COMPARED)[["model", "loss", "seed", "steps", *COMPARED.values()]]
    pairs = new[["model", "seed"]].drop_duplicates()
    base = pairs.assign(loss="base", steps=np.nan)
    for metric in COMPARED.values():
        base[metric] = [
            seeds.values(metric, row.model, "base").get(row.seed, np.nan) for row in pairs.itertuples()
        ]
    each = pd.concat([base, new]).drop(columns="seed").groupby(["loss", "model"]).mean()
    means = each.drop(columns="steps").groupby("loss").mean()
    rows = []
    for model in dict.fromkeys(pairs["model"]):
        for loss in (loss for loss in seeds.losses if (loss, model) in each.index):
            values = each.loc[(loss, model)]
            steps = "all" if loss == "base" else number(values["steps"])
            rows.append(
                [model, f"`{loss}`", steps, *(number(values[metric]) for metric in COMPARED.values())]
            )
    for loss in (loss for loss in seeds.losses if loss in means.index and loss != "base"):
        changes = 100 * (means.loc[loss] / means.loc["base"] - 1)
        rows.append(["mean", f"`{loss}` against `base`", "", *(signed_percent(c) for c in changes)])
    counted = ", ".join(map(str, sorted(set(pairs["seed"]))))
    words = (
        "Trained for as many steps as `base` has the time for, so that the learning rate has come down "
        f"(seed {counted}); test\nmolecules:"
    )
    head = ["", "loss", "steps", *(DIRECT[metric] for metric in COMPARED.values())]
    return words + "\n\n" + _table(head, rows)


def _times(runs: pd.DataFrame, clock: str, budget: pd.Series) -> list[str]:
    """Cells of one architecture and loss; `budget` has the seconds that `base` took, by seed."""
    ends = runs.loc[runs.groupby("seed")["step"].idxmax()].set_index("seed")
    each = ends[clock] / ends["step"]
    then = runs[runs[clock] <= runs["seed"].map(budget)].groupby("seed")["validation_score"].min()
    best = runs.groupby("seed")["validation_score"].min()
    steps = np.minimum(ends["step"], (budget / each).reindex(ends.index))
    sums = [number(float(ends[column].mean()), 2) for column in ("undone", "skipped")]
    return [number(each.mean()), number(ends[clock].mean()), number(float(steps.mean())), _cell(estimate(then)),
            _cell(estimate(best)), *sums]  # fmt: skip


def failures(table: pd.DataFrame) -> str:
    """Which molecules did not converge, by table and functional."""
    if table.empty:
        return "None: every SCF, warm start and excitation of a test or validation molecule converged."
    rows = []
    for (name, model, loss), group in table.groupby(["table", "model", "loss"], sort=False):
        words = ", ".join(f"{row.molecule} (seed {row.seed})" for row in group.itertuples())
        rows.append([name, model if loss == "none" else f"{model} `{loss}`", words])
    return _table(["", "functional", "molecules"], rows)

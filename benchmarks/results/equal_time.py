"""The section "At equal training time" of docs/results.md."""

from __future__ import annotations

import numpy as np
import pandas as pd

from benchmarks.results.cells import cell
from benchmarks.results.numbers import Seeds
from dixc.tables.judge import estimate
from dixc.tables.metrics import BY_NAME
from dixc.tables.schema import BASE
from dixc.text import markdown_table, number, signed_percent

# columns of benchmarks/trainings.py, and the metrics that they are
COMPARED = {
    "e_tot_error_mEh": "e_tot_mae_mEh",
    "e_tot_error_fit_mEh": "e_tot_mae_fit_mEh",
    "e_rho_mEh": "e_rho_mEh",
    "dipole_error_debye": "dipole_error_debye",
    "tddft_error_eV": "tddft_mae_eV",
}


def scores(training: pd.DataFrame) -> str:
    """Seconds a step, and validation at the end and when `base` was done, both by architecture."""
    if training.empty:
        return "No training logs."
    clock = "cpu_s" if training["cpu_s"].notna().all() else "wall_s"
    rows = []
    for model, of_model in training.groupby("model", sort=False):
        base = of_model[of_model["loss"] == BASE]
        budget = base.groupby("seed")[clock].max()
        for loss, runs in of_model.groupby("loss", sort=False):
            rows.append([model, f"`{loss}`", *_times(runs, clock, budget)])
    word = "CPU" if clock == "cpu_s" else "wall-clock"
    head = ["", "loss", f"{word} s a step", f"{word} s in all", "steps in the time of `base`"]
    head += ["score then", "score at the end", "steps undone", "steps skipped"]
    words = (
        "Score: the validation loss by which weights are chosen (energy up to an offset per electron, "
        "and density), the same for\nevery loss; the best so far. *Then* is when `base` was done: a loss "
        "with more terms has made fewer steps by then, and\nits learning rate has not come down as far, "
        "so a training planned for that time would do better."
    )
    return words + "\n\n" + markdown_table(head, rows)


def errors(seeds: Seeds, compared: pd.DataFrame) -> str:
    """Test errors of trainings planned for the time of `base`, each architecture and the mean.

    Args:
        seeds: of the run, where `base` is.
        compared: equal_time.csv, of benchmarks/trainings.py.
    """
    new = compared.rename(columns=COMPARED)[["model", "loss", "seed", "steps", *COMPARED.values()]]
    pairs = new[["model", "seed"]].drop_duplicates()
    base = pairs.assign(loss=BASE, steps=np.nan)
    for metric in COMPARED.values():
        base[metric] = [
            seeds.values(metric, row.model, BASE).get(row.seed, np.nan) for row in pairs.itertuples()
        ]
    each = pd.concat([base, new]).drop(columns="seed").groupby(["loss", "model"]).mean()
    everywhere = each.groupby("model")["steps"].size() == each.index.unique("loss").size
    shared = each[each.index.get_level_values("model").map(everywhere)]
    means = shared.drop(columns="steps").groupby("loss").mean()
    rows = []
    for model in dict.fromkeys(pairs["model"]):
        for loss in (loss for loss in seeds.losses if (loss, model) in each.index):
            values = each.loc[(loss, model)]
            steps = "all" if loss == BASE else f"{values['steps']:.0f}"
            rows.append(
                [model, f"`{loss}`", steps, *(number(values[metric]) for metric in COMPARED.values())]
            )
    for loss in (loss for loss in seeds.losses if loss in means.index and loss != BASE):
        changes = 100 * (means.loc[loss] / means.loc[BASE] - 1)
        rows.append(["mean", f"`{loss}` against `base`", "", *(signed_percent(c) for c in changes)])
    counted = ", ".join(map(str, sorted(set(pairs["seed"]))))
    words = (
        "Trained for as many steps as `base` has the time for, so that the learning rate has come down "
        f"(seed {counted}); test\nmolecules:"
    )
    head = ["", "loss", "steps", *(BY_NAME[metric].heading for metric in COMPARED.values())]
    return words + "\n\n" + markdown_table(head, rows)


def _times(runs: pd.DataFrame, clock: str, budget: pd.Series) -> list[str]:
    """Cells of one architecture and loss; `budget` has the seconds that `base` took, by seed."""
    ends = runs.loc[runs.groupby("seed")["step"].idxmax()].set_index("seed")
    each = ends[clock] / ends["step"]
    then = runs[runs[clock] <= runs["seed"].map(budget)].groupby("seed")["validation_score"].min()
    best = runs.groupby("seed")["validation_score"].min()
    steps = np.minimum(ends["step"], (budget / each).reindex(ends.index))
    sums = [number(float(ends[column].mean()), 2) for column in ("undone", "skipped")]
    means = [number(float(values.mean())) for values in (each, ends[clock], steps)]
    return [*means, cell(estimate(then)), cell(estimate(best)), *sums]

"""The metrics of a run and their summary over molecules and seeds.

A metric is a column of one table, read per molecule (`samples`). A sample is *used* if its row converged and
its value is finite; all others are kept and counted. `summarise` makes the rows of summary.csv:

    value     mean over seeds of the mean over the used samples of a seed
    spread    sample standard deviation of the seeds' means (NaN for one seed)
    n         used samples a seed (the smallest number, should seeds differ)
    n_failed  molecules with a sample that could not be used, counted over all seeds

A molecule with an element that no training molecule has is no sample of the energies fitted by element: it has not
failed. The row `unseen_element_molecules` counts such molecules, where there are any (value: their number, n: that of
all molecules).
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from numpy.typing import NDArray

KEYS = ["model", "loss", "seed", "split", "molecule"]
LOSSES = ("none", "base", "grad", "hess")
SPLITS = ("train", "validation", "test")
FITTED = "e_tot_error_fit_mEh"
UNSEEN = "unseen_element_molecules"
SUMMARY_COLUMNS = ["model", "loss", "split", "metric", "value", "spread", "n", "n_failed"]


@dataclass(frozen=True)
class Metric:
    """One number a molecule (or state), and how to speak of it.

    Attributes:
        name: as in summary.csv, with the unit at its end.
        table, column: where it is read.
        rows: column -> value that a row must have.
        absolute: take the absolute value.
        builds: rows of SCFs that took fewer Fock builds are no samples, nor are those of functionals without any value.
        against_minao: percent saved against the minao row of the same molecule instead of the value itself.
        higher_is_better: false for everything that is an error or a cost.
        label, unit, meaning: words for the report.
    """

    name: str
    table: str
    column: str
    label: str
    unit: str
    meaning: str
    rows: dict[str, str] = field(default_factory=dict)
    absolute: bool = False
    builds: int = 0
    against_minao: bool = False
    higher_is_better: bool = False


def _warm_starts(guess: str, words: str) -> list[Metric]:
    """Counts and seconds of hybrid SCFs from one kind of start."""
    rows = {"guess": guess}
    what = f"of the reference functional's SCF started from {words}"
    return [
        Metric(f"warmstart_fock_builds_{guess}", "warmstart", "hybrid_fock_builds", f"Fock builds ({guess})",
               "builds", f"All Fock builds with exact exchange {what}.", rows),
        Metric(f"warmstart_cycles_{guess}", "warmstart", "cycles", f"Iterations ({guess})", "iterations",
               f"Iterations {what}.", rows),
        Metric(f"warmstart_wall_total_{guess}_s", "warmstart", "wall_total_s", f"Wall-clock ({guess})", "s",
               f"Wall-clock {what}, the cheap SCF before it included.", rows),
    ]  # fmt: skip


def _savings(prefix: str, guess: str, words: str) -> list[Metric]:
    """Percent of builds and iterations saved against minao."""
    rows = {"guess": guess}
    return [
        Metric(f"{prefix}builds_saved_percent", "warmstart", "hybrid_fock_builds", f"Builds saved ({guess})",
               "%", f"Fock builds saved {words}, against the default guess (minao), mean over molecules.",
               rows, against_minao=True, higher_is_better=True),
        Metric(f"{prefix}cycles_saved_percent", "warmstart", "cycles", f"Iterations saved ({guess})", "%",
               f"Iterations saved {words}, against the default guess (minao), mean over molecules.",
               rows, against_minao=True, higher_is_better=True),
    ]  # fmt: skip


def _from_builds(builds: int, name: str) -> Metric:
    """Error of the energy that the first Fock builds of an accelerated SCF foretell."""
    return Metric(
        f"{name}_build_mae_uEh", "warmstart", f"{name}_build_error_uEh", f"{name.capitalize()}-build error", "µEh",
        f"Mean absolute error of the reference functional's energy as foretold after {name} of its Fock "
        f"build{'' if builds == 1 else 's'}, by the functional's density and Hessian.",
        {"guess": "accelerate"}, absolute=True, builds=builds,
    )  # fmt: skip


METRICS: tuple[Metric, ...] = (
    Metric("e_tot_mae_mEh", "scf", "e_tot_error_mEh", "Total energy MAE", "mEh",
           "Mean absolute difference of the functional's SCF energy to the reference's.", absolute=True),
    Metric("e_tot_mae_fit_mEh", "scf", FITTED, "Total energy MAE (fitted)", "mEh",
           "The same after subtracting per-element energies fitted on the converged training molecules.",
           absolute=True),
    Metric("e_rho_mEh", "scf", "e_rho_mEh", "E_rho", "mEh",
           "Density error: the reference functional's energy at the functional's own density, above its "
           "minimum."),
    Metric("dipole_error_debye", "scf", "dipole_error_debye", "Dipole error", "D",
           "Length of the difference of the dipole moments."),
    Metric("l2_density", "scf", "l2_density", "L2 density error", "bohr^-1.5",
           "Root of the integrated squared density difference, divided by the number of electrons."),
    Metric("scf_cycles", "scf", "cycles", "SCF iterations", "iterations",
           "Iterations of the functional's own SCF from the default guess."),
    *_warm_starts("minao", "the default guess (minao)"),
    *_warm_starts("density", "the functional's density"),
    *_warm_starts("accelerate", "the functional's density, with steps by its Hessian"),
    *_savings("warmstart_", "density", "by starting from the functional's density"),
    *_savings("accelerate_", "accelerate", "by the functional's density and Hessian together"),
    _from_builds(1, "one"),
    _from_builds(2, "two"),
    Metric("tddft_mae_eV", "tddft", "error_eV", "TDDFT MAE", "eV",
           "Mean absolute error of the lowest singlet excitations, state by state in order of energy.",
           {"method": "tddft"}, absolute=True),
    Metric("tddft_overlap_mae_eV", "tddft", "overlap_error_eV", "TDDFT MAE (matched)", "eV",
           "The same with states matched by the overlap of their transition amplitudes.",
           {"method": "tddft"}, absolute=True),
    Metric("tda_mae_eV", "tddft", "error_eV", "TDA MAE", "eV",
           "As TDDFT MAE, in the Tamm-Dancoff approximation.", {"method": "tda"}, absolute=True),
)  # fmt: skip

BY_NAME = {metric.name: metric for metric in METRICS}


def samples(metric: Metric, tables: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """One row a molecule (or state): the KEYS, n_heavy, `value` (float64) and `used`.

    Args:
        metric: one of METRICS.
        tables: scf, warmstart and tddft with the columns of the run's tables.
    """
    table = tables[metric.table]
    chosen = np.ones(len(table), dtype=bool)
    for column, wanted in metric.rows.items():
        chosen &= (table[column] == wanted).to_numpy(dtype=bool)
    if metric.column == FITTED:
        chosen &= ~has_unseen_element(table)
    if metric.builds:
        chosen &= _takes_builds(table, metric)
    rows = table[chosen]
    value = floats(rows[metric.column])
    if metric.against_minao:
        before = _minao(metric, table, rows)
        value = 100.0 * (before - value) / before
    if metric.absolute:
        value = np.abs(value)
    result = rows[[*KEYS, "n_heavy"]].copy()
    result["value"] = value
    result["used"] = rows["converged"].to_numpy(dtype=bool) & np.isfinite(value)
    return result.reset_index(drop=True)


def has_unseen_element(scf: pd.DataFrame) -> NDArray[np.bool_]:
    """Whether a row's molecule has an element that no converged training molecule has; (n_rows,).

    Told by the fit: it has a value for others of the same functional and seed, and none for this one, which converged.
    """
    fitted = pd.Series(np.isfinite(floats(scf[FITTED])), index=scf.index)
    others = fitted.groupby([scf["model"], scf["loss"], scf["seed"]]).transform("any")
    solved = scf["converged"].to_numpy(dtype=bool) & np.isfinite(floats(scf["e_tot_error_mEh"]))
    return solved & others.to_numpy(dtype=bool) & ~fitted.to_numpy(dtype=bool)


def _takes_builds(table: pd.DataFrame, metric: Metric) -> NDArray[np.bool_]:
    """Whether a row should have the energy after `metric.builds` builds; (n_rows,).

    Not if its SCF took fewer. Nor if no row of the same functional and seed has it: tables of earlier releases have
    none.
    """
    present = pd.Series(np.isfinite(floats(table[metric.column])), index=table.index)
    known = present.groupby([table["model"], table["loss"], table["seed"]]).transform("any")
    fewer = floats(table["hybrid_fock_builds"]) < metric.builds
    return known.to_numpy(dtype=bool) & ~fewer


def _minao(metric: Metric, table: pd.DataFrame, rows: pd.DataFrame) -> np.ndarray:
    """The converged minao value of the molecule of each row, NaN without one; (n_rows,)."""
    minao = table[(table["guess"] == "minao") & table["converged"].astype(bool)]
    values = pd.Series(floats(minao[metric.column]), index=_molecules(minao)).groupby(level=0).mean()
    values = values.where(values > 0)
    return values.reindex(_molecules(rows)).to_numpy(dtype=float)


def _molecules(rows: pd.DataFrame) -> pd.Index:
    """(split, molecule) of each row, as one flat index."""
    pairs = list(zip(rows["split"], rows["molecule"], strict=True))
    return pd.Index(pairs, tupleize_cols=False, dtype=object)


def floats(column: pd.Series) -> np.ndarray:
    """A column as float64, missing values as NaN."""
    return column.to_numpy(dtype=float, na_value=np.nan)


def summarise_samples(metric: str, rows: pd.DataFrame) -> pd.DataFrame:
    """Summary rows of one metric, one for each (model, loss, split) that has any sample."""
    summary = []
    for (model, loss, split), group in rows.groupby(["model", "loss", "split"], sort=False):
        counts = group.groupby("seed")["used"].sum()
        means = group[group["used"]].groupby("seed")["value"].mean()
        failed = group.loc[~group["used"], ["seed", "molecule"]].drop_duplicates()
        summary.append({
            "model": model, "loss": loss, "split": split, "metric": metric,
            "value": means.mean(), "spread": means.std(ddof=1),
            "n": int(counts.min()), "n_failed": len(failed),
        })  # fmt: skip
    return pd.DataFrame(summary, columns=SUMMARY_COLUMNS)


def _count_unseen(scf: pd.DataFrame) -> pd.DataFrame:
    """Summary rows `UNSEEN`, one for each (model, loss, split) that has such molecules."""
    rows = []
    marked = scf.assign(unseen=has_unseen_element(scf))
    for (model, loss, split), group in marked.groupby(["model", "loss", "split"], sort=False):
        counts = group.groupby("seed")["unseen"].agg(["sum", "size"])
        if counts["sum"].any():
            rows.append({
                "model": model, "loss": loss, "split": split, "metric": UNSEEN, "value": counts["sum"].mean(),
                "spread": counts["sum"].std(ddof=1), "n": int(counts["size"].min()), "n_failed": 0,
            })  # fmt: skip
    return pd.DataFrame(rows, columns=SUMMARY_COLUMNS)


def summarise(tables: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """All rows of summary.csv, sorted by functional, split and metric."""
    parts = [summarise_samples(metric.name, samples(metric, tables)) for metric in METRICS]
    filled = [part for part in (*parts, _count_unseen(tables["scf"])) if len(part)]
    if not filled:
        return pd.DataFrame(columns=SUMMARY_COLUMNS)
    return sort_rows(pd.concat(filled, ignore_index=True))


def sort_rows(table: pd.DataFrame) -> pd.DataFrame:
    """Sort rows: classical functionals first, then by model, loss, seed, split, size, name and the rest."""
    order = {
        "loss": LOSSES, "split": SPLITS, "metric": tuple(BY_NAME),
        "guess": ("minao", "density", "accelerate"), "method": ("tddft", "tda"),
    }  # fmt: skip
    wanted = ["_learned", "model", "loss", "seed", "split", "n_heavy", "molecule", "scf_of", "guess", "cycle", "method",
              "state", "metric"]  # fmt: skip
    keyed = table.assign(_learned=table["loss"] != "none")
    by = [column for column in wanted if column in keyed]

    def rank(column: pd.Series) -> pd.Series:
        places = {name: place for place, name in enumerate(order.get(column.name, ()))}
        return column.map(lambda name: places.get(name, len(places))) if places else column

    # kind="stable" is honoured by pandas for one key; with several it is stable by construction
    ordered = keyed.sort_values(by, key=rank, kind="stable", na_position="last")
    return ordered[list(table)].reset_index(drop=True)

"""What docs/results.md needs of a run, as small CSV files that can be kept in git.

seeds.csv      every metric of every functional, one row a seed and split: mean over molecules
training.csv   the trainings at their validations: step, seconds, scores, bad steps so far
failures.csv   molecules that failed, with their table
about.csv      key and value: what the run is, and which programs made it

A fifth, equal_time.csv, is not made of a run: `grad` and `hess` trained for as long as `base`
takes, by benchmarks/trainings.py with `--on` the run itself.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from dixc.config import Config, load
from dixc.config.sections import Model
from dixc.errors import InputError
from dixc.provenance import hash_of
from dixc.report.training_logs import parse_name, read_logs
from dixc.store.csvtext import inert
from dixc.store.folder import write_files
from dixc.store.sidecar import read_sidecar
from dixc.tables.frames import read_table, sort_rows
from dixc.tables.metrics import METRICS
from dixc.tables.samples import samples
from dixc.tables.schema import KEYS

TABLES = ("scf", "warmstart", "tddft")
SPLITS = ("validation", "test")
# wall-clock of single SCFs says more about the machine than about the functional
LEFT_OUT = ("_wall_total_",)
VALIDATION = ("validation_score", "validation_energy_raw_mEh", "validation_density_raw_per_bohr3")
COUNTED = ("skipped", "undone")
TRAINING = ["model", "loss", "seed"]
EQUAL_TIME = "equal_time"  # made by hand with benchmarks/trainings.py, not by a run
JOINED = ("seeds", "commit")  # what may differ where one run is added to another
PROGRAMS = ("dixc", "commit", "dirty", "pyscf", "torch", "python", "platform")


def run(source: Path, out: Path, add: bool = False) -> None:
    """Write the CSV files of a run.

    Args:
        source: folder of the run (results/<run>), or its `partial` (see `dixc partial`).
        out: folder for the files.
        add: keep what `out` has of trainings that this run has not; settings may differ in seeds.

    Raises:
        InputError: no tables there, or nothing that this run can be added to.
    """
    root = source if (source / "config.yaml").is_file() else source.parent
    config = load(root / "config.yaml")
    tables = {name: read_table(source / "tables" / f"{name}.csv", name) for name in TABLES}
    logs = [root / "training" / f"{name}.csv" for name in config.trained()]
    trained = read_logs([path for path in logs if path.is_file()])
    record = read_sidecar(source / "tables" / "summary.csv") or {}
    content = {
        "seeds.csv": seeds(tables),
        "training.csv": training(trained),
        "failures.csv": failures(tables),
        "about.csv": about(config, tables, record),
    }
    if add:
        content = added(read(out), content, str(out))
    write_files(((name, as_csv(table)) for name, table in content.items()), out)


def added(
    known: dict[str, pd.DataFrame], new: dict[str, pd.DataFrame], place: str
) -> dict[str, pd.DataFrame]:
    """Tables of a run, and what is known of trainings that it has not.

    Args:
        known: as `read` gives them.
        new: by file name.
        place: of the known, for messages.

    Raises:
        InputError: their settings differ.
    """
    values = [
        dict(zip(table["key"], table["value"], strict=True)) for table in (known["about"], new["about.csv"])
    ]
    if values[0].get("settings") != values[1]["settings"]:
        raise InputError(f"{place}: from a run with other settings, to which this one cannot be added")
    trainings = pd.MultiIndex.from_frame(new["seeds.csv"][TRAINING])
    merged = {}
    for name in ("seeds", "training", "failures"):
        older = known[name]
        kept = older[~pd.MultiIndex.from_frame(older[TRAINING]).isin(trainings)]
        merged[f"{name}.csv"] = sort_rows(pd.concat([kept, new[f"{name}.csv"]], ignore_index=True))
    both = {
        key: " ".join(sorted({*values[0].get(key, "").split(), *values[1].get(key, "").split()}))
        for key in JOINED
    }
    about = values[1] | {key: value for key, value in both.items() if value}
    merged["about.csv"] = pd.DataFrame({"key": about.keys(), "value": about.values()})
    return merged


def as_csv(table: pd.DataFrame) -> bytes:
    """Six significant digits: less than any spread, and small files."""
    return table.map(inert).to_csv(index=False, float_format="%.6g").encode()


def seeds(tables: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """Means over molecules (and states) by functional, seed, split and metric."""
    rows = []
    for metric in METRICS:
        # what is saved against the default guess follows from the means, for added seeds too
        if metric.source.against_minao or any(words in metric.name for words in LEFT_OUT):
            continue
        values = samples(metric, tables)
        values = values[values["split"].isin(SPLITS)]
        for key, group in values.groupby(["model", "loss", "seed", "split"], sort=False):
            used = group.loc[group["used"], "value"]
            failed = group.loc[~group["used"], "molecule"].nunique()
            rows.append((*key, metric.name, used.mean(), len(used), failed))
    columns = ["model", "loss", "seed", "split", "metric", "value", "n", "n_failed"]
    return sort_rows(pd.DataFrame(rows, columns=columns))


def training(logs: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """Rows of the logs that have a validation; CPU seconds are empty in logs of an older dixc."""
    columns = ["step", "wall_s", "cpu_s", *VALIDATION]
    rows = []
    for name, log in logs.items():
        model, loss, seed = parse_name(name)
        if VALIDATION[0] not in log:
            continue
        counts = {column: log[column].cumsum() if column in log else 0 for column in COUNTED}
        kept = log.reindex(columns=columns).assign(**counts)[log[VALIDATION[0]].notna()]
        tags = pd.DataFrame({"model": model, "loss": loss, "seed": int(seed)}, index=kept.index)
        rows.append(pd.concat([tags, kept], axis=1))
    empty = pd.DataFrame(columns=["model", "loss", "seed", *columns, *COUNTED])
    return sort_rows(pd.concat(rows, ignore_index=True)) if rows else empty


def failures(tables: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """Molecules of validation and test that failed, each once for a table and functional."""
    rows = []
    for name, table in tables.items():
        bad = table[~table["converged"] & table["split"].isin(SPLITS)]
        rows.append(bad[[*KEYS, "n_heavy"]].drop_duplicates().assign(table=name))
    return pd.concat(rows, ignore_index=True)


def about(config: Config, tables: dict[str, pd.DataFrame], record: dict[str, Any]) -> pd.DataFrame:
    """Key and value."""
    test = tables["scf"].query("split == 'test'").drop_duplicates("molecule")["n_heavy"]
    states = tables["tddft"].query("split == 'test'").drop_duplicates("molecule")["n_heavy"]
    training, drawn = config.training, config.molecules.train
    values = {
        "run": config.run,
        "reference": f"{config.reference.functional}/{config.reference.basis}",
        "train": f"{drawn.count} molecules with {drawn.min_heavy} to {drawn.max_heavy} heavy atoms",
        "test": _sizes(test),
        "excitations": f"{config.evaluation.tddft.n_states} singlets of {_sizes(states)}",
        "models": ", ".join(_described(model) for model in config.models),
        "losses": " ".join(training.losses),
        "seeds": " ".join(map(str, training.seeds)),
        "steps": training.steps,
        "settings": settings_hash(config),
    }
    values |= {name: record[name] for name in PROGRAMS if name in record}
    return pd.DataFrame({"key": values.keys(), "value": [str(value) for value in values.values()]})


def settings_hash(config: Config) -> str:
    """The same for runs that differ in name, seeds of trainings and report only."""
    everything = config.model_dump(mode="json", exclude={"run": True, "report": True, "training": {"seeds"}})
    return hash_of(everything)


def _sizes(heavy: pd.Series) -> str:
    numbers = sorted({int(n) for n in heavy[np.isfinite(heavy.astype(float))]})
    return f"{len(heavy)} molecules with {', '.join(map(str, numbers)) or 'unknown'} heavy atoms"


def _described(model: Model) -> str:
    own = {"prefit steps": model.prefit_steps, "learning rate": model.learning_rate}
    settings = model.hyperparameters | {key: value for key, value in own.items() if value is not None}
    changed = ", ".join(f"{key} {value}" for key, value in settings.items())
    return f"{model.key} ({changed})" if changed else model.key


def read(folder: Path) -> dict[str, pd.DataFrame]:
    """The CSV files of a folder by name without `.csv`; equal_time.csv if it is there.

    Raises:
        InputError: one is missing.
    """
    tables = {}
    for name in ("seeds", "training", "failures", "about", EQUAL_TIME):
        path = folder / f"{name}.csv"
        if name == EQUAL_TIME and not path.exists():
            continue
        try:
            texts = {"value": str} if name == "about" else None
            tables[name] = pd.read_csv(path, dtype=texts, keep_default_na=False, na_values=[""])
        except (OSError, ValueError) as error:
            reason = "no such file" if isinstance(error, FileNotFoundError) else str(error).splitlines()[0]
            raise InputError(f"{path}: {reason}") from None
    return tables

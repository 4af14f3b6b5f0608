"""Training with and without the accept-or-undo rule (docs/training.md), at several learning rates, as CSV.

    python benchmarks/metropolis.py results/default --losses base hess --learning-rates 5e-3 2e-2 5e-2

Uses references, derivatives and pre-fits of a finished run and its config. One row a training: best and last validation
score (the same for every loss), skipped and undone steps, CPU seconds; a training that ends with an error has the error
instead. `--temperatures` tries others than 1.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from dixc.config import Config, load
from dixc.config.training import Training
from dixc.errors import UserError
from dixc.functionals import files
from dixc.training.chunks import ChunkedMolecules
from dixc.training.data import TrainingMolecule
from dixc.training.loop import Trainer


def molecules(run: Path, config: Config, xctype: str, split: str) -> dict[str, TrainingMolecule]:
    """Training or validation molecules of a run."""
    names, settings = config.chunks(split), config.training
    derivatives = [run / f"derivatives/{name}.h5" for name in names] if split == "train" else []
    dtype = torch.float32 if settings.precision == "mixed" else torch.float64
    return ChunkedMolecules([run / f"reference/{name}.h5" for name in names], derivatives, settings.grid_level,
                          settings.hessian.grid_level, xctype, dtype=dtype)  # fmt: skip


def train(run: Path, config: Config, model: str, loss: str, seed: int, changes: dict) -> dict:
    """The row of one training."""
    functional = files.load(run / f"models/{model}-prefit-{seed}.pt", config.classes())
    data = [molecules(run, config, functional.xctype, split) for split in ("train", "validation")]
    settings = Training.model_validate(config.training.model_dump() | changes)
    started = time.process_time()
    with tempfile.TemporaryDirectory() as folder:
        trainer = Trainer(functional, loss, seed, settings, *data, Path(folder) / "checkpoint.pt")
        problem = ""
        try:
            trainer.run()
        except UserError as error:
            problem = str(error)
    log = pd.DataFrame(trainer.rows)
    scores = log["validation_score"].dropna() if "validation_score" in log else pd.Series(dtype=float)
    return {
        "steps": len(log),
        "best_score": float(trainer.best_score),
        "last_score": scores.iloc[-1] if len(scores) else np.nan,
        "median_loss_at_end": log["loss"].tail(20).median() if len(log) else np.nan,
        "skipped": int(log["skipped"].sum()) if len(log) else 0,
        "undone": int(log["undone"].sum()) if "undone" in log else 0,
        "cpu_s": time.process_time() - started,
        "problem": problem,
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path, help="folder of a finished run")
    parser.add_argument("--model", help="by default the first of the run")
    parser.add_argument("--losses", nargs="+", default=["base", "hess"])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--learning-rates", nargs="+", type=float, default=[5e-3, 2e-2, 5e-2])
    parser.add_argument("--temperatures", nargs="+", type=float, default=[1.0])
    parser.add_argument("--steps", type=int, help="by default as the run")
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    config = load(given.run / "config.yaml")
    model = given.model or config.models[0].key
    rules = [{"enabled": False}, *({"enabled": True, "temperature": t} for t in given.temperatures)]
    rows = []
    for loss, seed, rate, rule in product(given.losses, given.seeds, given.learning_rates, rules):
        changes = {"learning_rate": rate, "metropolis": rule}
        changes |= {"steps": given.steps} if given.steps else {}
        row = {"model": model, "loss": loss, "seed": seed, "learning_rate": rate,
               "temperature": rule.get("temperature", np.nan)}  # fmt: skip
        rows.append(row | train(given.run, config, model, loss, seed, changes))
        print(rows[-1], file=sys.stderr)
    pd.DataFrame(rows).to_csv(sys.stdout, index=False, float_format="%.5g")


if __name__ == "__main__":
    main()

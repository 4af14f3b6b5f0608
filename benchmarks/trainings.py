"""Trainings that differ in some settings, side by side, as CSV.

    python benchmarks/trainings.py results/default --losses base hess --variants "" \\
        "optimizer=adam learning_rate=0.02 ema_decay=0.95"
    python benchmarks/trainings.py results/default --seeds 0 1 2 --variants "" "metropolis.enabled=true"

Uses references, derivatives, pre-fits and the config of a finished run; a variant changes keys of its section
`training`. One row a training: best and last validation score (the same for every loss), skipped and undone steps, CPU
seconds; a training that ends with an error has the error instead. With `--on`, another run of which the stages
reference and derivatives have finished, the functionals are compared on its test molecules too: choose settings on
molecules that are in no test set.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from pydantic import ValidationError

from dixc.config import Config, load
from dixc.config.training import Training
from dixc.display import logged_lines
from dixc.errors import UserError
from dixc.evaluation.scf import evaluate
from dixc.evaluation.tddft import CONV_TOL, compare, solved_mean_field
from dixc.excitations import ResponseSolver
from dixc.functionals import files
from dixc.functionals.base import Functional
from dixc.reference.derivatives import excitations_of, has_excitations
from dixc.reference.record import read_records
from dixc.store import open_chunk
from dixc.tables.element_fit import element_counts, fit_elements
from dixc.training import model_scf
from dixc.training.chunks import ChunkedMolecules
from dixc.training.loop import Trainer


def molecules(run: Path, config: Config, xctype: str, split: str) -> ChunkedMolecules:
    """Training or validation molecules of a run."""
    names, settings = config.chunks(split), config.training
    derivatives = [run / f"derivatives/{name}.h5" for name in names] if split == "train" else []
    dtype = torch.float32 if settings.precision == "mixed" else torch.float64
    return ChunkedMolecules([run / f"reference/{name}.h5" for name in names], derivatives, settings.grid_level,
                          settings.hessian.grid_level, xctype, dtype=dtype)  # fmt: skip


def changed(settings: Training, variant: str) -> Training:
    """The settings with the changes "key=value key.key=value"."""
    values = settings.model_dump()
    for change in variant.split():
        path, value = change.split("=", 1)
        *sections, key = path.split(".")
        place = values
        for section in sections:
            place = place[section]
        if key not in place:
            raise SystemExit(f"training.{path}: no such key")
        try:
            place[key] = json.loads(value)
        except json.JSONDecodeError:
            place[key] = value
    try:
        return Training.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        raise SystemExit(f"training.{'.'.join(map(str, first['loc']))}: {first['msg']}") from None


def train(
    run: Path, config: Config, model: str, loss: str, seed: int, settings: Training
) -> tuple[dict, Functional]:
    """The row of one training, and what came of it."""
    functional = files.load(run / f"models/{model}-prefit-{seed}.pt", config.classes())
    data = [molecules(run, config, functional.xctype, split) for split in ("train", "validation")]
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
    row = {
        "steps": len(log),
        "best_score": float(trainer.best_score),
        "last_score": scores.iloc[-1] if len(scores) else np.nan,
        "median_loss_at_end": log["loss"].tail(20).median() if len(log) else np.nan,
        "skipped": int(log["skipped"].sum()) if len(log) else 0,
        "undone": int(log["undone"].sum()) if "undone" in log else 0,
        "cpu_s": time.process_time() - started,
        "problem": problem,
    }
    return row, functional.double().eval()


def element_energies(functional: Functional, train: ChunkedMolecules) -> pd.Series:
    """Energy of each element by atomic number, fitted to the errors on the training molecules, mEh."""
    errors, numbers = [], []
    for name in train:
        molecule = train[name]
        point = model_scf.solve(molecule, functional, None, 1e-4, order=1)
        errors.append(1000 * (point.state.energy - molecule.record.e_tot))
        numbers.append(molecule.record.atomic_numbers.tolist())
    counts = element_counts(pd.Series(numbers))
    return pd.Series(fit_elements(np.array(errors), counts.to_numpy()), index=counts.columns)


def errors_on(run: Path, functional: Functional, energies: pd.Series) -> dict[str, float]:
    """Mean absolute errors of a functional on the test molecules of a run: energies, E_rho, lowest singlets."""
    config, found, states = load(run / "config.yaml"), [], []
    for name in config.chunks("test"):
        with open_chunk(run / f"derivatives/{name}.h5", stage="derivatives") as known:
            for record in read_records(run / f"reference/{name}.h5"):
                arrays, row = evaluate(record, functional, config.evaluation.scf)
                elements = sum(energies.get(number, np.nan) for number in record.atomic_numbers)
                found.append(row | {"e_tot_error_fit_mEh": row["e_tot_error_mEh"] - elements})
                group = known[record.name]
                if not has_excitations(group):
                    continue
                target = excitations_of(group, "tddft")
                mf = solved_mean_field(record, functional, arrays, row["converged"])
                own = ResponseSolver(mf).solve(len(target.energies), "tddft", conv_tol=CONV_TOL)
                states += compare(record, mf, own, target, config.evaluation.tddft.n_states)
    errors = pd.DataFrame(found)[
        ["e_tot_error_mEh", "e_tot_error_fit_mEh", "e_rho_mEh", "dipole_error_debye"]
    ]
    excitations = pd.DataFrame(states)["error_eV"]
    return errors.abs().mean().to_dict() | {
        "tddft_error_eV": excitations.abs().mean(),
        "tddft_bias_eV": excitations.mean(),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path, help="folder of a finished run")
    parser.add_argument("--model", help="by default the first of the run")
    parser.add_argument("--losses", nargs="+", default=["base", "hess"])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--variants", nargs="+", default=[""], help="changes of the section training")
    parser.add_argument("--on", type=Path, help="run on whose test molecules the functionals are compared")
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    config = load(given.run / "config.yaml")
    model = given.model or config.models[0].key
    settings = {variant: changed(config.training_of(model), variant) for variant in given.variants}
    rows = []
    for loss, seed, variant in product(given.losses, given.seeds, given.variants):
        with logged_lines(sys.stderr):  # what becomes of molecules
            row, functional = train(given.run, config, model, loss, seed, settings[variant])
            if given.on and not row["problem"]:
                known = molecules(given.run, config, functional.xctype, "train")
                row |= errors_on(given.on, functional, element_energies(functional, known))
        rows.append({"model": model, "loss": loss, "seed": seed, "variant": variant} | row)
        print(rows[-1], file=sys.stderr)
    pd.DataFrame(rows).to_csv(sys.stdout, index=False, float_format="%.5g")


if __name__ == "__main__":
    main()

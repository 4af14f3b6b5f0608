"""CPU time and storage of each stage by number of basis functions: writes the table that `dixc plan` reads.

    python benchmarks/costs.py --out dixc/workflow/costs.csv

The stages run in this process on one molecule of each size (QM9, B3LYP/def2-SVP, grid level 1, one thread), with
the trained functional that dixc brings. Rows of n_basis 0 are what a job costs before its first molecule. Seconds
are CPU seconds, so that other work on the machine counts little; kilobytes what the stage leaves on disk, in the
row train-cache what the training keeps of a molecule in memory.
"""

from __future__ import annotations

import argparse
import csv
import ctypes
import gc
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dixc.config import Config

os.environ.setdefault("OMP_NUM_THREADS", "1")

MODEL = "xcdiff-b3lyp"
ROOT = Path(__file__).parents[1]
COLUMNS = ("stage", "n_basis", "seconds", "kilobytes")


class Table:
    """Rows of the table, written after each measurement."""

    def __init__(self, out: Path):
        self.out, self.rows = out, []

    def add(self, stage: str, n_basis: int, seconds: float, kilobytes: float = 0) -> None:
        """Adds a row."""
        self.rows.append((stage, n_basis, f"{seconds:.3g}", f"{kilobytes:.3g}"))
        print(*self.rows[-1], flush=True)
        with open(self.out, "w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(COLUMNS)
            writer.writerows(sorted(self.rows))

    def measure(self, stage: str, n_basis: int, work: Callable[[], object], made: Path | None = None) -> None:
        """Adds the row of one call."""
        seconds = timed(work)
        self.add(stage, n_basis, seconds, made.stat().st_size / 1000 if made else 0)


def timed(work: Callable[[], object]) -> float:
    """CPU seconds of a call.

    What earlier calls left is given back first: PySCF keeps integrals only if its process has memory to spare.
    """
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    begin = time.process_time()
    work()
    return time.process_time() - begin


def start_up(table: Table) -> None:
    """What any job costs before its first molecule: imports."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    command = "import dixc.stages.evaluate, dixc.training.data, pyscf.dft, pyscf.tdscf"
    subprocess.run([sys.executable, "-c", command], check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    table.add("start", 0, seconds)


def settings(n_heavy: int) -> Config:
    """A run on one molecule of this size in train and in test."""
    from dixc.config import validate

    files = [str(path) for path in sorted((ROOT / "config/molecules").glob("*.xyz"))]
    size = {"count": 1, "min_heavy": n_heavy, "max_heavy": n_heavy}
    small = {"count": 1, "min_heavy": 1, "max_heavy": 1}
    return validate({"molecules": {"files": files, "train": size, "validation": small, "test": size}})


def measure_size(table: Table, n_heavy: int, folder: Path) -> None:
    """All stages on one molecule for training and one for test."""
    from dixc.reference.record import read_records
    from dixc.stages import derivatives, evaluate, molecules, reference, tddft, warmstart

    config = settings(n_heavy)
    molecules.run(config.molecules, folder)
    size = {}
    for split in ("validation", "test", "train"):
        chunk = folder / f"{split}-000.h5"
        measured = timed(partial(reference.run, chunk.with_suffix(".xyz"), config.reference, chunk))
        size[split] = read_records(chunk)[0].mol.nao
        if split != "validation":
            table.add("reference", size[split], measured, chunk.stat().st_size / 1000)
    for split in ("train", "test"):
        first, second = folder / f"{split}-000.h5", folder / f"{split}-second.h5"
        # storage follows from the settings, see dixc.commands.plan
        table.measure("derivatives", size[split], partial(derivatives.run, first, config.derivatives, second))
    test, scf, part, nao = folder / "test-000.h5", folder / "scf.h5", folder / "part.csv", size["test"]
    thresholds, states = config.evaluation.scf, config.evaluation.tddft
    table.measure("evaluate", nao, partial(evaluate.run, MODEL, thresholds, test, scf), scf)
    table.measure("warmstart", nao, partial(warmstart.run, MODEL, thresholds, True, test, scf, part), part)
    table.measure("default_guess", nao, partial(warmstart.run_default_guess, thresholds, test, part), part)
    table.measure("tddft", nao, partial(tddft.run, MODEL, states, test, second, scf, part), part)
    measure_training(table, size["train"], config, folder)


def measure_training(table: Table, n_basis: int, config: Config, folder: Path) -> None:
    """A step with each loss, a validation, and what the first step on a molecule costs on top."""
    import torch

    from dixc.functionals import files
    from dixc.training.chunks import ChunkedMolecules
    from dixc.training.loop import Trainer

    levels = (config.training.grid_level, config.training.hessian.grid_level)
    load = partial(ChunkedMolecules, grid_level=levels[0], hessian_grid_level=levels[1], dtype=torch.float32)
    molecules = load([folder / "train-000.h5"], [folder / "train-second.h5"])
    for loss in ("hess", "grad", "base"):
        functional = files.resolve(MODEL)
        trainer = Trainer(functional, loss, 0, config.training, molecules, molecules, folder / "none.pt")
        first = timed(trainer.train_step)
        step = timed(trainer.train_step)
        table.add(f"train-{loss}", n_basis, step)
        if loss == "hess":
            table.add("train-first", n_basis, max(first - step, 0))
            table.add("train-cache", n_basis, 0, 1000 * sum(m.megabytes() for m in molecules.values()))
            table.add("train-validation", n_basis, timed(trainer.validate))


def measure_prefit(table: Table, folder: Path) -> None:
    """The pre-fit with its default numbers of steps and points."""
    from dixc.stages import prefit

    config = settings(3)
    model, chunks = folder / "prefit.pt", [folder / "train-000.h5"]
    work = partial(prefit.run, config.model("xcdiff"), 0, config.prefit_of("xcdiff"), chunks, model)
    table.measure("prefit", 0, work, model)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--sizes", type=int, nargs="*", default=[3, 5, 7], help="numbers of heavy atoms")
    arguments = parser.parse_args()
    table = Table(arguments.out)
    start_up(table)
    for n_heavy in arguments.sizes:
        with tempfile.TemporaryDirectory() as folder:
            measure_size(table, n_heavy, Path(folder))
            if n_heavy == 3:
                measure_prefit(table, Path(folder))


if __name__ == "__main__":
    main()

"""Warm-start stage: the reference SCF from PySCF's default guess, and from the density of a cheaper functional.

The convergence thresholds are those of the evaluation for both, every Fock build of the reference is counted, and the
final energy is compared with the tightly converged reference.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from tqdm import tqdm

from dixc.records import ReferenceRecord, read_failures, read_records
from dixc.stages.evaluate import count_fock_builds
from dixc.stages.history import History, log_scf
from dixc.store import open_chunk

if TYPE_CHECKING:
    from dixc.config import Config

TAGS = ["model", "loss", "seed", "split", "molecule", "n_heavy", "converged"]
BUILDS = ["cycles", "hybrid_fock_builds", "cheap_fock_builds"]
HISTORY = [
    "scf_energies",
    "scf_gradients",
]  # hartree, one number a cycle, spaces between; not in the run's table
COLUMNS = [*TAGS, "guess", *BUILDS, "wall_s", "wall_total_s", "e_diff_Eh", *HISTORY]


def run(functional: str, config: Config, reference: Path, scf: Path | None, out: Path) -> None:
    """Write warm-start rows: of the default guess if `scf` is None, else of the densities in an SCF chunk."""
    settings = config.evaluation.scf.model_dump()
    records = read_records(reference)
    guess = "minao" if scf is None else "density"
    if scf is None:
        tags = {"model": config.reference.functional, "loss": "none", "seed": 0}
        bar = tqdm(records, desc="default guess", unit="mol", disable=None)
        rows = [_row(record, "minao", None, settings) for record in bar]
    else:
        with open_chunk(scf, stage="scf") as chunk:
            tags = {key: chunk.attrs[key] for key in ("model", "loss", "seed")}
            bar = tqdm(records, desc=f"warm start {functional}", unit="mol", disable=None)
            rows = [_warm_row(record, chunk[record.name], settings) for record in bar]
    rows += [
        failed_row(name, failure) | {"guess": guess} for name, failure in read_failures(reference).items()
    ]
    write_rows([tags | row for row in rows], COLUMNS, out)


def failed_row(name: str, failure: dict) -> dict:
    """The row of a molecule without a reference: nothing but its name, and that it failed."""
    known = {"split": failure["split"], "n_heavy": failure["n_heavy"]}
    return {"molecule": name, "converged": False} | known


def _warm_row(record: ReferenceRecord, solved, settings: dict) -> dict:
    """Warm start from the density in a group of an SCF chunk; the cheap SCF counts towards the total time."""
    orbo = np.array(solved["mo_coeff"])[:, np.array(solved["mo_occ"]) == 2]
    row = _row(record, "density", 2 * orbo @ orbo.T, settings)
    row["cheap_fock_builds"] = int(solved.attrs["fock_builds"])
    row["wall_total_s"] += float(solved.attrs["wall_s"])
    row["converged"] &= bool(solved.attrs["converged"])
    return row


def _row(record: ReferenceRecord, guess: str, dm0: NDArray | None, settings: dict) -> dict:
    mf = record.mean_field()
    mf.conv_tol, mf.conv_tol_grad, mf.max_cycle = settings["conv_tol"], None, settings["max_cycle"]
    mf.grids.build()
    builds = count_fock_builds(mf)
    mf.callback = history = History()
    start = time.perf_counter()
    mf.kernel(dm0=dm0)
    wall_s = time.perf_counter() - start
    row = {
        "split": record.split,
        "molecule": record.name,
        "n_heavy": record.n_heavy,
        "converged": bool(mf.converged),
        "guess": guess,
        "cycles": int(mf.cycles),
        "hybrid_fock_builds": builds.count,
        "cheap_fock_builds": 0,
        "wall_s": wall_s,
        "wall_total_s": wall_s,
        "e_diff_Eh": float(mf.e_tot - record.e_tot),
    }
    log_scf(f"{record.name}, from {guess}", row, history, "hybrid_fock_builds")
    return row | history.columns()


def write_rows(rows: list[dict], columns: list[str], path: Path) -> None:
    """A CSV with exactly these columns, under its name only when complete."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".tmp")
    pd.DataFrame(rows, columns=columns).to_csv(temporary, index=False)
    os.replace(temporary, path)

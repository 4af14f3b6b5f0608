"""Fock builds, time and error of the reference SCF: default guess against `dixc.pyscf.accelerate`, as CSV.

    python benchmarks/accelerate.py results/default/reference/test-000.h5 r2scan pbe results/default/models/*.pt

One row a molecule and functional, then a line a functional over molecules. third_gradient is PySCF's |g| at the third
Fock build of an accelerated SCF (the second iteration of PySCF's own), contraction the factor by which |g| falls from
one build to the next, hessian_error the relative error of the functional's own Hessian at the reference orbitals, over
random directions in the metric of orbital-energy differences. `--set` passes settings of `dixc.pyscf.Acceleration`,
for ablations:
--set rtol=0.01 secants=false grid_level=null exchange=false
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from dixc.config.evaluation import EvaluationScf
from dixc.display import logged_lines
from dixc.evaluation.scf import label
from dixc.evaluation.warmstart import accelerated_row, guess_row
from dixc.functionals import files
from dixc.functionals.base import Functional
from dixc.grassmann import OrbitalRotations
from dixc.pyscf.counting import share_integrals
from dixc.reference.record import ReferenceRecord, read_records

SETTINGS = EvaluationScf(conv_tol=1e-9, max_cycle=50)
PROBES = 8


def measure(reference: Path, functionals: list[str], changes: dict, default_guess: bool) -> pd.DataFrame:
    """Rows of the warm-start table."""
    records, rows = read_records(reference), []
    if default_guess:
        tags = {"model": records[0].settings.functional, "loss": "none", "seed": 0}
        rows += [tags | guess_row(record, "minao", None, SETTINGS)[0] for record in records]
    for name in functionals:
        functional = files.resolve(name)
        for record in records:
            row = label(functional, name) | accelerated_row(record, functional, SETTINGS, **changes)
            rows.append(row | {"hessian_error": hessian_error(record, functional)})
    table = pd.DataFrame(rows)
    gradients = table.pop("scf_gradients").map(lambda text: np.array(text.split(), dtype=float))
    table["third_gradient"] = gradients.map(lambda g: g[1] if len(g) > 1 else np.nan)
    table["contraction"] = gradients.map(lambda g: (g[0] / g[-1]) ** (1 / max(1, len(g) - 1)))
    return table.drop(columns="scf_energies")


def hessian_error(record: ReferenceRecord, functional: Functional) -> float:
    """|D^-1/2 (H_ML - H) v| over |D^-1/2 H v| for random v = D^-1/2 z at the reference orbitals."""
    reference, model = (record.with_orbitals(record.mean_field(f)) for f in (None, functional))
    occupied = record.mo_occ == 2
    root = np.sqrt(record.mo_energy[~occupied][:, None] - record.mo_energy[occupied])
    probes = np.random.default_rng(0).standard_normal((PROBES, *root.shape)) / root
    exact = OrbitalRotations(reference).hvp(probes) / root
    share_integrals(model, reference)
    own = OrbitalRotations(model).hvp(probes) / root
    return float(np.linalg.norm(own - exact) / np.linalg.norm(exact))


def geometric_mean(values: pd.Series) -> float:
    """Of positive numbers."""
    return float(np.exp(np.log(values).mean()))


def summary(table: pd.DataFrame) -> pd.DataFrame:
    """Medians over molecules, and the worst case."""
    groups = table.groupby(["model", "loss", "seed", "guess"], sort=False)
    return groups.agg(
        n=("molecule", "size"),
        converged=("converged", "sum"),
        hybrid_median=("hybrid_fock_builds", "median"),
        hybrid_max=("hybrid_fock_builds", "max"),
        hybrid_mean=("hybrid_fock_builds", "mean"),
        cheap_median=("cheap_fock_builds", "median"),
        third_gradient=("third_gradient", geometric_mean),
        contraction=("contraction", geometric_mean),
        hessian_error=("hessian_error", "mean"),
        wall_total_s=("wall_total_s", "sum"),
        e_diff_max_Eh=("e_diff_Eh", lambda e: e.abs().max()),
    ).reset_index()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("reference", type=Path, help="chunk written by `dixc reference`")
    parser.add_argument("functionals", nargs="*", help="registry names or model files")
    parser.add_argument("--set", nargs="*", default=[], metavar="KEY=VALUE", help="fields of Acceleration")
    parser.add_argument("--no-default-guess", action="store_true", help="leave out the rows of plain PySCF")
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    changes = {key: json.loads(value) for key, value in (item.split("=", 1) for item in arguments.set)}
    with logged_lines(sys.stderr):  # one about each SCF
        table = measure(arguments.reference, arguments.functionals, changes, not arguments.no_default_guess)
    table.to_csv(sys.stdout, index=False, float_format="%.3g")
    summary(table).to_csv(sys.stdout, index=False, float_format="%.3g")


if __name__ == "__main__":
    main()

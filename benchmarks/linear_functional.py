"""What a linear meta-GGA can learn from each loss: a convex problem, solved exactly.

    python benchmarks/linear_functional.py results/default --on results/development

Exchange and correlation together are e_x^LDA(n) sum_ijk c_ijk P_i(t_s) P_j(t_alpha) P_k(t_n), Legendre polynomials in
bounded variables of s, alpha and log n, added to a classical functional. At the reference density, energy, orbital
gradient and (to first order) density of the model's own SCF solution are linear in c, so that for each loss the best c
follows from normal equations with a ridge: no optimizer, no network. What comes out is what the loss itself can teach,
apart from how it is minimised. Energies are those at the reference density; 1/2 g^T D^-1 g estimates E_rho.

One CSV row for each start, ridge and combination of terms: mean absolute error of energies on training molecules and on
the test molecules of `--on` (raw, and with per-element energies fitted on the training molecules), and the estimate of
E_rho, all mEh. Weights are those of the run's `training` section, energies without the Huber bound.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from pyscf.scf import hf
from tqdm import tqdm

from dixc.config import Config, load
from dixc.functionals import registry
from dixc.functionals.base import Functional, SpinDensity
from dixc.functionals.lda import slater
from dixc.functionals.reduced import Points
from dixc.functionals.tail import TAIL_END
from dixc.functionals.xcdiff import ALPHA_ETA
from dixc.records import ReferenceRecord, read_records
from dixc.stages.derivatives import unpack
from dixc.stages.element_fit import element_counts, fit_elements
from dixc.store import open_chunk
from dixc.training.data import TrainingMolecule
from dixc.xc import invariants, invariants_vjp

ORDERS = (6, 6, 3)  # polynomials in t_s, t_alpha, t_n
LOSSES = {
    "energy": (1, 0, 0),
    "energy + density": (1, 1, 0),
    "energy + gradient": (1, 0, 1),
    "energy + density + gradient": (1, 1, 1),
}


@dataclass
class Linear:
    """A molecule in the linear problem; gradients are in units of D^1/2, pairs in one dimension.

    Attributes:
        energies: of each basis functional (n,), hartree.
        gradients: likewise, (n, pairs).
        energy, gradient: what they are to add up to.
        atomic_numbers: of the molecule.
        density, inverse: quadratic forms (pairs, pairs) of the density error and of 1/2 g^T H^-1 g in the missing
            gradient; None without derivatives.
    """

    energies: NDArray
    gradients: NDArray
    energy: float
    gradient: NDArray
    atomic_numbers: NDArray
    density: NDArray | None = None
    inverse: NDArray | None = None


def legendre(order: int, t: torch.Tensor) -> torch.Tensor:
    """Legendre polynomial of a tensor."""
    result = torch.zeros_like(t)
    for coefficient in np.polynomial.legendre.leg2poly([0] * order + [1])[::-1]:
        result = result * t + coefficient
    return result


def basis(x: torch.Tensor) -> Iterator[torch.Tensor]:
    """Energies per volume (N,) of all basis functionals, smoothly switched off in the tail."""
    points = Points(*x)
    log_n = torch.log(points.n)
    alpha = points.alpha(ALPHA_ETA).clamp(min=0)
    t_s, t_alpha, t_n = (
        2 * points.p / (2 + points.p) - 1,
        (alpha - 1) / (alpha + 1),
        torch.tanh((log_n + 1.5) / 3),
    )
    local = slater(points) * torch.sigmoid(2 * (log_n - np.log(10 * TAIL_END)))
    for k in range(ORDERS[2]):
        for i in range(ORDERS[0]):
            for j in range(ORDERS[1]):
                yield points.energy(local * legendre(k, t_n) * legendre(i, t_s) * legendre(j, t_alpha))


def linear(record: ReferenceRecord, start: Functional, a_plus_b: NDArray | None) -> Linear:
    """The linear problem of a molecule."""
    molecule = TrainingMolecule(record, {}, 1, 0)
    grid, rho = molecule.grid(), molecule.rho_ref[None]
    orbo, orbv, root = molecule.orbo_ref, molecule.orbv_ref, np.sqrt(molecule.metric_diagonal)
    x = invariants(rho).requires_grad_()

    def scaled_gradient(energy: torch.Tensor) -> NDArray:
        (e1,) = torch.autograd.grad(energy, x, retain_graph=True)
        half = grid.potential_on_orbitals(invariants_vjp(rho, e1)[0], molecule.values_ref())
        return (4 * orbv.T @ half / root).ravel()

    energies, gradients = [], []
    for density in basis(x):
        energy = density @ grid.points.weights
        energies.append(energy.item())
        gradients.append(scaled_gradient(energy))
    hcore, vj = hf.get_hcore(record.mol), hf.get_jk(record.mol, record.dm, with_k=False)[0]
    rest = record.mol.energy_nuc() + np.vdot(hcore + 0.5 * vj, record.dm)
    own = start.energy_density(SpinDensity(x[: {"GGA": 2, "MGGA": 3}[start.xctype]], start.xctype))
    own = own @ grid.points.weights
    wanted = -(4 * orbv.T @ (hcore + vj) @ orbo / root).ravel() - scaled_gradient(own)
    missing = record.e_tot - rest - own.item()
    found = Linear(np.array(energies), np.array(gradients), missing, wanted, record.atomic_numbers)
    if a_plus_b is not None:
        hessian = 4 * unpack(a_plus_b)
        response = np.linalg.solve(hessian, np.diag(root.ravel()))
        occupied, virtual = (grid.values(c) for c in (orbo, orbv))
        pairs = np.concatenate(
            [
                4 * np.einsum("ag,ig->gai", v[0], o[0]).reshape(v.shape[-1], -1)
                for (_, o), (_, v) in zip(
                    grid._with_values(occupied), grid._with_values(virtual), strict=True
                )
            ]
        )
        weighted = pairs * grid.points.weights.numpy()[:, None]
        found.density = response.T @ (weighted.T @ pairs) @ response / record.n_electrons
        found.inverse = response.T @ hessian @ response
    return found


def molecules(run: Path, config: Config, split: str, start: Functional) -> list[Linear]:
    """All molecules of a split; those of the training with their derivatives."""
    found = []
    for name in config.chunks(split):
        records = list(read_records(run / f"reference/{name}.h5"))
        bar = tqdm(records, desc=split, unit="molecule", disable=None)
        if split != "train":
            found += [linear(record, start, None) for record in bar]
            continue
        with open_chunk(run / f"derivatives/{name}.h5", stage="derivatives") as known:
            found += [linear(record, start, np.array(known[record.name]["a_plus_b"])) for record in bar]
    return found


def solve(train: list[Linear], config: Config, terms: tuple[int, int, int], ridge: float) -> NDArray:
    """Coefficients (n,) that minimise the loss."""
    settings, n = config.training, len(train[0].energies)
    matrix, right = ridge**2 * np.eye(n), np.zeros(n)
    for m in train:
        energies = 1000 * m.energies
        factor = terms[0] * settings.energy.weight / settings.energy.huber_mEh
        matrix += factor * np.outer(energies, energies)
        right += factor * 1000 * m.energy * energies
        form = terms[1] * 2 * settings.density.weight * m.density
        form = form + terms[2] * 1000 * settings.gradient.weight * m.inverse
        weighted = m.gradients @ form
        matrix += weighted @ m.gradients.T
        right += weighted @ m.gradient
    return np.linalg.solve(matrix, right)


def errors(found: list[Linear], coefficients: NDArray) -> tuple[NDArray, float]:
    """Energy errors (n,) and mean of 1/2 g^T D^-1 g, mEh."""
    energy = np.array([1000 * (m.energies @ coefficients - m.energy) for m in found])
    gradient = [500 * np.sum((m.gradients.T @ coefficients - m.gradient) ** 2) for m in found]
    return energy, float(np.mean(gradient))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path, help="folder of a run whose stage derivatives has finished")
    parser.add_argument("--on", type=Path, required=True, help="run whose test molecules are predicted")
    parser.add_argument("--starts", nargs="+", default=["r2scan", "pbe"], help="classical functionals")
    parser.add_argument("--ridges", nargs="+", type=float, default=[1.0, 0.1, 0.01])
    given = parser.parse_args()
    config, other, rows = load(given.run / "config.yaml"), load(given.on / "config.yaml"), []
    for name in given.starts:
        start = registry.create(name)
        train = molecules(given.run, config, "train", start)
        test = molecules(given.on, other, "test", start)
        counts = element_counts(pd.Series([m.atomic_numbers.tolist() for m in train + test]))
        for ridge in given.ridges:
            for loss, terms in LOSSES.items():
                coefficients = solve(train, config, terms, ridge)
                (seen, rho_seen), (unseen, rho) = errors(train, coefficients), errors(test, coefficients)
                elements = fit_elements(seen, counts.to_numpy()[: len(train)])
                fitted = unseen - counts.to_numpy()[len(train) :] @ elements
                rows.append({
                    "start": name, "ridge": ridge, "loss": loss,
                    "train_energy_mEh": np.abs(seen).mean(), "train_e_rho_mEh": rho_seen,
                    "test_energy_mEh": np.abs(unseen).mean(), "test_energy_fit_mEh": np.abs(fitted).mean(),
                    "test_e_rho_mEh": rho,
                })  # fmt: skip
    pd.DataFrame(rows).to_csv(sys.stdout, index=False, float_format="%.3g")


if __name__ == "__main__":
    main()

"""What a linear meta-GGA can learn from each loss: a convex problem, solved exactly.

    python benchmarks/linear_functional.py results/default --on results/development

Exchange and correlation together are e_x^LDA(n) sum_ijk c_ijk P_i(t_s) P_j(t_alpha) P_k(t_n), Legendre polynomials in
bounded variables of s, alpha and log n, added to a classical functional. At the reference density, energy, orbital
gradient and (to first order) density of the model's own SCF solution are linear in c, and so are gradients at any other
orbitals. For each loss the best c follows from normal equations with a ridge: no optimizer, no network. What comes out
is what the loss itself can teach, apart from how it is minimised. Energies are those at the reference density;
1/2 g^T D^-1 g estimates E_rho.

Two losses look away from the reference density, at orbitals C exp(K). `hessian`: along random probes, the difference of
gradients at +K and -K, small, which is the Hessian's product with them (without the excitations of `hess`).
`away`: gradients of the hybrid and the model at orbitals that random combinations of the `LOW` lowest eigenvectors of
the reference's Hessian lead to, `AWAY_MEH` above the ground state, with the metric and weight of the gradient.

One CSV row for each start, number of training molecules (`--molecules`: so many of those that the run has, chosen at
random `--draws` times), ridge and combination of terms: mean absolute error of energies on training molecules and on
the test molecules of `--on` (raw, and with per-element energies fitted on the training molecules), and the estimate of
E_rho, all mEh, means over the choices, with the standard deviation of the raw energy error among them. Weights are
those of the run's `training` section, energies without the Huber bound.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import scipy.linalg
import torch
from numpy.typing import NDArray
from pyscf.scf import hf
from tqdm import tqdm

from dixc.config import Config, load
from dixc.config.training import Training
from dixc.core.orbitals import rotate
from dixc.core.xc.invariants import invariants
from dixc.functionals import registry
from dixc.functionals.base import Functional, SpinDensity
from dixc.functionals.lda import slater
from dixc.functionals.reduced import Points
from dixc.functionals.tail import TAIL_END
from dixc.functionals.xcdiff import ALPHA_ETA
from dixc.reference.packing import unpack
from dixc.reference.record import ReferenceRecord, read_records
from dixc.store import open_chunk
from dixc.tables.element_fit import element_counts, fit_elements
from dixc.training.molecule import TrainingMolecule

ORDERS = (6, 6, 3)  # polynomials in t_s, t_alpha, t_n
ELSEWHERE = ("hessian", "away")
LOSSES = (
    "energy",
    "energy + density",
    "energy + gradient",
    "energy + density + gradient",
    "energy + density + gradient + hessian",
    "energy + gradient + away",
    "energy + density + gradient + away",
)
PROBES, AWAY = 2, 4  # directions of a training molecule
STEP = 1e-2  # |D^1/2 kappa| at the two ends of a difference
LOW, AWAY_MEH = 20, 2.0  # modes, and how far up
BLOCK = 2048  # grid points
TRIES = 1000  # at a choice of molecules


Equations = dict[str, tuple[NDArray, NDArray]]  # of each term: matrix and right side


class Gradients(NamedTuple):
    """At one or more sets of orbitals, in units of D^1/2, all pairs of all of them in one dimension.

    Attributes:
        each: of the basis functionals (n, pairs).
        wanted: what they are to add up to (pairs,).
    """

    each: NDArray
    wanted: NDArray


@dataclass
class Linear:
    """A molecule in the linear problem.

    Attributes:
        energies: of each basis functional (n,), hartree.
        energy: what they are to add up to.
        gradient: at the reference.
        atomic_numbers: of the molecule.
        density, inverse: quadratic forms (pairs, pairs) of the density error and of 1/2 g^T H^-1 g in the missing
            gradient; None without derivatives, like all that follows.
        hessian: products with the probes; None where only the reference density is looked at, like `away`.
        away: at each of the orbitals away from the reference.
    """

    energies: NDArray
    energy: float
    gradient: Gradients
    atomic_numbers: NDArray
    density: NDArray | None = None
    inverse: NDArray | None = None
    hessian: Gradients | None = None
    away: list[Gradients] | None = None


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


def pair_invariants(
    mol, coords: NDArray, rho: NDArray, orbo: NDArray, orbv: NDArray
) -> Iterator[tuple[slice, NDArray]]:
    """First-order changes of [n, sigma, tau] on the grid for every kappa_ai, block by block: (3, n_block, pairs)."""
    for begin in range(0, len(coords), BLOCK):
        points = slice(begin, begin + BLOCK)
        orbitals = mol.eval_gto("GTOval_sph_deriv1", coords[points])
        occupied, virtual = (orbitals @ c for c in (orbo, orbv))
        slope = np.einsum("cg,cgi->gi", rho[1:4, points], occupied[1:])
        mixed = np.einsum("cg,cga->ga", rho[1:4, points], virtual[1:])
        changes = (
            4 * np.einsum("ga,gi->gai", virtual[0], occupied[0]),
            8 * (np.einsum("ga,gi->gai", mixed, occupied[0]) + np.einsum("ga,gi->gai", virtual[0], slope)),
            2 * np.einsum("cga,cgi->gai", virtual[1:], occupied[1:]),
        )
        yield points, np.stack(changes).reshape(3, len(orbitals[0]), -1)


class Molecule:
    """What the linear problem needs of a molecule at given orbitals."""

    def __init__(self, record: ReferenceRecord, start: Functional):
        self.record, self.start, self.hybrid = record, start, record.mean_field()
        self.data = TrainingMolecule(record, {}, 1, 0)
        self.root = np.sqrt(self.data.metric_diagonal)

    def at(self, kappa: NDArray) -> tuple[NDArray, float, Gradients]:
        """Energies (n,) of the basis functionals, that of the functional they are added to, and gradients."""
        grid, mol = self.data.grid(), self.record.mol
        orbo, orbv = rotate(self.data.orbo_ref, self.data.orbv_ref, kappa)
        rho = grid.density_of_orbitals(grid.values(orbo))
        x = invariants(rho[None]).requires_grad_()
        own = self.start.energy_density(
            SpinDensity(x[: {"GGA": 2, "MGGA": 3}[self.start.xctype]], self.start.xctype)
        )
        energies, slopes = [], []
        for density in (*basis(x), own):
            energy = density @ grid.points.weights
            energies.append(energy.item())
            slopes.append(torch.autograd.grad(energy, x, retain_graph=True)[0].numpy())
        slopes = np.stack(slopes)
        gradients = np.zeros((len(slopes), kappa.size))
        for points, pairs in pair_invariants(mol, grid.coords, rho.numpy(), orbo, orbv):
            gradients += slopes[:, :, points].reshape(len(slopes), -1) @ pairs.reshape(-1, kappa.size)
        gradients /= self.root.ravel()
        found = self.hybrid.get_veff(mol, 2 * orbo @ orbo.T)
        wanted = (4 * orbv.T @ (np.asarray(found) - found.vj) @ orbo / self.root).ravel()
        return np.array(energies[:-1]), energies[-1], Gradients(gradients[:-1], wanted - gradients[-1])

    def product(self, direction: NDArray) -> Gradients:
        """Of the Hessians with a direction D^1/2 kappa, by a central difference."""
        kappa = STEP / np.linalg.norm(direction) * direction / self.root
        ahead, behind = (self.at(sign * kappa)[2] for sign in (1, -1))
        scale = np.linalg.norm(direction) / (2 * STEP)
        return Gradients(*(scale * (a - b) for a, b in zip(ahead, behind, strict=True)))


def linear(
    record: ReferenceRecord,
    start: Functional,
    a_plus_b: NDArray | None,
    elsewhere: bool = True,
    seed: int = 0,
) -> Linear:
    """The linear problem of a molecule, with its derivatives if the reference's are given."""
    molecule = Molecule(record, start)
    shape = molecule.data.shape
    energies, own, gradient = molecule.at(np.zeros(shape))
    hcore, vj = hf.get_hcore(record.mol), hf.get_jk(record.mol, record.dm, with_k=False)[0]
    rest = record.mol.energy_nuc() + np.vdot(hcore + 0.5 * vj, record.dm)
    found = Linear(energies, record.e_tot - rest - own, gradient, record.atomic_numbers)
    if a_plus_b is None:
        return found
    hessian, diagonal = 4 * unpack(a_plus_b), molecule.root.ravel()
    response = np.linalg.solve(hessian, np.diag(diagonal))
    grid, rng = molecule.data.grid(), np.random.default_rng(seed)
    overlap = np.zeros_like(hessian)
    for points, (pairs, *_) in pair_invariants(
        record.mol, grid.coords, molecule.data.rho_ref.numpy(), molecule.data.orbo_ref, molecule.data.orbv_ref
    ):
        overlap += pairs.T * grid.points.weights[points].numpy() @ pairs
    found.density = response.T @ overlap @ response / record.n_electrons
    found.inverse = response.T @ hessian @ response
    if not elsewhere:
        return found
    products = [molecule.product(rng.standard_normal(shape)) for _ in range(PROBES)]
    found.hessian = Gradients(*(np.concatenate(parts, axis=-1) for parts in zip(*products, strict=True)))
    curvature, modes = scipy.linalg.eigh(hessian, subset_by_index=(0, min(LOW, len(hessian)) - 1))
    found.away = []
    for _ in range(AWAY):
        amplitudes = rng.standard_normal(len(curvature)) / np.sqrt(curvature)
        amplitudes *= np.sqrt(2e-3 * AWAY_MEH / (curvature @ amplitudes**2))
        found.away.append(molecule.at((modes @ amplitudes).reshape(shape))[2])
    return found


def molecules(run: Path, config: Config, split: str, start: Functional, elsewhere: bool) -> list[Linear]:
    """All molecules of a split; those of the training with their derivatives."""
    found = []
    for name in config.chunks(split):
        records = list(read_records(run / f"reference/{name}.h5"))
        bar = tqdm(records, desc=split, unit="molecule", disable=None)
        if split != "train":
            found += [linear(record, start, None) for record in bar]
            continue
        with open_chunk(run / f"derivatives/{name}.h5", stage="derivatives") as known:
            found += [
                linear(record, start, np.array(known[record.name]["a_plus_b"]), elsewhere) for record in bar
            ]
    return found


def equations(m: Linear, settings: Training, scale: float = 1.0) -> Equations:
    """What a training molecule adds to the normal equations: matrix (n, n) and right side (n,) of each term.

    Args:
        m: the molecule.
        settings: weights.
        scale: of its energy error.
    """

    def of(weighted: NDArray, each: NDArray, wanted: NDArray) -> tuple[NDArray, NDArray]:
        return weighted @ each.T, weighted @ wanted

    energies = 1000 * scale * m.energies[:, None]
    factor = settings.energy.weight / settings.energy.huber_mEh
    form = 1000 * settings.gradient.weight * m.inverse
    found = {
        "energy": of(factor * energies, energies, np.array([1000 * scale * m.energy])),
        "density": of(2 * settings.density.weight * m.gradient.each @ m.density, *m.gradient),
        "gradient": of(m.gradient.each @ form, *m.gradient),
    }
    if m.hessian:
        factor = 2 * settings.hessian.weight / len(m.hessian.wanted)
        found["hessian"] = of(factor * m.hessian.each, *m.hessian)
    if m.away:
        points = [of(point.each @ (form / len(m.away)), *point) for point in m.away]
        found["away"] = tuple(sum(parts) for parts in zip(*points, strict=True))
    return found


def solve(train: Sequence[Equations], loss: str, ridge: float) -> NDArray:
    """Coefficients (n,) that minimise the loss."""
    parts = [m[term] for m in train for term in loss.split(" + ")]
    matrix, right = (sum(part) for part in zip(*parts, strict=True))
    return np.linalg.solve(matrix + ridge**2 * np.eye(len(right)), right)


def draws(elements: NDArray, count: int, number: int) -> Iterator[NDArray]:
    """Random choices of training molecules that have all elements between them; their indices.

    Args:
        elements: atoms of each element (n_molecules, n_elements).
        count: molecules in each.
        number: how many choices; those of all molecules are the same, and there is one.
    """
    rng = np.random.default_rng(count)
    for _ in range(number if count < len(elements) else 1):
        for _ in range(TRIES):
            chosen = rng.permutation(len(elements))[:count]
            if elements[chosen].any(axis=0).all():
                break
        else:
            raise SystemExit(f"--molecules {count}: too few to have all elements of the training molecules")
        yield np.sort(chosen)


def errors(found: list[Linear], coefficients: NDArray) -> tuple[NDArray, float]:
    """Energy errors (n,) and mean of 1/2 g^T D^-1 g, mEh."""
    energy = np.array([1000 * (m.energies @ coefficients - m.energy) for m in found])
    gradient = [500 * np.sum((m.gradient.each.T @ coefficients - m.gradient.wanted) ** 2) for m in found]
    return energy, float(np.mean(gradient))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path, help="folder of a run whose stage derivatives has finished")
    parser.add_argument("--on", type=Path, required=True, help="run whose test molecules are predicted")
    parser.add_argument("--starts", nargs="+", default=["r2scan", "pbe"], help="classical functionals")
    parser.add_argument("--at-reference", action="store_true", help="without the terms that look elsewhere")
    parser.add_argument("--molecules", nargs="+", type=int, help="how many to train on (default: all)")
    parser.add_argument("--draws", type=int, default=8, help="random choices of so many")
    parser.add_argument("--per-electron", action="store_true", help="energy errors by number of electrons")
    parser.add_argument("--ridges", nargs="+", type=float, default=[1.0, 0.1, 0.01])
    given = parser.parse_args()
    losses = [loss for loss in LOSSES if not (given.at_reference and {*ELSEWHERE} & {*loss.split(" + ")})]
    config, other, rows = load(given.run / "config.yaml"), load(given.on / "config.yaml"), []
    for name in given.starts:
        start = registry.create(name)
        train = molecules(given.run, config, "train", start, not given.at_reference)
        test = molecules(given.on, other, "test", start, False)
        electrons = np.array([m.atomic_numbers.sum() for m in train])
        scales = electrons.mean() / electrons if given.per_electron else np.ones(len(train))
        known = [equations(m, config.training, scale) for m, scale in zip(train, scales, strict=True)]
        counts = element_counts(pd.Series([m.atomic_numbers.tolist() for m in train + test])).to_numpy()
        for count, ridge, loss in product(given.molecules or [len(train)], given.ridges, losses):
            for draw, chosen in enumerate(draws(counts[: len(train)], count, given.draws)):
                coefficients = solve([known[i] for i in chosen], loss, ridge)
                seen, rho_seen = errors([train[i] for i in chosen], coefficients)
                unseen, rho = errors(test, coefficients)
                fitted = unseen - counts[len(train) :] @ fit_elements(seen, counts[chosen])
                rows.append({
                    "start": name, "molecules": len(chosen), "ridge": ridge, "loss": loss, "draw": draw,
                    "train_energy_mEh": np.abs(seen).mean(), "train_e_rho_mEh": rho_seen,
                    "test_energy_mEh": np.abs(unseen).mean(), "test_energy_fit_mEh": np.abs(fitted).mean(),
                    "test_e_rho_mEh": rho,
                })  # fmt: skip
    table = pd.DataFrame(rows)
    drawn = table.groupby(["start", "molecules", "ridge", "loss"], sort=False)
    means = drawn.mean().drop(columns="draw")
    means["sd_test_energy_mEh"] = drawn["test_energy_mEh"].std()
    means.reset_index().to_csv(sys.stdout, index=False, float_format="%.3g")


if __name__ == "__main__":
    main()

"""Pre-fit: a learned functional starts as a copy of a classical one on the training molecules' own densities.

Pointwise and cheap (of a functional that is not pointwise, the semilocal part is fitted; untrained, it is that part):
energy density and its slopes x_i de/dx_i (all energies per volume, hence commensurate) are matched at random points
of the grids of the reference densities, weighted so that the loss is a mean over electrons in hartree^2. Every loss of
a run starts from the same pre-fit.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from dixc.core.grid import AOGrid
from dixc.core.xc.invariants import invariants
from dixc.elements import SYMBOLS
from dixc.errors import InputError
from dixc.functionals.base import N_INVARIANTS, PointwiseFunctional, SpinDensity
from dixc.reference.record import ReferenceRecord, elements, read_records
from dixc.store import read_info

if TYPE_CHECKING:
    pass

ITERATIONS_AT_ONCE = 20
MOST_MOLECULES = 500  # their grids are held in memory; the points of the fit are drawn from them
SCALE = 1e4  # brings the loss near 1, where the line search of L-BFGS works best


def sample(references: list[Path]) -> tuple[list[ReferenceRecord], list[str]]:
    """At most `MOST_MOLECULES` of all molecules, evenly chosen, and the elements of all.

    Raises:
        InputError: there are none.
    """
    total = sum(len(info["molecules"]) - len(info["failed"]) for info in map(read_info, references))
    if not total:
        raise InputError(f"no usable molecule in {', '.join(map(str, references))}")
    stride, number, sampled, symbols = -(-total // MOST_MOLECULES), 0, [], set()
    for path in references:
        for record in read_records(path):  # a file at a time: all of them may be more than memory holds
            if number % stride == 0:
                sampled.append(record)
            symbols.update(elements([record]))
            number += 1
    return sampled, sorted(symbols, key=SYMBOLS.index)


def density_points(records: list[ReferenceRecord], level: int = 0) -> tuple[Tensor, Tensor]:
    """Meta-GGA invariants (3, N) and weights (N,) of all reference densities on a coarse grid."""
    xs, weights = [], []
    for record in records:
        points = record.grid(level)
        grid = AOGrid(record.mol, points.coords, points.weights, "MGGA", max_cache_mb=0)
        occupied = record.mo_coeff[:, record.mo_occ == 2]
        xs.append(invariants(grid.density_of_orbitals(occupied)[None]))
        weights.append(grid.points.weights)
    return torch.cat(xs, dim=1), torch.cat(weights)


def _scaled_slopes(functional: PointwiseFunctional, x: Tensor, create_graph: bool) -> Tensor:
    """Energy density and x_i de/dx_i, (4, N), hartree bohr^-3."""
    x = x.detach().requires_grad_()
    rows = x[: N_INVARIANTS[functional.xctype, 1]]
    e = functional.per_volume(SpinDensity(rows, functional.xctype))
    (slopes,) = torch.autograd.grad(e.sum(), x, create_graph=create_graph)
    result = torch.cat([e[None], x * slopes])
    return result if create_graph else result.detach()


def fit(
    functional: PointwiseFunctional,
    target: PointwiseFunctional,
    x: Tensor,
    weights: Tensor,
    steps: int,
    n_points: int,
    seed: int,
) -> float:
    """L-BFGS on a fixed random sample of points; returns the root mean square error, hartree per electron.

    A small network on a smooth target: second-order steps get an order of magnitude further than Adam in equal time.
    """
    n = x[0]
    # points matter as much as their electrons do; below 1e-6 the functional is its own tail anyway
    chance = (weights.abs() * n * (n > 1e-6)).numpy()
    rng = np.random.default_rng([seed, 7])
    numbers = torch.from_numpy(rng.choice(len(chance), size=n_points, p=chance / chance.sum()))
    x_sample = x[:, numbers]
    target_slopes = _scaled_slopes(target, x_sample, False)

    def misfit() -> Tensor:
        return ((_scaled_slopes(functional, x_sample, True) - target_slopes) / x_sample[0]).square().mean()

    if not list(functional.parameters()):  # a classical functional as the semilocal part of a learned one
        return misfit().sqrt().item()
    optimizer = torch.optim.LBFGS(
        functional.parameters(),
        max_iter=ITERATIONS_AT_ONCE,
        history_size=50,
        line_search_fn="strong_wolfe",
        tolerance_grad=0,
        tolerance_change=0,
    )

    def closure() -> Tensor:
        optimizer.zero_grad(set_to_none=True)
        loss = SCALE * misfit()
        loss.backward()
        return loss

    with tqdm(total=steps, desc="prefit", unit="step", disable=None) as bar:
        for _ in range(0, steps, ITERATIONS_AT_ONCE):
            loss = optimizer.step(closure).item()
            bar.update(ITERATIONS_AT_ONCE)
            bar.set_postfix_str(f"rms={np.sqrt(loss / SCALE):.2e} Eh/electron")
    return float(np.sqrt(closure().item() / SCALE))

"""The interface of exchange-correlation functionals: density invariants on a grid in, one energy out.

Symbols: N grid points; n density (bohr^-3), sigma = grad n . grad n, tau = 1/2 sum |grad phi|^2 (hartree bohr^-3).
A closed shell is described by its *total* density, rows (n), (n, sigma) or (n, sigma, tau); a spin-resolved density by
(n_a, n_b), + (sigma_aa, sigma_ab, sigma_bb), + (tau_a, tau_b). The two cases meet in `SpinDensity` and nowhere else.
Derivatives are not a functional's business: see `dixc.xc`.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

N_INVARIANTS = {("LDA", 1): 1, ("GGA", 1): 2, ("MGGA", 1): 3, ("LDA", 2): 2, ("GGA", 2): 5, ("MGGA", 2): 7}


@dataclass(frozen=True, eq=False)
class GridPoints:
    """What a functional may know of the grid and the molecule.

    Attributes:
        weights: quadrature weights (N,), bohr^3.
        coords: grid points (N, 3), bohr.
        atom_coords: nuclei (natm, 3), bohr.
        atom_charges: nuclear charges (natm,).
    """

    weights: Tensor
    coords: Tensor | None = None
    atom_coords: Tensor | None = None
    atom_charges: Tensor | None = None
    _derived: dict[Hashable, Any] = field(default_factory=dict, init=False, repr=False)

    def derived(self, key: Hashable, build: Callable[[GridPoints], Any]) -> Any:
        """What `build` makes of points and nuclei, made once and kept as long as this object."""
        if key not in self._derived:
            self._derived[key] = build(self)
        return self._derived[key]

    def slice(self, points: slice) -> GridPoints:
        """The same molecule with a part of the points; this object itself, with what it keeps, if that is all."""
        if points.indices(len(self.weights)) == (0, len(self.weights), 1):
            return self
        coords = None if self.coords is None else self.coords[points]
        return GridPoints(self.weights[points], coords, self.atom_coords, self.atom_charges)


class SpinDensity:
    """Named access to invariants of either spin case.

    Args:
        x: invariants (rows, N) in the order of the module header; the number of rows tells the spin case.
        xctype: "LDA", "GGA" or "MGGA".
        dense: no point and no spin channel is anywhere near empty, so that nothing need be guarded.

    Attributes:
        n, sigma, tau: total-density invariants (N,); None where the xctype does not have them.
        channels: spin-scaled invariants (2 n_s, 4 sigma_ss, 2 tau_s) of each spin, one entry for a closed shell.
            Exchange is the mean of its closed-shell value over the channels (exact spin scaling).
        zeta: (n_a - n_b) / n, None for a closed shell.
    """

    def __init__(self, x: Tensor, xctype: str, dense: bool = False):
        self.x, self.xctype, self.dense = x, xctype, dense
        self.closed_shell = x.shape[0] == N_INVARIANTS[xctype, 1]
        if not self.closed_shell and x.shape[0] != N_INVARIANTS[xctype, 2]:
            raise ValueError(f"{x.shape[0]} rows are not the invariants of a {xctype} in either spin case")
        gga, mgga = xctype != "LDA", xctype == "MGGA"
        self.zeta: Tensor | None = None
        self.sigma: Tensor | None = None
        self.tau: Tensor | None = None
        self.n: Tensor
        if self.closed_shell:
            self.n, self.sigma, self.tau = (*x, None, None)[:3]
            self.channels = [(self.n, self.sigma, self.tau)]
            return
        n_a, n_b = x[0], x[1]
        self.n = n_a + n_b
        # an empty point has no polarisation; the guard keeps 0/0 out of every derivative
        occupied = self.n > 0
        self.zeta = torch.where(occupied, (n_a - n_b) / torch.where(occupied, self.n, 1.0), 0.0)
        sigma_s, tau_s = (None, None), (None, None)
        if gga:
            self.sigma = x[2] + 2 * x[3] + x[4]
            sigma_s = (4 * x[2], 4 * x[4])
        if mgga:
            self.tau = x[5] + x[6]
            tau_s = (2 * x[5], 2 * x[6])
        self.channels = [(2 * n_a, sigma_s[0], tau_s[0]), (2 * n_b, sigma_s[1], tau_s[1])]

    def part(self, points: Tensor, dtype: torch.dtype | None = None, dense: bool = False) -> SpinDensity:
        """Some points (indices) of this density, in another precision if wanted."""
        return SpinDensity(self.x[:, points].to(dtype or self.x.dtype), self.xctype, dense)


class Functional(nn.Module):
    """An exchange-correlation functional.

    Class attributes:
        xctype: which invariants it wants, "LDA", "GGA" or "MGGA".
        pointwise: True if the energy is a sum over points of a function of that point's invariants alone.
        exact_exchange: fraction of exact exchange that belongs to it (added by the SCF code, not here).
        source: where it was published.
    """

    xctype: str = "MGGA"
    pointwise: bool = False
    exact_exchange: float = 0.0
    source: str = ""

    def forward(self, x: Tensor, grid: GridPoints) -> Tensor:
        """Energy in hartree (scalar) for invariants x (rows, N) on a grid."""
        raise NotImplementedError

    @property
    def pointwise_part(self) -> Functional:
        """What a pointwise pre-fit acts on; a functional that is not pointwise may name its semilocal part."""
        return self

    def relative_learning_rate(self, name: str) -> float:
        """Learning rate of the parameter of this name over that of the training, positive."""
        return 1.0


class PointwiseFunctional(Functional):
    """A functional given by an energy per volume that depends on the invariants of one point."""

    pointwise = True

    def energy_density(self, density: SpinDensity) -> Tensor:
        """Energy per volume (N,), hartree bohr^-3."""
        raise NotImplementedError

    def forward(self, x: Tensor, grid: GridPoints) -> Tensor:
        return torch.dot(self.energy_density(SpinDensity(x, self.xctype)), grid.weights.to(x.dtype))

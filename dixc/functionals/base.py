"""The interface of exchange-correlation functionals: density invariants on a grid in, one energy out.

Symbols: N grid points; n density (bohr^-3), sigma = grad n . grad n, tau = 1/2 sum |grad phi|^2 (hartree bohr^-3).
A closed shell is described by its *total* density, rows (n), (n, sigma) or (n, sigma, tau); a spin-resolved density by
(n_a, n_b), + (sigma_aa, sigma_ab, sigma_bb), + (tau_a, tau_b). The two cases meet in `SpinDensity` and nowhere else.
Derivatives are not a functional's business: see `dixc.core.xc`.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from typing_extensions import Self

N_INVARIANTS = {("LDA", 1): 1, ("GGA", 1): 2, ("MGGA", 1): 3, ("LDA", 2): 2, ("GGA", 2): 5, ("MGGA", 2): 7}

# Density (bohr^-3) up to which a point is empty. float64: libxc drops points between 1e-11 and 1e-15 itself.
# float32: second derivatives grow like n^-4, about 1e25 at 1e-7, with headroom to the largest number, 3e38.
EMPTY_BELOW = {torch.float64: 1e-13, torch.float32: 1e-7}
P_FACTOR = 4 * (3 * math.pi**2) ** (2 / 3)
TAU_FACTOR = 0.3 * (3 * math.pi**2) ** (2 / 3)
# p = sigma / (P_FACTOR n^(8/3)) of points that stand for empty ones, and the least one of any point
USUAL_P, LEAST_P = 1e-2, 1e-20
CANCELLATION = 1e-14  # of squared gradients of the spins, below which that of their sum is noise


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


class Channel(NamedTuple):
    """Spin-scaled invariants (N,) of one spin; None where the xctype does not have them."""

    n: Tensor
    sigma: Tensor | None
    tau: Tensor | None


def present(invariant: Tensor | None) -> Tensor:
    """An invariant of a density whose xctype must have it.

    Raises:
        ValueError: the density is of a simpler xctype.
    """
    if invariant is None:
        raise ValueError("the density of a simpler xctype lacks an invariant that the functional needs")
    return invariant


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
            self.n = x[0]
            self.sigma = x[1] if gga else None
            self.tau = x[2] if mgga else None
            self.channels = [Channel(self.n, self.sigma, self.tau)]
            return
        n_a, n_b = x[0], x[1]
        self.n = n_a + n_b
        # an empty point has no polarisation; the guard keeps 0/0 out of every derivative
        occupied = self.n > 0
        self.zeta = torch.where(occupied, (n_a - n_b) / torch.where(occupied, self.n, 1.0), 0.0)
        if gga:
            self.sigma = x[2] + 2 * x[3] + x[4]
        if mgga:
            self.tau = x[5] + x[6]
        self.channels = [
            Channel(2 * n, 4 * x[sigma] if gga else None, 2 * x[tau] if mgga else None)
            for n, sigma, tau in ((n_a, 2, 5), (n_b, 4, 6))
        ]

    def part(self, points: Tensor, dtype: torch.dtype | None = None, dense: bool = False) -> SpinDensity:
        """Some points (indices) of this density, in another precision if wanted."""
        return SpinDensity(self.x[:, points].to(dtype or self.x.dtype), self.xctype, dense)

    def guarded(self) -> tuple[SpinDensity, Tensor]:
        """This density with nothing in it that roots, powers, logarithms or divisions could stumble over.

        An empty point becomes a usual one, and an empty spin gets a trace of density; both are constants, of no
        derivative. sigma is at least a trace everywhere, with the slope that it had.

        Returns:
            The density, and which points (N,) are not empty: those whose energy counts.
        """
        ns = 1 if self.closed_shell else 2
        cut = EMPTY_BELOW[self.x.dtype]
        occupied = self.n > cut
        rows = dict(zip(_names(self.xctype, ns), self.x, strict=True))
        spins = ("",) if ns == 1 else ("a", "b")
        for s in spins:
            n = rows["n" + s]
            own = occupied & (n > cut)
            stand_in = torch.where(occupied, cut, 1.0 / ns)
            rows["n" + s] = n = torch.where(own, n, stand_in)
            # sigma_ss and tau_s of a spin are a quarter and a half of those of a closed shell of twice its density
            unit = P_FACTOR * (ns * n.detach()) ** (8 / 3) / ns**2
            if self.sigma is not None:
                sigma = torch.where(own, rows["sigma" + 2 * s], USUAL_P * unit)
                least = LEAST_P * unit
                rows["sigma" + 2 * s] = torch.where(sigma < least, sigma + (least - sigma).detach(), sigma)
            if self.tau is not None:
                uniform = TAU_FACTOR * (ns * n.detach()) ** (5 / 3) / ns
                rows["tau" + s] = torch.where(own, rows["tau" + s], uniform)
        if ns == 2 and self.sigma is not None:
            both = (self.x[0] > cut) & (self.x[1] > cut)
            across = torch.where(both, rows["sigmaab"], 0.0)
            # opposite gradients may cancel to less than rounding
            own = rows["sigmaaa"] + rows["sigmabb"]
            least = LEAST_P * P_FACTOR * (rows["na"] + rows["nb"]).detach() ** (8 / 3) + CANCELLATION * own
            total = own + 2 * across
            rows["sigmaab"] = torch.where(total < least, across + (least - total).detach() / 2, across)
        return SpinDensity(torch.stack(list(rows.values())), self.xctype), occupied


def _names(xctype: str, ns: int) -> list[str]:
    """Names of the rows of invariants, see the module header."""
    if ns == 1:
        return ["n", "sigma", "tau"][: N_INVARIANTS[xctype, 1]]
    return ["na", "nb", "sigmaaa", "sigmaab", "sigmabb", "taua", "taub"][: N_INVARIANTS[xctype, 2]]


class Functional(nn.Module):
    """An exchange-correlation functional.

    Class attributes:
        xctype: which invariants it wants, "LDA", "GGA" or "MGGA".
        pointwise: True if the energy is a sum over points of a function of that point's invariants alone.
        exact_exchange: fraction of exact exchange that belongs to it (added by the SCF code, not here).
        source: where it was published.
        comes_trained: True if its first weights are of use, such as those of a wrapped functional: no warning.
        single_precision: True if its weights may be float32 under invariants in float64. Else they stay in double
            precision whatever is asked. Not inherited: a subclass may have more weights.

    Attributes:
        hyperparameters: keywords to build it again, for model files; those it was made with, unless it sets others.
        metadata: provenance of its weights, if they came from a model file.
        name: what logs and `mf.xc` call it; empty: made of `metadata` or the registry (`identity.display_name`).
        warned_of_no_training, warned_of: that its weights are untrained, and elements that its training did not see,
            have been said (`dixc.pyscf.cautions`).
    """

    xctype: str = "MGGA"
    pointwise: bool = False
    exact_exchange: float = 0.0
    source: str = ""
    comes_trained: bool = False
    single_precision: bool = False
    hyperparameters: dict[str, Any]
    metadata: Mapping[str, Any] = MappingProxyType({})
    name: str = ""
    warned_of_no_training: bool = False
    warned_of: tuple[str, ...] = ()

    def __init_subclass__(cls, **keywords: Any):
        super().__init_subclass__(**keywords)
        for name in ("single_precision", "takes_empty_points"):
            if name not in vars(cls):
                setattr(cls, name, False)

    def __new__(cls, *args: Any, **keywords: Any) -> Self:
        functional = super().__new__(cls)
        functional.__dict__["hyperparameters"] = _by_name(cls, args, keywords)
        return functional

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

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Functional:
        """Move or convert the weights, but never to a lower precision than they may have (`single_precision`)."""
        if self.single_precision:
            return super()._apply(fn, recurse)  # type: ignore[no-untyped-call]

        def keep_precision(tensor: Tensor) -> Tensor:
            converted = fn(tensor)
            lower = converted.dtype.is_floating_point and converted.dtype.itemsize < tensor.dtype.itemsize
            return tensor.to(converted.device) if lower else converted

        return super()._apply(keep_precision, recurse)  # type: ignore[no-untyped-call]


def _by_name(cls: type, args: tuple[Any, ...], keywords: dict[str, Any]) -> dict[str, Any]:
    """Arguments of a class by their names; nothing if it does not take them, which its `__init__` will say."""
    signature = inspect.signature(cls.__init__)  # type: ignore[misc]  # of this very class
    try:
        bound = signature.bind(None, *args, **keywords).arguments
    except TypeError:
        return {}
    hyperparameters: dict[str, Any] = {}
    for name, value in list(bound.items())[1:]:  # without self
        kind = signature.parameters[name].kind
        if kind is inspect.Parameter.VAR_KEYWORD:
            hyperparameters |= value
        elif kind is not inspect.Parameter.VAR_POSITIONAL:
            hyperparameters[name] = value
    return hyperparameters


class PointwiseFunctional(Functional):
    """A functional given by an energy per volume that depends on the invariants of one point.

    Class attributes:
        takes_empty_points: True if `energy_density` copes with points and spins without density. Else it never gets
            any (`SpinDensity.guarded`). Not inherited.
    """

    pointwise = True
    takes_empty_points: bool = False

    def energy_density(self, density: SpinDensity) -> Tensor:
        """Energy per volume (N,), hartree bohr^-3."""
        raise NotImplementedError

    def per_volume(self, density: SpinDensity) -> Tensor:
        """The same for any density: nothing where there is none."""
        if self.takes_empty_points:
            return self.energy_density(density)
        usual, occupied = density.guarded()
        return torch.where(occupied, self.energy_density(usual), 0.0)

    def forward(self, x: Tensor, grid: GridPoints) -> Tensor:
        return torch.dot(self.per_volume(SpinDensity(x, self.xctype)), grid.weights.to(x.dtype))

"""Functionals with the interface of the `skala` package as functionals of dixc, to be fine-tuned with its losses.

Such a functional has a list `features` of what it wants and `get_exc_density(features) -> (G,)`, an energy per
volume; features are spin-resolved, `density` (2, G), `grad` (2, 3, G), `kin` (2, G), and `grid_coords`,
`grid_weights`, `coarse_0_atomic_coords` of grid and nuclei. With the last ones, other than the weights, it counts as
not pointwise and its `get_exc` gives the energy.

dixc's invariants hold no gradient vectors but their products. Vectors with the same products are made of them, in the
plane of x and y. Lengths have an infinite slope where they vanish, so the square of a length below `FLOOR` (in units
of s^2) is taken there instead, with a slope of one, and the equal gradients of a closed shell are kept that much
apart: this changes energies by some 1e-8 of their value and bounds the rounding of second derivatives. Dispersion
that a functional asks for is not added.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from dixc.errors import InputError
from dixc.functionals.base import (
    EMPTY_BELOW,
    P_FACTOR,
    GridPoints,
    PointwiseFunctional,
    SpinDensity,
    present,
)

FLOOR = 1e-8
ROUNDING = 1e-12  # of a squared length, below which a difference of such squares is noise
PER_POINT = {"density", "grad", "kin", "grid_weights"}
OF_THE_GRID: dict[str, Callable[[GridPoints], Tensor | None]] = {
    "grid_coords": lambda grid: grid.coords,
    "coarse_0_atomic_coords": lambda grid: grid.atom_coords,
}


def _named(name: str) -> Any:
    """A classical functional of the `skala` package.

    Only these: other strings could name files, which the hyperparameters of a model file must not do.

    Raises:
        InputError: no such package, or no such functional.
    """
    try:
        from skala.functional.traditional import XC_FUNCTIONAL_MAP
    except ImportError as error:
        raise InputError(f"skala-bridge: needs the package skala (pip install skala): {error}") from error
    if name.lower() not in XC_FUNCTIONAL_MAP:
        raise ValueError(
            f"functional must be one of {', '.join(XC_FUNCTIONAL_MAP)}, or an object; not {name!r}"
        )
    return XC_FUNCTIONAL_MAP[name.lower()]()


class SkalaBridge(PointwiseFunctional):
    """A functional with the interface of the `skala` package.

    A trained one is saved if it can be built again: subclass this with an `__init__` that makes the wrapped object from
    plain arguments, and keep them in `hyperparameters`.

    Args:
        functional: the object, or the name of a classical functional of the package (such as "tpss").

    Raises:
        InputError: the package is missing, or the object wants features that dixc's grids do not have.
    """

    comes_trained = True
    takes_empty_points = True
    source = "github.com/microsoft/skala"

    def __init__(self, functional: Any = "tpss"):
        super().__init__()
        self.hyperparameters = {"functional": functional}
        wrapped = _named(functional) if isinstance(functional, str) else functional
        self.wrapped: Any = wrapped.to(torch.float64) if isinstance(wrapped, nn.Module) else wrapped
        self.features = {str(getattr(f, "value", f)): f for f in getattr(wrapped, "features", [])}
        unknown = [name for name in self.features if name not in PER_POINT | OF_THE_GRID.keys()]
        if not self.features or unknown:
            wants = ", ".join(unknown) if unknown else "nothing: it has no list `features`"
            raise InputError(
                f"skala-bridge: {type(wrapped).__name__} wants {wants}; dixc's grids have no such feature"
            )
        self.pointwise = not self.features.keys() & OF_THE_GRID.keys()
        self.xctype = "MGGA" if "kin" in self.features else "GGA" if "grad" in self.features else "LDA"

    def forward(self, x: Tensor, grid: GridPoints) -> Tensor:
        if self.pointwise:
            return super().forward(x, grid)
        density = SpinDensity(x, self.xctype)
        occupied = density.n > EMPTY_BELOW[x.dtype]
        values = self._features(density, occupied, grid.weights.to(x.dtype) * occupied)
        values |= {self.features[n]: get(grid) for n, get in OF_THE_GRID.items() if n in self.features}
        return self.wrapped.get_exc(values)

    def energy_density(self, density: SpinDensity) -> Tensor:
        occupied = density.n > EMPTY_BELOW[density.n.dtype]
        values = self._features(density, occupied, torch.ones_like(density.n))
        return torch.where(occupied, self.wrapped.get_exc_density(values), 0.0)

    def _features(self, density: SpinDensity, occupied: Tensor, weights: Tensor) -> dict[Any, Tensor]:
        """Features of the points; a harmless one stands for every empty point."""
        # an empty spin is given a trace of density: functionals divide by it
        n = [
            _shifted(torch.where(occupied, c.n, 1.0) / 2, EMPTY_BELOW[density.n.dtype])
            for c in density.channels
        ]
        both = 2 // len(n)  # a closed shell has two equal spins
        values = {"density": torch.stack(n * both), "grid_weights": weights}
        if self.xctype != "LDA":
            values["grad"] = torch.stack(_gradients(density, n, occupied))
        if self.xctype == "MGGA":
            values["kin"] = torch.stack(
                [torch.where(occupied, present(c.tau), 1.0) / 2 for c in density.channels] * both
            )
        return {key: values[name] for name, key in self.features.items() if name in values}


def _shifted(value: Tensor, floor: Tensor | float) -> Tensor:
    """`value`, or the floor with the slope of `value` where it is less."""
    return torch.where(value < floor, value + (floor - value).detach(), value)


def _gradients(density: SpinDensity, n: list[Tensor], occupied: Tensor) -> list[Tensor]:
    """Gradient vectors (3, N) of each spin channel with the products that `density` has."""
    own = [torch.where(occupied, present(c.sigma), 1.0) / 4 for c in density.channels]
    units = [P_FACTOR / 4 * (2 * ns) ** (8 / 3) for ns in n]  # of s^2 = 1
    floors = [(FLOOR * u + ROUNDING * s).detach() for u, s in zip(units, own, strict=True)]
    zero = torch.zeros_like(own[0])
    first = _shifted(own[0], floors[0]).sqrt()
    if len(own) == 1:
        apart = floors[0].sqrt()
        return [torch.stack([first, apart, zero]), torch.stack([first, -apart, zero])]
    total = torch.where(occupied, present(density.sigma), 4.0)
    along = (total - own[0] - own[1]) / 2 / first
    across = _shifted(own[1] - along.square(), floors[1]).sqrt()
    return [torch.stack([first, zero, zero]), torch.stack([along, across, zero])]

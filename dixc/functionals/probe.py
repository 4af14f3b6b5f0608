"""What is asked of a functional, tried on a few points before anything is computed with it.

A class from outside of dixc can be wrong in ways that would show after hours, or not at all: another shape, NaN where
there is little density, weights that nobody trains, derivatives that are not those of the energy. `check` finds them in
milliseconds and says each in one line: the class, what was asked and what came back.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, NoReturn

import torch
from torch import Tensor, nn

from dixc.errors import InputError, UserError, warn
from dixc.functionals.base import (
    N_INVARIANTS,
    P_FACTOR,
    TAU_FACTOR,
    Functional,
    GridPoints,
    PointwiseFunctional,
    SpinDensity,
)

# a closed shell: densities from a nucleus to far away, each with reduced gradients s and alpha (0: a single orbital)
DENSITIES = (3.0, 0.3, 300.0, 2e-2, 1e-3, 1e-6, 1e-9, 1e-11)
SHAPES = ((1e-4, 1.0), (0.4, 0.9), (1.2, 0.2), (0.7, 0.0), (6.0, 8.0))
# numbers of those at densities of a bond, but for alpha = 0, where many functionals have a kink
REGULAR = (0, 1, 2, 4, 5, 6, 7, 9)
SECOND_SPIN = (0.4, 1e-3, 0.0)  # densities of the other spin over that of the first
CLOSED, OPEN = "a closed shell", "two spins"
SAME, STEP = 1e-9, 1e-5  # relative agreement of energies; of finite differences
ROUGHLY = 1e-3  # relative agreement of derivatives with finite differences


class Sample(NamedTuple):
    """Points to try.

    Attributes:
        what: in words.
        x: invariants (rows, N).
        grid: weights of order one, places and nuclei.
    """

    what: str
    x: Tensor
    grid: GridPoints

    def part(self, points: Tensor) -> Sample:
        """Some of the points, by number."""
        grid = self.grid
        coords = None if grid.coords is None else grid.coords[points]
        some = GridPoints(grid.weights[points], coords, grid.atom_coords, grid.atom_charges)
        return self._replace(x=self.x[:, points], grid=some)


def accepted(functional: Functional) -> Functional:
    """The functional, in double precision and checked if it is not of a class of dixc; each object once.

    Raises:
        InputError: as `check`.
    """
    if is_foreign(functional) and not functional.__dict__.get("_accepted"):
        check(in_double(functional), name_of_class(functional))
        functional.__dict__["_accepted"] = True
    return functional


def is_foreign(functional: Functional) -> bool:
    """Whether its class is not one of dixc."""
    return type(functional).__module__.partition(".")[0] != "dixc"


def name_of_class(functional: Functional) -> str:
    """Module and class, as they are written in an import path."""
    return f"{type(functional).__module__}:{type(functional).__qualname__}"


def in_double(functional: Functional) -> Functional:
    """The functional with its weights in double precision."""
    try:
        return functional.double()
    except AttributeError as error:
        raise InputError(f"functional {type(functional).__name__}: {_line(error)}") from error


def check(functional: Functional, name: str) -> None:
    """Tries a functional as SCF, TDDFT and training do, for a closed shell and for two spins.

    Args:
        functional: in the mode and on the device in which it will be used.
        name: for messages.

    Raises:
        InputError: what it declares or gives is not what `dixc.functionals.base` asks for.
    """
    _Probe(functional, name).run()


class _Probe:
    def __init__(self, functional: Functional, name: str):
        self.functional, self.name = functional, name

    def run(self) -> None:
        self._declarations()
        self._weights()
        device = next((p.device for p in self.functional.parameters()), torch.device("cpu"))
        closed, opened = samples(self.functional.xctype, device)
        for sample in (closed, opened):
            energy = self._value(sample)
            self._no_chance(sample, energy)
            self._derivatives(sample)
            self._finite_difference(sample)
        self._spins(closed, opened)
        if self.functional.single_precision and any(True for _ in self.functional.parameters()):
            single = copy.deepcopy(self.functional).float()
            _Probe(single, f"{self.name} (weights in single precision)")._value(closed)

    def fail(self, what: str) -> NoReturn:
        raise InputError(f"functional {self.name}: {what}")

    def _declarations(self) -> None:
        f = self.functional
        kinds = [kind for kind, ns in N_INVARIANTS if ns == 1]
        if f.xctype not in kinds:
            self.fail(f"xctype must be one of {', '.join(kinds)}, not {f.xctype!r}")
        if isinstance(f.exact_exchange, bool) or not isinstance(f.exact_exchange, int | float):
            self.fail(f"exact_exchange must be a number, not {f.exact_exchange!r}")
        if not math.isfinite(f.exact_exchange):
            self.fail(f"exact_exchange must be finite, not {f.exact_exchange!r}")
        if f.pointwise and not isinstance(f, PointwiseFunctional):
            self.fail("pointwise = True is for classes that derive from PointwiseFunctional")
        if isinstance(f, PointwiseFunctional) and f.pointwise:
            cls: type[PointwiseFunctional] = type(f)
            if cls.energy_density is PointwiseFunctional.energy_density:
                self.fail("has no method energy_density(self, density)")
        if type(f).forward is Functional.forward:
            self.fail("has no method forward(self, x, grid)")

    def _weights(self) -> None:
        for name, p in self.functional.named_parameters():
            if p.dtype != torch.float64 and not self.functional.single_precision:
                self.fail(f"weights {name} are {_dtype(p)}; they must be float64")
            if not p.isfinite().all():
                self.fail(f"weights {name} are not finite numbers")
        for module_name, module in self.functional.named_modules():
            for name, value in vars(module).items():
                if name.startswith("_") or name == "hyperparameters":
                    continue
                place = f"{module_name}.{name}".lstrip(".")
                for hidden in _contents(value):
                    if isinstance(hidden, nn.Module | nn.Parameter):
                        self.fail(
                            f"weights in {place} would neither be trained nor saved: "
                            "keep them in nn.ModuleList, nn.ModuleDict or nn.ParameterList"
                        )
                    if isinstance(hidden, Tensor) and hidden.requires_grad:
                        self.fail(
                            f"weights {place} would neither be trained nor saved: make them nn.Parameter"
                        )

    def _called(self, method: str, sample: Sample, call: Callable[[], Any]) -> Any:
        try:
            return call()
        except UserError:
            raise
        except Exception as error:  # a class that is not ours can raise anything
            self.fail(f"{method} failed for {sample.what}: {_line(error)}")

    @property
    def _by_point(self) -> PointwiseFunctional | None:
        """The functional, if its energy is the sum over points of `energy_density`."""
        f = self.functional
        return (
            f
            if isinstance(f, PointwiseFunctional) and type(f).forward is PointwiseFunctional.forward
            else None
        )

    def _per_volume(self, f: PointwiseFunctional, sample: Sample) -> Tensor:
        """Energy of each point, (N,)."""
        density = SpinDensity(sample.x, f.xctype)
        if not f.takes_empty_points:
            density, occupied = density.guarded()
        e = self._called("energy_density", sample, lambda: f.energy_density(density))
        n = sample.x.shape[1]
        if not isinstance(e, Tensor):
            self.fail(f"energy_density gave {_kind(e)}; it must give a torch tensor ({n},)")
        if e.shape != (n,):
            self.fail(
                f"energy_density gave shape {tuple(e.shape)} for {n} points of {sample.what}, "
                f"not ({n},), an energy per volume for each"
            )
        return e if f.takes_empty_points else torch.where(occupied, e, 0.0)

    def _energy(self, sample: Sample) -> Tensor:
        """The energy, a scalar."""
        by_point = self._by_point
        if by_point is not None:
            e = self._per_volume(by_point, sample)
            if e.dtype != torch.float64:
                self.fail(f"energy_density gave {_dtype(e)} for a density in float64")
            return torch.dot(e, sample.grid.weights)
        e = self._called("forward", sample, lambda: self.functional(sample.x, sample.grid))
        if not isinstance(e, Tensor):
            self.fail(f"forward gave {_kind(e)}; it must give the energy as a torch tensor without axes")
        if e.shape != ():
            self.fail(f"forward gave shape {tuple(e.shape)} for {sample.what}, not a scalar, the energy")
        if e.dtype != torch.float64:
            self.fail(f"forward gave {_dtype(e)} for a density in float64")
        return e

    def _value(self, sample: Sample) -> Tensor:
        """The energy without derivatives, finite."""
        with torch.no_grad():
            energy = self._energy(sample)
            if energy.isfinite():
                return energy
            by_point = self._by_point
            each = None if by_point is None else self._per_volume(by_point, sample)
        where = "" if each is None else self._at(sample, ~each.isfinite())
        self.fail(f"the energy of {sample.what} is {energy.item()}{where}")

    def _no_chance(self, sample: Sample, energy: Tensor) -> None:
        """The same energy again, in another order, and by parts."""
        scale = energy.abs().clamp(min=1e-6)
        n = sample.x.shape[1]
        backwards = torch.arange(n - 1, -1, -1, device=sample.x.device)
        with torch.no_grad():
            if (self._energy(sample) - energy).abs() > SAME * scale:
                self.fail(
                    "gave another energy for the same density the second time (dropout, random numbers?)"
                )
            if (self._energy(sample.part(backwards)) - energy).abs() > SAME * scale:
                self.fail("the energy depends on the order of the points")
            if not self.functional.pointwise:
                return
            parts = sum(self._energy(sample.part(backwards[half::2])) for half in (0, 1))
            if (parts - energy).abs() > SAME * scale:
                self.fail(
                    "the energy of points depends on which others come along (a mean over points?), which "
                    "pointwise = True denies; derive from Functional, or normalise otherwise"
                )

    def _derivatives(self, sample: Sample) -> None:
        """First and second derivatives, and the gradient of both by the weights, are finite."""
        x = sample.x.clone().requires_grad_()
        energy = self._energy(sample._replace(x=x))
        if not energy.requires_grad:
            self.fail(
                f"the energy of {sample.what} cannot be differentiated: it does not depend on the density by "
                "operations of torch (numpy, detach() or item() in between?)"
            )

        def slope(of: Tensor) -> Tensor:
            return torch.autograd.grad(of, x, create_graph=True, materialize_grads=True)[0]

        first = self._called("the derivative", sample, lambda: slope(energy))
        if not first.isfinite().all():
            self.fail(
                f"the derivative for {sample.what} is not finite{self._at(sample, ~first.isfinite().all(0))}"
            )
        total = energy + first.sum()
        if first.requires_grad:
            second = self._called("the second derivative", sample, lambda: slope((first * _ramp(x)).sum()))
            if not second.isfinite().all():
                where = self._at(sample, ~second.isfinite().all(0))
                self.fail(f"the second derivative for {sample.what} is not finite{where}")
            total = total + second.sum()
        named = {k: p for k, p in self.functional.named_parameters() if p.requires_grad}
        if named and total.requires_grad:
            gradients = self._called(
                "the gradient by the weights",
                sample,
                lambda: torch.autograd.grad(total, list(named.values()), allow_unused=True),
            )
            for key, gradient in zip(named, gradients, strict=True):
                if gradient is not None and not gradient.isfinite().all():
                    self.fail(f"the gradient by the weights {key}, of second derivatives too, is not finite")

    def _finite_difference(self, sample: Sample) -> None:
        """First derivatives are those of the energy, at points without steps or kinks."""
        some = sample.part(torch.tensor(REGULAR, device=sample.x.device))
        x = some.x.clone().requires_grad_()
        (slope,) = torch.autograd.grad(self._energy(some._replace(x=x)), x, materialize_grads=True)
        change = some.x * _ramp(some.x)
        with torch.no_grad():
            up, down = (self._energy(some._replace(x=some.x + h * change)) for h in (STEP, -STEP))
            expected = (up - down) / (2 * STEP)
            analytic, size = (slope * change).sum(), (slope * change).abs().sum()
        if (analytic - expected).abs() > ROUGHLY * torch.maximum(size, expected.abs()) + 1e-8:
            self.fail(
                f"the derivative for {sample.what} is not that of the energy ({analytic.item():.6g}, finite "
                f"differences {expected.item():.6g}; detach(), no_grad() or item() in between?)"
            )

    def _spins(self, closed: Sample, opened: Sample) -> None:
        """A closed shell is two equal spins, and it does not matter which spin is which: doubts, not errors."""
        x = closed.x
        shares = [0.5, 0.5], [0.25, 0.25, 0.25], [0.5, 0.5]
        equal = torch.cat([row * x.new_tensor(share)[:, None] for row, share in zip(x, shares, strict=False)])
        order = [1, 0, 4, 3, 2, 6, 5][: len(opened.x)]
        pairs = (
            (closed, closed._replace(x=equal), "two equal spins have another energy than the closed shell"),
            (opened, opened._replace(x=opened.x[order]), "the energy changes if the two spins are swapped"),
        )
        for first, second, what in pairs:
            with torch.no_grad():
                a, b = self._energy(first).item(), self._energy(second).item()
            if abs(a - b) > 1e-6 * max(abs(a), abs(b), 1e-6):
                warn(f"functional {self.name}: {what}: {b:.8g}, not {a:.8g} hartree")

    def _at(self, sample: Sample, which: Tensor) -> str:
        """Where the first of some points is, in words."""
        if not which.any():
            return ""
        point = int(torch.nonzero(which)[0])
        names = ROWS[len(sample.x), self.functional.xctype]
        return " at " + ", ".join(
            f"{n} = {v:.3g}" for n, v in zip(names, sample.x[:, point].tolist(), strict=True)
        )


_SPIN_ROWS = ("n_a", "n_b", "sigma_aa", "sigma_ab", "sigma_bb", "tau_a", "tau_b")
ROWS = {
    (count, kind): (("n", "sigma", "tau") if ns == 1 else _SPIN_ROWS)[:count]
    for (kind, ns), count in N_INVARIANTS.items()
}


def samples(xctype: str, device: torch.device) -> tuple[Sample, Sample]:
    """Points of a closed shell and of two spins, from a nucleus to where there is nothing."""
    values = [(n, s, alpha) for n in DENSITIES for s, alpha in SHAPES]
    n, s, alpha = torch.tensor(values, dtype=torch.float64, device=device).T
    closed = _rows(n, s, alpha)
    spins = []
    for ratio in SECOND_SPIN:
        up, down = closed.clone(), _rows(ratio * n, 1.3 * s, alpha + 0.1)
        up, down = (rows * rows.new_tensor([0.5, 0.25, 0.5])[:, None] for rows in (up, down))
        along = 0.6 * (up[1] * down[1]).sqrt()
        spins.append(torch.stack([up[0], down[0], up[1], along, down[1], up[2], down[2]]))
    nothing = [torch.zeros(rows, 1, dtype=torch.float64, device=device) for rows in (3, 7)]
    closed = torch.cat([closed, nothing[0]], dim=1)
    opened = torch.cat([*spins, nothing[1]], dim=1)

    def sample(what: str, x: Tensor, ns: int) -> Sample:
        return Sample(what, x[: N_INVARIANTS[xctype, ns]], _places(x.shape[1], device))

    return sample(CLOSED, closed, 1), sample(OPEN, opened, 2)


def _rows(n: Tensor, s: Tensor, alpha: Tensor) -> Tensor:
    """Invariants (3, N) of a closed shell; alpha = 0 as rounding leaves it."""
    sigma = P_FACTOR * s**2 * n ** (8 / 3)
    single = torch.where(n > 0, sigma / (8 * torch.where(n > 0, n, 1.0)), 0.0)
    return torch.stack([n, sigma, single * (1 - 1e-15) + alpha * TAU_FACTOR * n ** (5 / 3)])


def _places(count: int, device: torch.device) -> GridPoints:
    """Points around the nuclei of water."""
    t = torch.arange(count, dtype=torch.float64, device=device)
    coords = torch.stack([torch.sin(2.1 * t), torch.cos(1.3 * t), torch.sin(0.7 * t + 1)], dim=1)
    atoms = coords.new_tensor([[0.0, 0.0, 0.22], [0.0, 1.43, -0.89], [0.0, -1.43, -0.89]])
    weights = 0.5 + 0.4 * torch.sin(t)
    return GridPoints(weights, (1 + t / count)[:, None] * coords, atoms, atoms.new_tensor([8.0, 1.0, 1.0]))


def _ramp(x: Tensor) -> Tensor:
    """Factors between 0.5 and 1.5 (rows, N), another for each number."""
    return 1 + 0.5 * torch.sin(torch.arange(x.numel(), dtype=x.dtype, device=x.device)).reshape(x.shape)


def _contents(value: Any) -> Iterator[Any]:
    """What a list, tuple or mapping holds, else the value itself if it is a tensor."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list | tuple):
        for entry in value:
            yield from _contents(entry) if isinstance(entry, list | tuple | dict) else [entry]
    elif isinstance(value, Tensor):
        yield value


def _dtype(tensor: Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")


def _kind(value: Any) -> str:
    cls = type(value)
    return (
        "nothing (None)"
        if value is None
        else f"a {cls.__module__}.{cls.__qualname__}".replace("a builtins.", "a ")
    )


def _line(error: Exception) -> str:
    """An exception in one line."""
    words = " ".join(str(error).split())
    words = words if len(words) <= 200 else words[:197] + "..."
    return f"{type(error).__name__}: {words}" if words else type(error).__name__

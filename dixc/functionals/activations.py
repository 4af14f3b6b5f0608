"""Activations, and those for higher derivatives, whose own derivatives are evaluated once.

A functional is differentiated twice by its input and in training once more by its parameters. Autograd's own
activations evaluate error functions and exponentials anew on each of a dozen passes over a layer, much of the time of
a kernel or of a training step. Shared ones keep the values of a, a', a'', ... at one input for all passes: each costs
one product. For a first derivative alone they are slower, and `torch.func` cannot transform them: `sharing` switches
them on where they pay.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from functools import cached_property, partial
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

_sharing: ContextVar[bool] = ContextVar("sharing", default=False)


def elu(x: Tensor) -> Tensor:
    """Exponential linear unit; its second derivative has a step at 0."""
    return torch.where(x > 0, x, torch.expm1(x.clamp(max=0.0)))


# The tanh approximation of GELU has non-finite third derivatives at large arguments: exact GELU only.
ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "gelu": functional.gelu,
    "silu": functional.silu,
    "elu": elu,
}


@contextlib.contextmanager
def sharing(on: bool) -> Iterator[None]:
    """Within it `activation` gives activations with shared derivatives, or torch's own."""
    token = _sharing.set(on)
    try:
        yield
    finally:
        _sharing.reset(token)


def activation(name: str) -> Callable[[Tensor], Tensor]:
    """The activation of a key of `ACTIVATIONS`; see `sharing`."""
    return partial(shared, name) if _sharing.get() else ACTIVATIONS[name]


class _Values:
    """Derivatives of an activation at z, each computed when it is first asked for."""

    highest = 3

    def __init__(self, z: Tensor):
        self.z = z.detach()
        self._known: dict[int, Tensor] = {}

    def __getitem__(self, order: int) -> Tensor:
        if order > self.highest:
            raise RuntimeError(f"activations have derivatives up to order {self.highest}")
        if order not in self._known:
            self._known[order] = self.derivative(order)
        return self._known[order]

    def derivative(self, order: int) -> Tensor:
        """The derivative of this order at z."""
        raise NotImplementedError


class _Gelu(_Values):
    """z cdf(z) of the normal distribution; exact, for the tanh approximation has non-finite third derivatives."""

    highest = 4

    @cached_property
    def _cdf(self) -> Tensor:
        return torch.erf(self.z * math.sqrt(0.5)).mul_(0.5).add_(0.5)

    @cached_property
    def _pdf(self) -> Tensor:
        return (self.z * self.z).mul_(-0.5).exp_().mul_(1 / math.sqrt(2 * math.pi))

    def derivative(self, order: int) -> Tensor:
        z = self.z
        if order == 0:
            return z * self._cdf
        if order == 1:
            return torch.addcmul(self._cdf, z, self._pdf)
        square = z * z
        if order == 2:
            return (2 - square).mul_(self._pdf)
        if order == 3:
            return (square - 4).mul_(z).mul_(self._pdf)
        return (square.mul(7 - square) - 4).mul_(self._pdf)


class _Silu(_Values):
    """z sigmoid(z)."""

    highest = 4

    @cached_property
    def _sigmoid(self) -> Tensor:
        return torch.sigmoid(self.z)

    def derivative(self, order: int) -> Tensor:
        z, s = self.z, self._sigmoid
        if order == 0:
            return z * s
        # derivatives of the sigmoid itself: s1 = s (1 - s), s2 = s1 (1 - 2 s), ...
        s1 = s * (1 - s)
        if order == 1:
            return torch.addcmul(s, z, s1)
        s2 = s1 * (1 - 2 * s)
        if order == 2:
            return torch.addcmul(2 * s1, z, s2)
        s3 = s1 * (1 - 6 * s1)
        if order == 3:
            return torch.addcmul(3 * s2, z, s3)
        return torch.addcmul(4 * s3, z, s2 * (1 - 12 * s1))


class _Elu(_Values):
    """Exponential linear unit; its second derivative has a step at 0."""

    highest = 1000

    def derivative(self, order: int) -> Tensor:
        decay = torch.exp(self.z.clamp(max=0.0))
        if order == 0:
            return torch.where(self.z > 0, self.z, torch.expm1(self.z.clamp(max=0.0)))
        return torch.where(self.z > 0, float(order == 1), decay)


class _Derivative(torch.autograd.Function):
    """The derivative of some order as a function of z; its own derivative is the next."""

    @staticmethod
    def forward(ctx: Any, z: Tensor, values: _Values, order: int) -> Tensor:
        ctx.save_for_backward(z)
        ctx.values, ctx.order = values, order
        # another tensor on the same memory: autograd labels what is returned here
        return values[order].detach()

    @staticmethod
    def backward(ctx: Any, cotangent: Tensor) -> tuple[Tensor, None, None]:
        (z,) = ctx.saved_tensors
        return cotangent * _derivative(z, ctx.values, ctx.order + 1), None, None


def _derivative(z: Tensor, values: _Values, order: int) -> Tensor:
    """The derivative of this order, which can itself be differentiated."""
    return _Derivative.apply(z, values, order)  # type: ignore[no-untyped-call]


_VALUES: dict[str, type[_Values]] = {"gelu": _Gelu, "silu": _Silu, "elu": _Elu}


def shared(name: str, z: Tensor) -> Tensor:
    """The activation "gelu", "silu" or "elu" at z."""
    return _derivative(z, _VALUES[name](z), 0)

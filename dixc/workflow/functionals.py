"""Whether a run can have the functionals that its config names, before anything is computed.

The config itself is parsed for every job on a cluster and imports nothing heavy; this imports
PyTorch and PySCF. Learned functionals are built on PyTorch's device `meta`, shapes without memory,
and no further than `MOST_WEIGHTS`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from dixc.config.base import LARGEST
from dixc.config.reading import abbreviated, dotted
from dixc.errors import InputError, UserError

if TYPE_CHECKING:
    from torch import Tensor, nn

    from dixc.config.root import Config
    from dixc.functionals.base import Functional

# ten times the largest of dixc, EG-XC by default; optimizers keep some hundred times as many
# numbers
MOST_WEIGHTS = 2 * 10**7
MOST_ARRAYS = 1000  # of weights, about two a layer
MOST_UNITS = 100_000  # in one size: list and loops of a constructor end
SEEDS = range(-(2**63), 2**63)


def check_functionals(config: Config) -> None:
    """Refuses a config with a functional that a stage could not use.

    Raises:
        InputError: the key, and what is wrong: PySCF cannot do the reference; no such functional;
            hyperparameters that are unknown, of a wrong type or too large; nothing to train; no
            target for the pre-fit.
    """
    from dixc.functionals import files, registry
    from dixc.functionals.base import PointwiseFunctional
    from dixc.reference.method import check_functional

    check_functional(config.reference.functional)
    with _errors_at("prefit.target"):
        target = registry.create(config.prefit.target)
        if list(target.parameters()):
            raise InputError(f"{config.prefit.target} is not classical: it has weights to be trained itself")
        if not isinstance(target, PointwiseFunctional):
            raise InputError(f"{config.prefit.target} is not pointwise")
    for place, model in enumerate(config.models):
        _check_numbers(model.hyperparameters, ("models", place, "hyperparameters"), model.name)
        with _errors_at(f"models[{place}]"):
            functional = _created_without_weights(model.name, model.hyperparameters)
            if not list(functional.parameters()):
                raise InputError(f"{model.name} has no weights to train")
    for place, name in enumerate(config.evaluation.baselines):
        with _errors_at(f"evaluation.baselines[{place}]"):
            files.resolve(name, config.classes())


@contextmanager
def _errors_at(key: str) -> Iterator[None]:
    """Says at which key something went wrong, whatever a functional's class raises."""
    try:
        yield
    except UserError as error:
        raise InputError(f"{key}: {error}") from None
    except Exception as error:
        raise InputError(f"{key}: {type(error).__name__}: {error}") from error


def _check_numbers(value: Any, location: tuple[int | str, ...], name: str) -> None:
    """Refuses numbers that make a constructor of dixc run for ever, or overflow.

    A class of somebody else may mean something by a large number: there `MOST_WEIGHTS` alone is the
    limit.
    """
    from dixc.functionals import registry

    if isinstance(value, Mapping):
        for key, item in value.items():
            _check_numbers(item, (*location, key), name)
    elif isinstance(value, list):
        for place, item in enumerate(value):
            _check_numbers(item, (*location, place), name)
    elif isinstance(value, float) and abs(value) > LARGEST:
        raise InputError(f"{dotted(location)}: {value:g} is too large (allowed: at most {LARGEST:.0f})")
    elif isinstance(value, int) and not isinstance(value, bool):
        any_size = location[-1] == "seed" or not registry.is_registered(name)
        if value not in SEEDS or (value > MOST_UNITS and not any_size):
            allowed = f"{SEEDS[0]} to {SEEDS[-1]}" if any_size else f"at most {MOST_UNITS}"
            raise InputError(f"{dotted(location)}: {abbreviated(value)} is out of range (allowed: {allowed})")


def _created_without_weights(name: str, hyperparameters: Mapping[str, Any]) -> Functional:
    """The functional without its weights; with them if it cannot be built otherwise.

    Raises:
        InputError: as of `registry.create`, or too many weights.
    """
    import torch

    from dixc.functionals import registry

    with _limit_of_weights():
        try:
            with torch.device("meta"):
                return registry.create(name, **hyperparameters)
        except (NotImplementedError, RuntimeError):  # its constructor looks at values
            return registry.create(name, **hyperparameters)


@contextmanager
def _limit_of_weights() -> Iterator[None]:
    """Ends the construction of a network that is too large, while it goes on."""
    from torch.nn.modules.module import register_module_parameter_registration_hook

    arrays, weights = 0, 0

    def count(module: nn.Module, name: str, parameter: Tensor | None) -> None:
        nonlocal arrays, weights
        if parameter is None:
            return
        arrays, weights = arrays + 1, weights + parameter.numel()
        if weights > MOST_WEIGHTS:
            raise InputError(f"too large: more than {MOST_WEIGHTS} weights")
        if arrays > MOST_ARRAYS:
            raise InputError(f"too large: more than {MOST_ARRAYS} arrays of weights")

    hook = register_module_parameter_registration_hook(count)
    try:
        yield
    finally:
        hook.remove()

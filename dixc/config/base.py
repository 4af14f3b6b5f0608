"""What all sections of config.yaml share."""

from __future__ import annotations

from collections import Counter
from typing import Annotated, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field

MOST = 10**9  # of whatever is counted: far more than any run does, and every product of two fits in 64 bits
LARGEST = 1e12  # of weights, rates and sizes in any unit: far from overflow in single precision, squares too
LONGEST_NAME = 100  # characters; file names of several such parts stay below the 255 bytes of file systems
Loss = Literal["base", "grad", "hess"]
# what each loss is made of; the terms themselves are in `dixc.training.terms`, their words in
# `dixc.tables.schema`
TERMS_OF_LOSS: dict[Loss, tuple[str, ...]] = {
    "base": ("energy", "density"),
    "grad": ("energy", "density", "gradient"),
    "hess": ("energy", "density", "gradient", "hessian", "excitation"),
}
LOSSES: tuple[Loss, ...] = get_args(Loss)
Split = Literal["train", "validation", "test"]
SPLITS: tuple[Split, ...] = get_args(Split)
GridLevel = Annotated[int, Field(ge=0, le=9)]
# names end up in paths and in wildcards of the workflow: nothing that leaves the folder or matches
# too much
RunName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$", max_length=2 * LONGEST_NAME)]
_REGISTERED, _WORD = "[A-Za-z0-9][A-Za-z0-9_-]*", "[A-Za-z_][A-Za-z0-9_]*"
# a registered name, or the import path of a class, package.module:Class
FunctionalName = Annotated[
    str, Field(pattern=rf"^({_REGISTERED}|{_WORD}(\.{_WORD})*:{_WORD})$", max_length=LONGEST_NAME)
]
# what every generator of random numbers takes
Seed = Annotated[int, Field(ge=0, le=2**63 - 1)]
Count = Annotated[int, Field(ge=1, le=MOST)]
Charge = Annotated[int, Field(ge=-1000, le=1000)]
Positive = Annotated[float, Field(gt=0, le=LARGEST)]
Rate = Annotated[float, Field(gt=0, le=1000)]
NotNegative = Annotated[float, Field(ge=0, le=LARGEST)]
# thresholds and shares: above zero (or from zero) and below one
Threshold = Annotated[float, Field(gt=0, lt=1)]


class Section(BaseModel):
    """Common rules: no unknown keys, no conversion between types, no change after loading."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


def require_unique(values: list, where: str) -> None:
    """Refuses a list in which a value stands twice.

    Raises:
        ValueError: with the value and the key `where`.
    """
    for value, count in Counter(values).items():
        if count > 1:
            raise ValueError(f"{where} has {value!r} more than once")

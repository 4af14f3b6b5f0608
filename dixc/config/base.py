"""What all sections of config.yaml share."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Loss = Literal["base", "grad", "hess"]
Split = Literal["train", "validation", "test"]
GridLevel = Annotated[int, Field(ge=0, le=9)]
# names end up in paths and in wildcards of the workflow: nothing that leaves the folder or matches too much
RunName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")]
_REGISTERED, _WORD = "[A-Za-z0-9][A-Za-z0-9_-]*", "[A-Za-z_][A-Za-z0-9_]*"
# a registered name, or the import path of a class, package.module:Class
FunctionalName = Annotated[str, Field(pattern=rf"^({_REGISTERED}|{_WORD}(\.{_WORD})*:{_WORD})$")]


class Section(BaseModel):
    """Common rules: no unknown keys, no conversion between types, no change after loading."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


def require_unique(values: list, where: str) -> None:
    """Refuses a list in which a value stands twice.

    Raises:
        ValueError: with the value and the key `where`.
    """
    for value in values:
        if values.count(value) > 1:
            raise ValueError(f"{where} has {value!r} more than once")

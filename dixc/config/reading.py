"""Reading and writing config.yaml, and turning what is wrong with it into one line."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

import annotated_types
import yaml
from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from dixc.config.base import LARGEST
from dixc.config.root import Config
from dixc.config.training import DEVICE
from dixc.errors import InputError
from dixc.inputs import require_regular
from dixc.version import __version__

# YAML 1.1 takes 1e-9 (no dot) for text; a user means a number
SCIENTIFIC = re.compile(r"[+-]?\d+(\.\d*)?[eE][+-]?\d+")
MAX_DEPTH = 30
MAX_VALUES = 1_000_000
TYPE_MESSAGES = {
    "int_type": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_type": "must be a number",
    "string_type": "must be text (put it in quotes)",
    "bool_type": "must be true or false",
    "list_type": "must be a list",
    "dict_type": "must be a mapping of keys to values",
    "model_type": "must be a mapping of keys to values",
    "model_attributes_type": "must be a mapping of keys to values",
    "finite_number": "must be a finite number",
    "string_pattern_mismatch": "must start with a letter or digit and have letters, digits, - and _ only",
    "string_too_short": "must not be empty",
    "too_short": "must not be empty",
}
# patterns that are no names
PATTERN_MESSAGES = {DEVICE: "must be auto, cpu, cuda or cuda:N, the GPU of number N from 0 to 99"}
FREE = "hyperparameters"  # the key below which the config has no say
# violations of an upper bound: a user who tries large values wants to know how large they may be
TOO_LARGE = {"less_than", "less_than_equal"}


class _Loader(yaml.SafeLoader):
    """SafeLoader that refuses a key given twice, where plain YAML would silently keep the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict:
        seen = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if isinstance(key, str) and key in seen:
                raise yaml.MarkedYAMLError(
                    problem=f"key {key!r} is given twice", problem_mark=key_node.start_mark
                )
            seen.add(key if isinstance(key, str) else id(key_node))
        return super().construct_mapping(node, deep)


def load(path: str | os.PathLike[str]) -> Config:
    """Reads and checks a config file.

    Raises:
        InputError: no such file, broken YAML (with its line), a wrong key or value (with its dotted
            path).
    """
    require_regular(path)
    try:
        text = Path(path).read_text(encoding="utf-8")
    except FileNotFoundError:
        raise InputError(f"{path}: no such config file") from None
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"{path}: cannot read the config file: {getattr(error, 'strerror', None) or error}"
        ) from None
    try:
        data = yaml.load(text, _Loader)
    except RecursionError:
        raise InputError(f"{path}: not a config file: nested too deeply") from None
    except (yaml.YAMLError, ValueError, LookupError, TypeError) as error:
        # YAML's own types (dates, numbers, binary) let through what Python's constructors raise
        mark = getattr(error, "problem_mark", None)
        where = "" if mark is None else f"line {mark.line + 1}: "
        problem = getattr(error, "problem", None) or str(error).splitlines()[0]
        raise InputError(f"{path}: {where}not valid YAML: {problem}") from None
    return validate(data, source=str(path))


def validate(data: Any, source: str = "config") -> Config:
    """Checks settings that were read already.

    Args:
        data: mapping as in config.yaml.
        source: where it came from, for messages.

    Raises:
        InputError: one line with the first thing that is wrong (misspelt keys before wrong values).
    """
    if not isinstance(data, Mapping):
        raise InputError(
            f"{source}: must be a mapping of keys to values, found {'nothing' if data is None else type(data).__name__}"
        )
    _require_reasonable(data, source)
    try:
        return Config.model_validate(_numbers(dict(data)))
    except ValidationError as error:
        details = sorted(
            error.errors(include_url=False), key=lambda detail: detail["type"] != "extra_forbidden"
        )
        more = f" (and {len(details) - 1} more)" if len(details) > 1 else ""
        raise InputError(f"{source}: {_message(details[0])}{more}") from None


def write(config: Config, path: str | os.PathLike[str]) -> bool:
    """Writes a config with all defaults, in one step, and only if the file's content would change.

    Returns:
        True if the file was written.
    """
    path = Path(path)
    text = f"# all settings of the run, written by dixc {__version__}\n"
    text += yaml.safe_dump(config.model_dump(exclude_none=True), sort_keys=False, width=110)
    if path.is_file() and path.read_text(encoding="utf-8") == text:
        return False
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        temporary.write_text(text, encoding="utf-8")
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    return True


def _require_reasonable(data: Any, source: str) -> None:
    """Refuses values that contain themselves, or are more than memory holds.

    A few lines of YAML with aliases are enough for either.
    """
    waiting, count = [(data, 0)], 0
    while waiting:
        value, depth = waiting.pop()
        count += 1
        if depth > MAX_DEPTH:
            raise InputError(
                f"{source}: nested too deeply (more than {MAX_DEPTH} levels; an alias of itself?)"
            )
        if count > MAX_VALUES:
            raise InputError(f"{source}: more than {MAX_VALUES} values (aliases of aliases?)")
        if isinstance(value, Mapping):
            waiting += [(item, depth + 1) for item in value.values()]
        elif isinstance(value, list):
            waiting += [(item, depth + 1) for item in value]


def _numbers(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _numbers(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_numbers(item) for item in value]
    return float(value) if isinstance(value, str) and SCIENTIFIC.fullmatch(value) else value


def _message(detail: ErrorDetails) -> str:
    location, kind = _place(detail["loc"]), detail["type"]
    path = dotted(location)
    if kind == "extra_forbidden":
        return f"{path}: unknown key{_suggestion(location)}"
    if kind == "missing":
        return f"{path}: missing"
    if kind == "value_error":
        problem = str(detail["ctx"]["error"])
        return f"{path}: {problem}" if path else problem
    if kind == "string_too_long":
        return (
            f"{path}: must have at most {detail['ctx']['max_length']} characters, not {len(detail['input'])}"
        )
    problem = TYPE_MESSAGES.get(kind, "") or detail["msg"].replace("Input should be", "must be")
    if kind == "string_pattern_mismatch":
        problem = PATTERN_MESSAGES.get(detail["ctx"]["pattern"], problem)
    allowed = allowed_range(location) if kind in TOO_LARGE or _is_extreme(detail["input"]) else ""
    return f"{path}: {problem}, not {abbreviated(detail['input'])}" + (
        f" (allowed: {allowed})" if allowed else ""
    )


def _is_extreme(value: Any) -> bool:
    """Whether a value is a number that no key takes: not finite, or beyond all bounds."""
    return isinstance(value, int | float) and not abs(value) <= LARGEST


def allowed_range(location: tuple[int | str, ...]) -> str:
    """The numbers that a key takes, in words such as "above 0, below 1"; empty without bounds."""
    if FREE in location:
        return ""
    name = max(place for place, part in enumerate(location) if isinstance(part, str))
    bounds = _bounds(_section_at(location[:name]).model_fields[str(location[name])])
    if bounds.keys() >= {"ge", "le"}:
        return f"{_exact(bounds['ge'])} to {_exact(bounds['le'])}"
    words = (("ge", "from"), ("gt", "above"), ("le", "at most"), ("lt", "below"))
    return ", ".join(f"{word} {_exact(bounds[key])}" for key, word in words if key in bounds)


def _exact(bound: float) -> str:
    return str(int(bound) if bound == int(bound) else bound)


def _bounds(declared: Any) -> dict[str, float]:
    """Limits (ge, gt, le, lt) of a field, or of the types that it is made of."""
    bounds: dict[str, float] = {}
    if isinstance(declared, FieldInfo):
        parts = [declared.annotation, *declared.metadata]
    else:
        parts = [*get_args(declared), *getattr(declared, "__metadata__", ())]
    for part in parts:
        if isinstance(
            part, annotated_types.Ge | annotated_types.Gt | annotated_types.Le | annotated_types.Lt
        ):
            bounds |= {key: getattr(part, key) for key in ("ge", "gt", "le", "lt") if hasattr(part, key)}
        elif not isinstance(part, type):
            bounds |= _bounds(part)
    return bounds


def _place(location: tuple[int | str, ...]) -> tuple[int | str, ...]:
    """The location without what pydantic adds to it.

    Below a key of any content it names a type after each part.
    """
    if FREE not in location:
        return location
    below = location.index(FREE) + 1
    return location[:below] + location[below::2]


def dotted(location: tuple[int | str, ...]) -> str:
    """Path of a key as a person writes it: training.energy.weight, models[0].name."""
    text = ""
    for part in location:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else str(part)
    return text


def _suggestion(location: tuple[int | str, ...]) -> str:
    keys = list(_section_at(location[:-1]).model_fields)
    close = difflib.get_close_matches(str(location[-1]), keys, n=1)
    return f" (did you mean {close[0]}?)" if close else f" (known here: {', '.join(keys)})"


def _section_at(location: tuple[int | str, ...]) -> type[BaseModel]:
    """The model that describes the section at a location."""
    section: type[BaseModel] = Config
    for part in location:
        if isinstance(part, int):
            continue
        annotation = section.model_fields[part].annotation
        section = next(
            a for a in (annotation, *get_args(annotation)) if isinstance(a, type) and issubclass(a, BaseModel)
        )
    return section


def abbreviated(value: Any) -> str:
    """A value as Python writes it, cut off if that is long."""
    try:
        text = repr(value)
    except ValueError:  # Python writes no whole numbers of more than some thousand digits
        return f"a number of {value.bit_length()} bits" if isinstance(value, int) else type(value).__name__
    return text if len(text) <= 60 else text[:57] + "..."

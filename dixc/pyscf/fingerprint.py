"""A fingerprint of everything that a PySCF object computes its energy from.

Instead of a list of attributes that may matter, all of them count, whatever they are and however deep they lie
(molecule, solvent model, dispersion, grids, integrals, functions put on the object, what these close over, attributes
and methods of the classes): only what cannot change an energy is left out. An unknown change of the object's inside
costs a Fock build too many, never a wrong energy.
"""

from __future__ import annotations

import functools
import hashlib
import re
import sys
import types
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import torch
from pyscf.gto import mole

# names at any depth: streams and verbosity, memory limits, and what PySCF and dixc make anew when it is missing
OF_NO_CONSEQUENCE = frozenset(
    {
        "stdout",
        "verbose",
        "output",
        "max_memory",
        "_opt",
        "opt",
        "_vjopt",
        "_grid",
        "_chkfile",
        "_cderi_to_save",
        "_t0",
        "_w0",
    }
)
GETTER = re.compile(r"'(_given_)?get_")  # repr of an attribute's name
# packages whose classes and functions are taken as they were imported
UNCHANGING = frozenset({*sys.stdlib_module_names, "numpy", "scipy", "torch", "h5py"})
LIBRARIES = UNCHANGING | {"pyscf", "dixc"}
# where a molecule's parameters for libcint keep what the last integral wanted, such as its origin
SCRATCH = [i for i in range(mole.PTR_ENV_START) if i not in (mole.PTR_EXPCUTOFF, mole.PTR_RANGE_OMEGA)]
LARGE = 1 << 16  # elements of an array from which on sums stand for its bytes
COLUMNS = 4096  # of the sums


def fingerprint(root: Any, ignored: Iterable[str] = ()) -> str:
    """Hash of an object's class and of all that its attributes hold.

    Arrays count by content, functions by their code and what they refer to, other objects by class and attributes,
    classes by what they and their bases define. A function of PySCF's or dixc's does not count for the functions and
    objects of its module that it calls.
    What has no attributes to look at, such as an object of a compiled library, counts by its identity. Of what a
    `get_...` function refers to only arrays and floating-point numbers count: who counts or logs its calls changes
    nothing.

    Args:
        root: the object.
        ignored: names of its own attributes, none of those further inside, that do not count.
    """
    walk = _Walk()
    walk.seen[id(root)] = 0
    walk.attributes(root, frozenset(ignored))
    return walk.hash.hexdigest()


class _Walk:
    """One pass over an object; what was met before counts by the order of its first meeting."""

    def __init__(self) -> None:
        self.hash = hashlib.sha256()
        self.seen: dict[int, int] = {}
        self.kept: list[Any] = []  # temporary objects, so that no identity is used twice
        self.quantities_only = False

    def note(self, *words: Any) -> None:
        self.hash.update(repr(words).encode())

    def add(self, value: Any) -> None:
        if self.quantities_only and isinstance(value, int | str | bytes | np.integer | None):
            return
        if value is None or isinstance(value, bool | int | float | complex | str | bytes | np.generic):
            self.note(type(value).__name__, value)
        elif isinstance(value, type):
            self._class(value)
        elif isinstance(value, types.ModuleType):
            self.note("module", value.__name__)
        elif id(value) in self.seen:
            self.note("seen", self.seen[id(value)])
        else:
            self.seen[id(value)] = len(self.seen)
            self.kept.append(value)
            self._add_new(value)

    def _add_new(self, value: Any) -> None:
        if isinstance(value, torch.Tensor):
            self._array(value.detach().cpu().numpy())
        elif isinstance(value, np.ndarray):
            self._array(value)
            self.add(getattr(value, "__dict__", None))
        elif isinstance(value, Mapping):
            self._mapping(value)
        elif isinstance(value, list | tuple):
            self.note(type(value).__name__, None if self.quantities_only else len(value))
            for item in value:
                self.add(item)
        elif isinstance(value, set | frozenset):
            self.note("set", *sorted(map(repr, value)))
        elif isinstance(value, types.FunctionType):
            self._function(value)
        elif isinstance(value, types.MethodType):
            self.note("method")
            self.add(value.__func__)
            self.add(value.__self__)
        elif isinstance(value, staticmethod | classmethod):
            self.add(value.__func__)
        elif isinstance(value, property):
            self.add([value.fget])
        elif isinstance(value, functools.partial):
            self.note("partial")
            self.add([value.func, value.args, value.keywords])
        elif hasattr(value, "__dict__") and not isinstance(value, types.BuiltinFunctionType):
            self.attributes(value)
        else:
            self.note(type(value).__qualname__, id(value))

    def attributes(self, value: Any, ignored: frozenset[str] = frozenset()) -> None:
        """The class and the attributes of an object; one that is None is as good as none."""
        self.add(type(value))
        left_out = OF_NO_CONSEQUENCE | ignored
        state = {k: v for k, v in vars(value).items() if v is not None and k not in left_out}
        if isinstance(value, mole.MoleBase) and "_env" in state:
            state["_env"] = env = np.array(state["_env"])
            env[SCRATCH] = 0.0
        self._mapping(state)

    def _mapping(self, value: Mapping) -> None:
        items = [(repr(key), item) for key, item in value.items()]
        self.note("mapping", len(items))
        for key, item in sorted(items, key=lambda pair: pair[0]):
            self.note(key)
            outer = self.quantities_only
            self.quantities_only = outer or GETTER.match(key) is not None
            self.add(item)
            self.quantities_only = outer

    def _array(self, value: np.ndarray) -> None:
        self.note("array", value.dtype.str, value.shape)
        if value.dtype == object:
            for item in value.ravel():
                self.add(item)
            return
        flat = np.ascontiguousarray(value).reshape(-1).view(np.uint8)
        if value.size > LARGE and value.itemsize == 8:
            words = flat.view(
                np.uint64
            )  # integrals of a gigabyte: sums at the speed of memory, each over its column
            whole = len(words) // COLUMNS * COLUMNS
            self.hash.update(words[:whole].reshape(-1, COLUMNS).sum(axis=0).tobytes())
            self.hash.update(words[:whole].reshape(COLUMNS, -1).sum(axis=1).tobytes())
            self.hash.update(words[whole:].tobytes())
            return
        self.hash.update(flat.tobytes())

    def _class(self, value: type) -> None:
        self.note("class", value.__module__, value.__qualname__, id(value))
        if id(value) in self.seen or _package(value) in UNCHANGING:
            return
        self.seen[id(value)] = len(self.seen)
        for base in value.__mro__[1:]:
            self._class(base)
        own = {k: v for k, v in vars(value).items() if not k.startswith("__") and k not in OF_NO_CONSEQUENCE}
        self._mapping(own)

    def _function(self, value: types.FunctionType) -> None:
        code = value.__code__
        self.note("function", value.__module__, value.__qualname__, code.co_code, repr(code.co_consts))
        self.add([cell.cell_contents for cell in value.__closure__ or () if _is_filled(cell)])
        self.add([value.__defaults__, value.__kwdefaults__])
        # data of its module, and of a user's own module its functions, classes and objects, too
        referred = [value.__globals__.get(name) for name in _names(code)]
        if _package(value) in LIBRARIES:
            referred = [v for v in referred if isinstance(v, int | float | str | np.ndarray | list | dict)]
        self.add(referred)


def _package(value: type | types.FunctionType) -> str:
    return str(value.__module__).partition(".")[0]


def _names(code: types.CodeType) -> list[str]:
    """Names of globals and attributes in a function, those within its inner functions included."""
    inner = [name for const in code.co_consts if isinstance(const, types.CodeType) for name in _names(const)]
    return [*code.co_names, *inner]


def _is_filled(cell: types.CellType) -> bool:
    try:
        cell.cell_contents  # noqa: B018
    except ValueError:
        return False
    return True

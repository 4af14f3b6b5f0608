"""What the choice of molecules needs to know of one: all but its geometry.

That is read only of molecules that are taken.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

from dixc.elements import NUMBERS
from dixc.molecules.molecule import Molecule


@dataclass(frozen=True)
class Composition:
    """Elements of a molecule and what follows from them; one object for all molecules of a formula.

    Attributes:
        elements: those that occur.
        n_heavy: number of atoms other than hydrogen.
        nuclear_charge: sum of all nuclear charges, e.
    """

    elements: frozenset[str]
    n_heavy: int
    nuclear_charge: int


def composition(symbols: Sequence[str]) -> Composition:
    """Composition of a molecule by the symbols of its atoms."""
    return _composition(tuple(sorted(Counter(symbols).items())))


@lru_cache(maxsize=100_000)
def _composition(counts: tuple[tuple[str, int], ...]) -> Composition:
    return Composition(
        elements=frozenset(symbol for symbol, _ in counts),
        n_heavy=sum(count for symbol, count in counts if symbol != "H"),
        nuclear_charge=sum(count * NUMBERS[symbol] for symbol, count in counts),
    )


@dataclass(frozen=True, slots=True)
class Entry:
    """A molecule that can be chosen.

    Attributes:
        name: unique in a run.
        composition: its elements.
        charge: total charge, e.
        split: the only split that it may be used in; empty for any.
        source: the file it is in, for messages.
        load: reads it from there; raises UserError for a geometry that makes no sense.
        is_qm9: a file of the QM9 release has it.
    """

    name: str
    composition: Composition
    charge: int
    split: str
    source: str
    load: Callable[[], Molecule]
    is_qm9: bool = False

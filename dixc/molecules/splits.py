"""Division of molecules into train, validation and test, and of these into chunks."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

from dixc.errors import DixcWarning
from dixc.molecules.entry import Entry
from dixc.molecules.pool import Pool

if TYPE_CHECKING:
    from dixc.config.sections import Molecules

SHOWN = 10  # molecules that a warning names


def choose(pool: Pool) -> dict[str, list[Entry]]:
    """Molecules of each split in the order of their draw: test first, then validation, then train.

    Warns of molecules with elements that those of train do not have.
    """
    settings = pool.settings
    sizes, names = settings.test.by_size, settings.test.names or []
    entries = {"test": pool.take_named(names) if sizes is None else pool.take_random("test", sizes)}
    entries["validation"] = pool.take_random("validation", settings.validation)
    entries["train"] = pool.take_random("train", settings.train)
    for split in ("validation", "test"):
        _warn_of_elements(split, entries[split], entries["train"])
    return entries


def _warn_of_elements(split: str, entries: list[Entry], train: list[Entry]) -> None:
    """Warns of molecules with an element that training does not have."""
    trained = frozenset().union(*(entry.composition.elements for entry in train))
    unseen = {entry.name: sorted(entry.composition.elements - trained) for entry in entries}
    words = [f"{name} ({', '.join(elements)})" for name, elements in unseen.items() if elements]
    if words:
        shown = ", ".join(words[:SHOWN]) + (f" and {len(words) - SHOWN} more" if len(words) > SHOWN else "")
        warnings.warn(
            f"molecules.{split}: {len(words)} of {len(entries)} molecules have an element that no training molecule "
            f"has: {shown}; trained functionals extrapolate there, and the fit of energies by element leaves them out",
            DixcWarning,
            stacklevel=2,
        )


def divide(entries: list[Entry], size: int) -> list[list[Entry]]:
    """Molecules by chunk, in the order of the draw; sorted within the chunk.

    So more molecules change no full chunk.
    """
    return [sorted(entries[i : i + size], key=_by_size) for i in range(0, len(entries), size)]


def expected_sizes(settings: Molecules) -> dict[str, list[int]]:
    """Heavy atoms of the molecules of every chunk, as the stage `molecules` would choose them.

    Doubles, which it would leave out, are not noticed.

    No geometry is read, so that it takes seconds for a hundred thousand molecules.

    Raises:
        InputError: as of `choose`.
    """
    return {
        chunk: [entry.composition.n_heavy for entry in piece]
        for split, entries in choose(Pool(settings, geometries=False)).items()
        for chunk, piece in zip(settings.chunks(split), divide(entries, settings.chunk_size), strict=True)
    }


def _by_size(entry: Entry) -> tuple[int, str]:
    return entry.composition.n_heavy, entry.name

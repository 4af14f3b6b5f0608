"""The molecules to choose from, and which of them are taken."""

from __future__ import annotations

import difflib
import hashlib
import logging
from collections import Counter
from typing import TYPE_CHECKING

from dixc.errors import InputError
from dixc.molecules.duplicates import Geometries
from dixc.molecules.entry import Entry
from dixc.molecules.molecule import open_shell_reason
from dixc.molecules.sources import entries

if TYPE_CHECKING:
    from dixc.config.sections import Molecules, SizeSelection

SHOWN_SKIPS = 10
# names of doubles and of open shells in the count of skipped molecules
DOUBLE, OPEN_SHELL = "twice", "no closed shell"
logger = logging.getLogger(__name__)


class Pool:
    """Molecules of all files that the filters let through, and which of them are taken.

    Args:
        settings: files, elements, charges and seed are used.
        geometries: False to take molecules without reading their geometries, for an estimate:
            doubles, and open shells that only a file's comment tells, are not found then.

    Raises:
        InputError: a file is wrong, or two molecules have one name.
    """

    def __init__(self, settings: Molecules, geometries: bool = True):
        self.settings, self.reads_geometries = settings, geometries
        self.where = ", ".join(file.path for file in settings.files)
        self.entries: dict[str, Entry] = {}
        self._taken: dict[str, str] = {}
        self._geometries = Geometries()
        self._skips: dict[str, tuple[str, str]] = {}
        for file in settings.files:
            for entry in entries(file):
                if entry.name in self.entries:
                    other = self.entries[entry.name].source
                    raise InputError(f"{entry.source}: a molecule {entry.name} is in {other} already")
                self.entries[entry.name] = entry
        self.candidates = [entry for entry in self.entries.values() if self._filtered(entry) is None]
        if len(self.candidates) < len(self.entries):
            counts = f"{len(self.candidates)} of {len(self.entries)}"
            logger.info("%s molecules pass molecules.elements and molecules.charges", counts)

    def _filtered(self, entry: Entry) -> str | None:
        """Why the settings leave a molecule out; None if they do not."""
        elements, charges = self.settings.elements, self.settings.charges
        if elements is not None and (others := entry.composition.elements - set(elements)):
            return f"has {', '.join(sorted(others))}, which is not in molecules.elements"
        if charges is not None and entry.charge not in charges:
            return f"has charge {entry.charge}, which is not in molecules.charges"
        return None

    def take_named(self, names: list[str]) -> list[Entry]:
        """The test molecules of these names.

        Raises:
            InputError: unknown, left out by a filter, for another split, no closed shell, or twice.
        """
        for name in names:
            entry = self.entries.get(name)
            if entry is None:
                close = difflib.get_close_matches(name, self.entries, n=1)
                hint = f" (did you mean {close[0]}?)" if close else ""
                raise InputError(f"molecules.test.names: no {name} in {self.where}{hint}")
            reason = self._filtered(entry)
            if reason is None and entry.split not in ("", "test"):
                reason = f"is for the split {entry.split}, says the file"
            if reason is None and not self._take(entry, "test"):
                reason = self._skips[name][1]
            if reason is not None:
                raise InputError(f"molecules.test.names: {name} of {entry.source}: {reason}")
        return [self.entries[name] for name in names]

    def take_random(self, split: str, selection: SizeSelection) -> list[Entry]:
        """Molecules that are not taken yet, by size and with this split or none in their file.

        Raises:
            InputError: there are not so many.
        """
        count, min_heavy, max_heavy = selection.count, selection.min_heavy, selection.max_heavy
        fitting = [
            e for e in self.candidates
            if min_heavy <= e.composition.n_heavy <= max_heavy and e.name not in self._taken
        ]  # fmt: skip
        free = [entry for entry in fitting if entry.split in ("", split)]
        taken: list[Entry] = []
        for entry in sorted(free, key=lambda e: self._draw(split, e.name)):
            if len(taken) == count:
                break
            if self._take(entry, split):
                taken.append(entry)
        if len(taken) < count:
            self.report_skips()
            bound = len(fitting) - len(free)
            raise InputError(
                f"molecules.{split}: {count} molecules with {min_heavy} to {max_heavy} heavy atoms wanted, "
                f"only {len(taken)} left in {self.where} (test is taken first, then validation, then train"
                + (f"; {bound} more are for another split, say their files)" if bound else ")")
            )
        return taken

    def report_skips(self) -> None:
        """Logs which molecules were passed over, and why."""
        lines = [
            f"skipped {name} ({self.entries[name].source}): {reason}"
            for name, (_, reason) in self._skips.items()
        ]
        if len(lines) > SHOWN_SKIPS:
            lines[SHOWN_SKIPS:] = [f"skipped {len(lines) - SHOWN_SKIPS} more molecules"]
        if self._skips:
            kinds = Counter(kind for kind, _ in self._skips.values())
            lines.append("passed over: " + ", ".join(f"{count} {kind}" for kind, count in kinds.items()))
        for line in lines:
            logger.info(line)

    def _draw(self, split: str, name: str) -> tuple[str, str]:
        return hashlib.sha256(f"{self.settings.seed}:{split}:{name}".encode()).hexdigest(), name

    def _take(self, entry: Entry, split: str) -> bool:
        """Takes a molecule for a split; remembers why not if it is an open shell or a double."""
        if entry.name in self._skips:
            return False
        if not self.reads_geometries:
            if (entry.composition.nuclear_charge - entry.charge) % 2 == 0:
                self._taken[entry.name] = split
            return entry.name in self._taken
        molecule = entry.load()
        kind, reason = OPEN_SHELL, open_shell_reason(molecule)
        same = None if reason else self._geometries.add(molecule)
        if same is not None:
            kind = DOUBLE
            reason = (
                f"the same molecule, under another name, is taken already: {same}, in {self._taken[same]}"
            )
        if reason is not None:
            self._skips[entry.name] = kind, reason
            return False
        self._taken[entry.name] = split
        return True

"""Molecules in memory, as many as fit."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping

from dixc.training.molecule import TrainingMolecule


class MoleculeCache:
    """Hands out molecules and drops the least recently used ones when together they exceed a limit.

    Args:
        molecules: by name; one that is dropped is asked for again there.
        cache_gb: limit in GB; the molecule in use is always kept.
    """

    def __init__(self, molecules: Mapping[str, TrainingMolecule], cache_gb: float):
        self.molecules, self.cache_gb = molecules, cache_gb
        self._in_memory: OrderedDict[str, tuple[TrainingMolecule, float]] = OrderedDict()

    def get(self, name: str) -> TrainingMolecule:
        """The molecule of a name."""
        if name not in self._in_memory:
            molecule = self.molecules[name]
            self._in_memory[name] = molecule, molecule.megabytes()
        self._in_memory.move_to_end(name)
        while self._megabytes() > 1000 * self.cache_gb and len(self._in_memory) > 1:
            self._in_memory.popitem(last=False)[1][0].drop()
        return self._in_memory[name][0]

    def _megabytes(self) -> float:
        return sum(megabytes for _, megabytes in self._in_memory.values())

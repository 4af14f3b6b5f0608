"""The files that a training reads and writes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from dixc import provenance


@dataclass(frozen=True)
class TrainingInputs:
    """Files that a training reads.

    Attributes:
        start: model file written by the stage `prefit`.
        train_references, train_derivatives: chunks of the training molecules.
        validation_references: chunks of the validation molecules.
    """

    start: Path
    train_references: Sequence[Path]
    train_derivatives: Sequence[Path]
    validation_references: Sequence[Path]

    def hashes(self) -> list[str]:
        """SHA-256 of every file, in the order of the attributes."""
        chunks = [*self.train_references, *self.train_derivatives, *self.validation_references]
        return [provenance.file_hash(path) for path in (self.start, *chunks)]


@dataclass(frozen=True)
class TrainingOutputs:
    """Files that a training writes.

    Attributes:
        model: the trained model.
        log: table of losses, one row a step (CSV).
        checkpoints: folder to save to and resume from.
    """

    model: Path
    log: Path
    checkpoints: Path

"""Names of a run's files, for the rules of the workflow and for `dixc partial`."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from dixc.config.base import SPLITS
from dixc.config.root import Config

DEFAULT_GUESS = "reference"  # among warm starts: the SCF of the reference from PySCF's guess


@dataclass(frozen=True)
class RunFiles:
    """The files of a run.

    Attributes:
        config: settings of the run.
        folder: the run's.
    """

    config: Config
    folder: str | Path

    @classmethod
    def of_run(cls, config: Config, root: str | Path = "results") -> RunFiles:
        """Those in a run's usual place.

        Args:
            config: settings of the run.
            root: folder of all runs.
        """
        return cls(config, f"{root}/{config.run}")

    def path(self, name: str) -> str:
        """Path of a file by its name in the run's folder."""
        return f"{self.folder}/{name}"

    def of_chunks(self, folder: str, suffix: str, splits: Iterable[str] = SPLITS) -> list[str]:
        """A file for each chunk of some splits."""
        return [self.path(f"{folder}/{chunk}.{suffix}") for chunk in self.config.chunks(*splits)]

    @property
    def molecules_table(self) -> str:
        """The table of all molecules, by chunk."""
        return self.path("molecules/molecules.csv")

    @property
    def molecules(self) -> list[str]:
        """All that the stage `molecules` writes."""
        return [self.molecules_table, *self.of_chunks("molecules", "xyz")]

    @property
    def references(self) -> list[str]:
        """Chunks of the reference."""
        return self.of_chunks("reference", "h5")

    @property
    def derivatives(self) -> list[str]:
        """Chunks of second derivatives: of training, if there is any, and of what is compared."""
        splits = {*self.config.evaluation.tddft.splits, *(["train"] if self.config.trained() else [])}
        return self.of_chunks("derivatives", "h5", sorted(splits))

    @property
    def models(self) -> list[str]:
        """Model files of all trained functionals."""
        return [self.path(f"models/{name}.pt") for name in self.config.trained()]

    @property
    def logs(self) -> list[str]:
        """Tables of losses of all trainings."""
        return [self.path(f"training/{name}.csv") for name in self.config.trained()]

    @property
    def scf(self) -> list[str]:
        """Chunks of the SCF with every functional."""
        names = self.config.functionals()
        return [file for name in names for file in self.of_chunks(f"scf/{name}", "h5")]

    @property
    def warmstart(self) -> list[str]:
        """Parts of the warm-start table."""
        names, splits = [DEFAULT_GUESS, *self.config.functionals()], self.config.evaluation.warmstart.splits
        return [file for name in names for file in self.of_chunks(f"warmstart/{name}", "csv", splits)]

    @property
    def tddft(self) -> list[str]:
        """Parts of the TDDFT table."""
        names, splits = self.config.functionals(), self.config.evaluation.tddft.splits
        return [file for name in names for file in self.of_chunks(f"tddft/{name}", "csv", splits)]

    def model_of(self, functional: str) -> str | None:
        """The model file of a trained functional; None for a baseline."""
        return self.path(f"models/{functional}.pt") if self.config.parse(functional).trained else None


def checkpoints_of(model: str) -> str:
    """Folder of a training's checkpoints, beside that of the models."""
    path = Path(model)
    return str(path.parents[1] / "checkpoints" / path.stem)

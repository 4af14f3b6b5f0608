"""Reference and derivative chunks of the benchmark's molecules, as the stages of the workflow write them."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from benchmarks.speed.molecules import FOLDER, case
from dixc.config import Config, load
from dixc.molecules import write_xyz
from dixc.stages import derivatives, reference


def default_config() -> Config:
    """The config of the default run."""
    return load(FOLDER.parent / "config.yaml")


def chunks(label: str, folder: Path) -> tuple[Path, Path]:
    """Reference and derivative chunk of one molecule; made in `folder` if they are not there."""
    config = default_config()
    xyz, first, second = (
        folder / f"{label}-{kind}" for kind in ("train.xyz", "reference.h5", "derivatives.h5")
    )
    if not second.exists():
        write_xyz(xyz, [dataclasses.replace(case(label).molecule, split="train")])
        reference.run(xyz, config.reference, first)
        derivatives.run(first, config.derivatives, second)
    return first, second

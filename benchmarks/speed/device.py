"""Training steps of all architectures on a CUDA device against the same steps on the CPU.

Steps are those of `benchmarks.speed.training`; architectures and their sizes those of config/benchmark.yaml, untrained.
"""

from __future__ import annotations

import sys
from itertools import product
from pathlib import Path

import torch

from benchmarks.speed.molecules import FOLDER, case
from benchmarks.speed.reference import chunks
from benchmarks.speed.timing import Entry, Options, interleave, rows
from benchmarks.speed.training import LOSSES, Steps, new_trainer, sizes
from dixc.config import load
from dixc.functionals import registry
from dixc.functionals.base import Functional
from dixc.training.molecule import TrainingMolecule

MOLECULES = ("propane", "furan", "C6H7NO2")
DEVICES = ("cpu", "cuda")


def measure(options: Options, folder: Path) -> list[dict]:
    """All rows of the section, none without a device; `folder` is for references."""
    if not torch.cuda.is_available():
        print("device: no CUDA device here", file=sys.stderr)
        return []
    labels, models = MOLECULES, load(FOLDER.parent / "benchmark.yaml").models
    if options.quick:
        labels, models = ("H2O",), models[:1]
    found = []
    for label in labels:
        files, molecules = chunks(label, folder), {}
        for model, loss in product(models, LOSSES):
            start = registry.create(model.name, **model.hyperparameters)
            sides = {device: steps(files, loss, start, device, molecules) for device in DEVICES}
            taken = interleave(sides, options)
            entries = {
                device: entry(
                    device, model.name, loss, sizes(molecules[device]) | {"scf_builds": side.builds}
                )
                for device, side in sides.items()
            }
            found += rows("device", "step", case(label), entries, taken)
    return found


def steps(
    files: tuple[Path, Path],
    loss: str,
    start: Functional,
    device: str,
    molecules: dict[str, TrainingMolecule],
) -> Steps:
    """Steps on a device; `molecules` keeps what one loss has computed of the molecule there for the next."""
    trainer = new_trainer(*files, loss, start, device)
    (molecule,) = trainer.molecules.molecules.values()
    return Steps(trainer, molecules.setdefault(device, molecule), start)


def entry(device: str, functional: str, loss: str, extra: dict[str, int]) -> Entry:
    """What a row says besides its times."""
    program = "CPU" if device == "cpu" else torch.cuda.get_device_name()
    return Entry(program, functional, loss, DEVICES[0], extra=extra)

"""Training steps of all architectures on a CUDA device against the same steps on the CPU.

Steps are those of `benchmarks.speed.training`; architectures and their sizes those of config/benchmark.yaml, untrained.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch

from benchmarks.speed.molecules import FOLDER, case
from benchmarks.speed.reference import chunks
from benchmarks.speed.timing import Entry, Options, interleave, rows
from benchmarks.speed.training import LOSSES, Steps, new_trainer
from dixc.config import load
from dixc.functionals import registry
from dixc.training.data import TrainingMolecule

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
        files, shared = chunks(label, folder), {}
        for model in models:
            start = registry.create(model.name, **model.hyperparameters)
            for loss in LOSSES:
                sides, entries = {}, {}
                for device in DEVICES:
                    trainer = new_trainer(*files, loss, start, device)
                    (molecule,) = trainer.molecules.molecules.values()
                    molecule: TrainingMolecule = shared.setdefault(device, molecule)
                    sides[device] = Steps(trainer, molecule, start)
                taken = interleave(sides, options)
                for device, side in sides.items():
                    sizes = {"nao": molecule.mol.nao, "nocc": molecule.shape[1]}
                    sizes |= {"pairs": molecule.metric_diagonal.size, "points": molecule.grid().n_points}
                    sizes |= {"scf_builds": side.builds}
                    program = "CPU" if device == "cpu" else torch.cuda.get_device_name()
                    entries[device] = Entry(program, model.name, loss, DEVICES[0], None, sizes)
                found += rows("device", "step", case(label), entries, taken)
    return found

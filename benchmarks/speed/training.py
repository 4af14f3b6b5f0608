"""Training steps of XCdiff against one XC build of PySCF's r2SCAN on the same molecule and grid level.

A step is `Trainer.train_step` with the default settings, optimizer included. So that each step costs what one in the
middle of a training costs, it starts from the SCF solution of slightly other weights (the mean number of SCF builds is
in the table; the default run's is in the profile) and the learning rate is too small to move the weights.
"""

from __future__ import annotations

import copy
from functools import partial
from pathlib import Path

import numpy as np
import torch
from pyscf import dft
from pyscf.dft import numint

from benchmarks.speed import worker
from benchmarks.speed.machine import Work
from benchmarks.speed.molecules import Case, case
from benchmarks.speed.reference import chunks
from benchmarks.speed.tddft import MODEL
from benchmarks.speed.timing import Entry, Options, Side, interleave, rows
from dixc.config.training import Training
from dixc.core.xc.expansion import XCExpansion
from dixc.functionals import files
from dixc.functionals.base import Functional
from dixc.training import terms
from dixc.training.chunks import ChunkedMolecules
from dixc.training.loop import Trainer
from dixc.training.molecule import TrainingMolecule
from dixc.training.sinks import GradientSink

MOLECULES = ("CH3OH", "propane", "furan", "C6H7NO2")
TARGETS = {"gradient term": 1.0, "Hessian term": 3.0, "base step": 6.0}
LOSSES = ("base", "grad", "hess")
# of the weights, relative: then the SCF takes three builds, as the default run's do
PERTURBATION = 2e-3
BASE = "PySCF r2scan"
STILL = 1e-12  # learning rate


def new_trainer(
    reference: Path, derivatives: Path, loss: str, start: Functional | None = None, device: str = "cpu"
) -> Trainer:
    """A trainer of one molecule whose steps leave the weights as they are.

    Args:
        start: what the weights are near to; the trained functional that comes with dixc if None.
    """
    settings = Training(learning_rate=STILL)
    functional = copy.deepcopy(start) if start is not None else files.resolve(MODEL)
    generator = torch.Generator().manual_seed(0)
    for value in functional.parameters():
        noise = torch.randn(value.shape, generator=generator, dtype=value.dtype)
        value.data *= 1 + PERTURBATION * noise
    dtype = torch.float32 if settings.precision == "mixed" else torch.float64
    levels = (settings.grid_level, settings.hessian.grid_level)
    train = ChunkedMolecules([reference], [derivatives], *levels, functional.xctype, device, dtype)
    checkpoint = reference.with_suffix(".checkpoint")
    return Trainer(functional.to(device), loss, 0, settings, train, {}, checkpoint)


class Steps:
    """Steps of one loss, each from the same orbitals.

    Args:
        trainer: of one molecule.
        molecule: replaces the trainer's, to be shared.
        before: the functional at whose solution a step starts; the one that comes with dixc if None.
    """

    def __init__(self, trainer: Trainer, molecule: TrainingMolecule, before: Functional | None = None):
        from dixc.training import model_scf

        self.trainer, self.name = trainer, molecule.record.name
        trainer.molecules.molecules[self.name] = molecule
        before = copy.deepcopy(before) if before is not None else files.resolve(MODEL)
        before = before.to(next(trainer.functional.parameters()))
        tolerance = trainer.settings.density.scf_conv_tol_grad
        point = model_scf.solve(molecule, before, None, tolerance, order=1)
        self.start, self.builds = point.orbitals, 0

    def __call__(self) -> None:
        """One step."""
        self.trainer.orbitals[self.name] = self.start
        self.builds = self.trainer.train_step()["scf_builds"]


def energy_term(molecule: TrainingMolecule, functional) -> None:
    """Energy at the reference density and its parameter gradient."""
    grid = molecule.grid()
    XCExpansion(functional, molecule.rho_ref[None], grid.points, 0, trainable=True).gradients.backward(
        energy=1.0
    )


def term_sides(molecule: TrainingMolecule, functional, settings: Training) -> dict[str, Side]:
    """The terms at the reference density, alone and together."""
    energy = partial(energy_term, molecule, functional)

    def evaluate(*names: str) -> None:
        rng, sink = np.random.default_rng(0), GradientSink()
        terms.evaluate(names, molecule, functional, settings, rng=rng, sink=sink)

    gradient = partial(evaluate, "gradient")
    hessian = partial(evaluate, "hessian", "excitation")

    return {
        "E": energy,
        "gradient term": gradient,
        "Hessian term": hessian,
        "E + g": lambda: (energy(), gradient()),
        f"E + g + {settings.hessian.probes} probes": lambda: (energy(), gradient(), hessian()),
    }


def measure(options: Options, folder: Path) -> list[dict]:
    """All rows of the section; `folder` is for references."""
    found = []
    for label in ("H2O",) if options.quick else MOLECULES:
        molecule = case(label)
        files = chunks(label, folder)
        found += molecule_rows(molecule, files, options)
        found += memory_rows(molecule, files, options)
    return found


def sizes(molecule: TrainingMolecule) -> dict[str, int]:
    """For the table."""
    found = {"nao": molecule.mol.nao, "nocc": molecule.shape[1], "pairs": molecule.metric_diagonal.size}
    return found | {"points": molecule.grid().n_points}


def _pyscf_sides(molecule: TrainingMolecule) -> dict[str, Side]:
    """XC builds on the training's grid level, density from orbitals, as in PySCF's SCF."""
    record, sides = molecule.record, {}
    mf = dft.RKS(record.mol)
    mf.grids = record.grid(Training().grid_level)
    dm = mf.make_rdm1(record.mo_coeff, record.mo_occ)
    for xc in ("r2scan", "tpss"):
        sides[f"PySCF {xc}"] = partial(numint.NumInt().nr_rks, record.mol, mf.grids, xc, dm)
    return sides


def molecule_rows(molecule: Case, files: tuple[Path, Path], options: Options) -> list[dict]:
    """Terms and whole steps on one molecule."""
    trainers = {loss: new_trainer(*files, loss) for loss in LOSSES}
    first = trainers["base"]
    (shared,) = first.molecules.molecules.values()
    steps = {f"{loss} step": Steps(trainer, shared) for loss, trainer in trainers.items()}
    sides = _pyscf_sides(shared) | term_sides(shared, first.functional, first.settings) | steps
    taken = interleave(sides, options)
    entries = {}
    for name, side in sides.items():
        program = "PySCF" if name.startswith("PySCF") else "dixc"
        extra = sizes(shared)
        if program == "dixc":
            extra |= Work.of(side).columns(float(np.median(taken[name])))
            extra["per_second"] = 1 / float(np.median(taken[name]))
        if name in steps:
            extra["scf_builds"] = steps[name].builds
        functional = name.split()[-1] if program == "PySCF" else "xcdiff"
        variant = "potential" if program == "PySCF" else name
        entries[name] = Entry(program, functional, variant, BASE, TARGETS.get(name), extra)
    return rows("training", "step", molecule, entries, taken)


def memory_rows(molecule: Case, files: tuple[Path, Path], options: Options) -> list[dict]:
    """Peak memory of a process that does a few steps of the dearest loss."""
    found = worker.run(
        "training", options, reference=str(files[0]), derivatives=str(files[1]), loss="hess", steps=2
    )
    entry = Entry("dixc", "xcdiff", "hess, two steps in a process of its own", extra={
        "peak_mb": found["peak_mb"], "added_mb": found["peak_mb"] - found["before_mb"]
    })  # fmt: skip
    return rows("training", "memory", molecule, {"memory": entry}, {"memory": np.array([found["seconds"]])})

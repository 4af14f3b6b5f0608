"""The optimisation loop: one molecule a step, or a few, the same schedule for every loss, resumable at any step.

All randomness is a function of (seed, epoch or step), so that a resumed run repeats what an uninterrupted one does.
What is kept at the end are the averaged weights of the best validation. The validation score is the `base` loss
(energy up to an offset per electron, and density, at the model's own SCF solution) for every loss: selection gives no
loss an advantage, and neither E_rho nor a reference derivative enters `base` by the back door.
"""

from __future__ import annotations

import logging
import time
import warnings
from collections import ChainMap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.optim import Optimizer
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from tqdm import tqdm

from dixc.config.base import TERMS_OF_LOSS, Loss
from dixc.config.training import Training
from dixc.core.arrays import Array
from dixc.errors import DixcWarning, InputError, NotConverged
from dixc.functionals import probe
from dixc.functionals.base import Functional
from dixc.training import checkpoints, model_scf, terms
from dixc.training.cache import MoleculeCache
from dixc.training.learning_rates import cosine_annealing
from dixc.training.metropolis import Metropolis
from dixc.training.molecule import TrainingMolecule
from dixc.training.optimizers import STEPS
from dixc.training.parallel import Team
from dixc.training.terms.solution import energy_error
from dixc.training.terms.term import TermValue, pseudo_huber
from dixc.training.visits import Visit, mean_columns

Orbitals = tuple[Array, Array]  # occupied and virtual
MAX_BAD_STEPS = 10  # consecutive steps without a usable gradient before training stops
ORBITALS_GB = (
    1.0  # where the SCFs of molecules start; beyond it those least recently used start at the reference
)

logger = logging.getLogger(__name__)


def _trainable(functional: Functional, precision: str) -> Functional:
    """The functional in training mode, its weights in the precision that it stands, tried if it is not of dixc."""
    if not any(p.requires_grad for p in functional.parameters()):
        raise InputError(f"{probe.name_of_class(functional)} has no parameters to train")
    functional = functional.double().train()
    if probe.is_foreign(functional):
        probe.check(functional, f"{probe.name_of_class(functional)} (in training mode)")
    return functional.to(torch.float32 if precision == "mixed" else torch.float64)


class Trainer:
    """Trains one functional with one loss.

    Args:
        functional: starting point; trained in place.
        loss: "base", "grad" or "hess".
        seed: of the order of molecules and the probes.
        settings: the config section `training`.
        train, validation: molecules by name.
        checkpoint: file for resuming.

    Raises:
        InputError: a functional that has nothing to train, or is not of dixc and not what a functional must be.
    """

    def __init__(
        self,
        functional: Functional,
        loss: Loss,
        seed: int,
        settings: Training,
        train: Mapping[str, TrainingMolecule],
        validation: Mapping[str, TrainingMolecule],
        checkpoint: Path,
    ):
        functional = _trainable(functional, settings.precision)
        self.functional, self.loss, self.seed, self.settings = functional, loss, seed, settings
        self.names = sorted(train)
        self.validation_names = sorted(validation)
        both: ChainMap[str, TrainingMolecule] = ChainMap(validation, train)  # type: ignore[arg-type]  # only read
        self.molecules = MoleculeCache(both, settings.cache_gb)
        self.checkpoint, self.team = checkpoint, Team()
        self.average = AveragedModel(functional, multi_avg_fn=get_ema_multi_avg_fn(settings.ema_decay))
        self.steps = STEPS[settings.optimizer](functional, settings)
        self.optimizer: Optimizer = self.steps.optimizer
        self.schedule = cosine_annealing(
            self.optimizer, settings.steps, settings.final_learning_rate_fraction
        )
        self.metropolis = None
        if settings.metropolis.enabled:
            watched = (functional, self.average, self.optimizer)
            self.metropolis = Metropolis(*watched, seed, settings.metropolis.temperature)
        self.step, self.wall_s, self.bad_steps = 0, 0.0, 0
        self.rows: list[dict[str, Any]] = []
        self.orbitals: dict[str, Orbitals] = {}
        self.best_score = np.inf
        self.best_state: dict[str, Any] | None = None

    def run(self) -> None:
        """Train to the end, resuming from the checkpoint if there is one."""
        checkpoints.restore(self)
        settings, last = self.settings, time.perf_counter()
        cpu_start = time.process_time() - (self.rows[-1].get("cpu_s", 0.0) if self.rows else 0.0)
        bar = tqdm(
            total=settings.steps, initial=self.step, desc=f"train {self.loss}", unit="step",
            disable=None if self.team.rank == 0 else True,
        )  # fmt: skip
        while self.step < settings.steps:
            row = self.train_step()
            if self.step % settings.validate_every == 0 or self.step == settings.steps:
                row |= self.validate()
            now = time.perf_counter()
            self.wall_s, last = self.wall_s + now - last, now
            spent = {"wall_s": self.wall_s, "cpu_s": time.process_time() - cpu_start}
            self.rows.append({"step": self.step} | spent | row)
            if self.step % settings.checkpoint_every == 0 and self.team.rank == 0:
                checkpoints.save(self)
            bar.update()
            bar.set_postfix_str(
                " ".join(f"{t}={row.get(t + '_weighted', 0):.3g}" for t in TERMS_OF_LOSS[self.loss])
            )
        bar.close()
        if self.metropolis:
            undone = sum(row["undone"] for row in self.rows)
            counts = f"{undone} of {settings.steps}"
            logger.info("train %s: %s steps undone (training.metropolis)", self.loss, counts)
        if not np.isfinite(self.best_score):
            what = f"training {self.loss} (seed {self.seed}): no validation had a converged SCF for all its molecules"
            warnings.warn(f"{what}; the weights of the first are kept", DixcWarning, stacklevel=2)
        assert self.best_state is not None, "the last step is validated"
        self.functional.load_state_dict(self.best_state)
        self.functional.double().eval()

    def train_step(self) -> dict[str, Any]:
        """One optimizer step on the next molecules; returns the columns of the training log."""
        visits = self.team.map(self._visit, self._names_of_step())
        usable = [visit for visit in visits if visit.usable]
        norm = self.steps.gradient_norm(usable) if usable else np.inf
        usable = usable if np.isfinite(norm) else []
        names = [visit.name for visit in visits]
        row: dict[str, Any] = mean_columns(visits) | {
            "scf_builds": sum(visit.builds for visit in visits),
            "molecule": " ".join(names),
            "learning_rate": max(self.schedule.get_last_lr()),
            "grad_norm": norm,
            "skipped": int(not usable),
        }
        for visit in visits:
            self._keep_orbitals(visit.name, visit.orbitals if visit.usable else None)
        return row | self._update(usable, visits, row["loss"])

    def _visit(self, numbered: tuple[int, str]) -> Visit:
        """What a molecule adds to the step."""
        number, name = numbered
        self.optimizer.zero_grad(set_to_none=True)
        molecule, functional, settings = self.molecules.get(name), self.functional, self.settings
        start = self.orbitals.get(name)
        solution = model_scf.solve(molecule, functional, start, settings.density.scf_conv_tol_grad)
        visit = Visit(name, self._columns([]), solution.converged, solution.builds, solution.orbitals)
        if not solution.converged:
            return visit
        visit = visit._replace(energy=self.steps.energy(molecule, solution))
        sink = self.steps.sink(np.random.default_rng([self.seed, number, 3]))
        rng = np.random.default_rng([self.seed, number, 1])
        values = terms.evaluate(TERMS_OF_LOSS[self.loss], molecule, functional, settings, solution, rng, sink)
        return self.steps.completed(visit._replace(columns=self._columns(values)), sink)

    def _keep_orbitals(self, name: str, orbitals: Orbitals | None) -> None:
        """Remember where a molecule's next SCF starts, or forget it; the oldest go where memory ends."""
        self.orbitals.pop(name, None)
        if orbitals is not None:
            self.orbitals[name] = orbitals
        while sum(array.nbytes for pair in self.orbitals.values() for array in pair) > 1e9 * ORBITALS_GB:
            self.orbitals.pop(next(iter(self.orbitals)))

    def _update(self, usable: list[Visit], visits: list[Visit], loss: float) -> dict[str, float]:
        """Change the weights unless the SCF or the gradient was no good, or the step before is undone.

        Returns:
            Columns of the accept-or-undo rule, if there is one.
        """
        accepted, columns = True, {}
        name = " ".join(visit.name for visit in visits)
        self._count(bool(usable), name)
        if self.metropolis:
            accepted = self.metropolis.accept(self.step, name, loss if usable else np.inf)
            columns = self.metropolis.columns(accepted)
        if usable and accepted:
            self.steps.take(usable)
            self.average.update_parameters(self.functional)
            if self.metropolis:
                self.metropolis.stepped()
        else:
            for visit in visits:
                self.orbitals.pop(visit.name, None)
            self.optimizer._opt_called = True  # type: ignore[attr-defined]  # the schedule goes on although no step was taken
        self.schedule.step()
        self.step += 1
        return columns

    def _count(self, usable: bool, name: str) -> None:
        """Count a step that is no good; many in a row end the training.

        A good step right after one that was undone proves nothing: the next may fail again, and so on to the end.
        """
        if not usable:
            self.bad_steps += 1
        elif not self.metropolis or self.metropolis.moved:
            self.bad_steps = 0
        if self.bad_steps >= MAX_BAD_STEPS:
            raise NotConverged(
                f"training {self.loss} (seed {self.seed}) step {self.step + 1}, molecule {name}: "
                f"{MAX_BAD_STEPS} steps in a row had no converged SCF or no finite gradient; "
                "lower training.learning_rate"
            )

    def _names_of_step(self) -> list[tuple[int, str]]:
        """Number of the visit and name of each molecule of the step: a shuffled epoch after another."""
        first, count = self.step * self.settings.batch, len(self.names)
        visits = []
        for number in range(first, first + self.settings.batch):
            epoch, position = divmod(number, count)
            order = np.random.default_rng([self.seed, epoch]).permutation(count)
            visits.append((number, self.names[order[position]]))
        return visits

    def _columns(self, values: list[TermValue], prefix: str = "") -> dict[str, float]:
        columns = {}
        for value in values:
            # plain floats: a checkpoint takes no other scalars
            columns[f"{prefix}{value.name}_raw_{value.unit}"] = float(value.raw)
            columns[f"{prefix}{value.name}_weighted"] = float(value.weighted)
        columns[f"{prefix}loss"] = float(sum(value.weighted for value in values))
        return columns

    @property
    def averaged(self) -> Functional:
        """The functional with averaged weights."""
        module = self.average.module
        assert isinstance(module, Functional)
        return module

    def validate(self) -> dict[str, float]:
        """Validation columns with the averaged weights; remembers the best ones."""
        functional = self.averaged.eval()
        visits = self.team.map(self._validated, self.validation_names)
        for (_, _, _, orbitals), name in zip(visits, self.validation_names, strict=True):
            self._keep_orbitals(name, orbitals)
        columns, errors, electrons, orbitals_of = zip(*visits, strict=True)
        n_failed = sum(orbitals is None for orbitals in orbitals_of)
        means = {key: float(np.mean([row[key] for row in columns])) for key in columns[0]}
        means["validation_score"] = self._score(np.array(errors), np.array(electrons), means)
        score = means["validation_score"] if n_failed == 0 else np.inf
        if score < self.best_score or self.best_state is None:
            self.best_score = score
            self.best_state = {k: v.detach().clone() for k, v in functional.state_dict().items()}
        return means | {"validation_failed": n_failed}

    def _validated(self, name: str) -> tuple[dict[str, float], float, int, Orbitals | None]:
        """A validation molecule's columns, energy error (mEh), electrons, and orbitals (None: SCF not converged)."""
        functional, molecule = self.averaged, self.molecules.get(name)
        tolerance = self.settings.density.scf_conv_tol_grad
        solution = model_scf.solve(molecule, functional, self.orbitals.get(name), tolerance, order=1)
        values = terms.evaluate(TERMS_OF_LOSS["base"], molecule, functional, self.settings, solution)
        error = energy_error(molecule, solution)
        orbitals = solution.orbitals if solution.converged else None
        return self._columns(values, "validation_"), error, molecule.record.n_electrons, orbitals

    def _score(self, errors: np.ndarray, electrons: np.ndarray, means: dict[str, float]) -> float:
        """The `base` loss after one energy per electron is fitted to the validation errors (mEh).

        That offset wobbles from step to step by more than anything else differs, and touches neither density nor
        response; unfitted, it alone would decide which weights are kept.
        """
        without_offset = errors - electrons * (errors @ electrons) / (electrons @ electrons)
        energy = np.mean(pseudo_huber(without_offset, self.settings.energy.huber_mEh)[0])
        return float(self.settings.energy.weight * energy + means["validation_density_weighted"])

"""The optimisation loop: one molecule a step, the same schedule for every loss, resumable at any step.

All randomness is a function of (seed, epoch or step), so that a resumed run repeats what an uninterrupted one does.
What is kept at the end are the averaged weights of the best validation. The validation score is the `base` loss
(energy up to an offset per electron, and density, at the model's own SCF solution) for every loss: selection gives no
loss an advantage, and neither E_rho nor a reference derivative enters `base` by the back door.
"""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import torch
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from tqdm import tqdm

from dixc.config.training import Training
from dixc.errors import UserError
from dixc.functionals.base import Functional
from dixc.training import checkpoints, model_scf, terms
from dixc.training.data import MoleculeCache, TrainingMolecule
from dixc.training.metropolis import Metropolis
from dixc.training.terms import TERMS_OF_LOSS, TermValue

MAX_BAD_STEPS = 10  # consecutive steps without a usable gradient before training stops


class Trainer:
    """Trains one functional with one loss.

    Args:
        functional: starting point; trained in place.
        loss: "base", "grad" or "hess".
        seed: of the order of molecules and the probes.
        settings: the config section `training`.
        train, validation: molecules by name.
        checkpoint: file for resuming.
    """

    def __init__(
        self,
        functional: Functional,
        loss: str,
        seed: int,
        settings: Training,
        train: dict[str, TrainingMolecule],
        validation: dict[str, TrainingMolecule],
        checkpoint: Path,
    ):
        functional = functional.train().to(torch.float32 if settings.precision == "mixed" else torch.float64)
        self.functional, self.loss, self.seed, self.settings = functional, loss, seed, settings
        self.names = sorted(train)
        self.validation_names = sorted(validation)
        self.molecules = MoleculeCache(train | validation, settings.cache_gb)
        self.checkpoint = checkpoint
        self.average = AveragedModel(functional, multi_avg_fn=get_ema_multi_avg_fn(settings.ema_decay))
        self.optimizer = torch.optim.Adam(functional.parameters(), lr=settings.learning_rate)
        self.schedule = torch.optim.lr_scheduler.CosineAnnealingLR(
            self.optimizer,
            settings.steps,
            eta_min=settings.learning_rate * settings.final_learning_rate_fraction,
        )
        self.metropolis = None
        if settings.metropolis.enabled:
            watched = (functional, self.average, self.optimizer)
            self.metropolis = Metropolis(*watched, seed, settings.metropolis.temperature)
        self.step, self.wall_s, self.bad_steps = 0, 0.0, 0
        self.rows: list[dict] = []
        self.orbitals: dict[str, tuple[np.ndarray, np.ndarray]] = {}
        self.best_score, self.best_state = np.inf, None

    def run(self) -> None:
        """Train to the end, resuming from the checkpoint if there is one."""
        checkpoints.restore(self)
        settings, last = self.settings, time.perf_counter()
        cpu_start = time.process_time() - (self.rows[-1].get("cpu_s", 0.0) if self.rows else 0.0)
        bar = tqdm(
            total=settings.steps, initial=self.step, desc=f"train {self.loss}", unit="step", disable=None
        )
        while self.step < settings.steps:
            row = self.train_step()
            if self.step % settings.validate_every == 0 or self.step == settings.steps:
                row |= self.validate()
            now = time.perf_counter()
            self.wall_s, last = self.wall_s + now - last, now
            spent = {"wall_s": self.wall_s, "cpu_s": time.process_time() - cpu_start}
            self.rows.append({"step": self.step} | spent | row)
            if self.step % settings.checkpoint_every == 0:
                checkpoints.save(self)
            bar.update()
            bar.set_postfix_str(
                " ".join(f"{t}={row.get(t + '_weighted', 0):.3g}" for t in TERMS_OF_LOSS[self.loss])
            )
        bar.close()
        if self.metropolis:
            undone = sum(row["undone"] for row in self.rows)
            tqdm.write(f"train {self.loss}: {undone} of {settings.steps} steps undone (training.metropolis)")
        self.functional.load_state_dict(self.best_state)
        self.functional.double().eval()

    def train_step(self) -> dict:
        """One optimizer step on one molecule; returns the columns of the training log."""
        molecule = self.molecules.get(self._name_of_step())
        self.optimizer.zero_grad(set_to_none=True)
        values, converged, builds = self._loss_and_gradient(molecule)
        norm = torch.nn.utils.clip_grad_norm_(self.functional.parameters(), self.settings.gradient_clip)
        usable = bool(torch.isfinite(norm)) and converged
        row = self._columns(values) | {
            "scf_builds": builds,
            "molecule": molecule.record.name,
            "learning_rate": self.schedule.get_last_lr()[0],
            "grad_norm": float(norm),
            "skipped": int(not usable),
        }
        return row | self._update(usable, molecule.record.name, row["loss"])

    def _update(self, usable: bool, name: str, loss: float) -> dict[str, float]:
        """Step the optimizer unless the SCF or the gradient was no good, or the step before is undone.

        Returns:
            Columns of the accept-or-undo rule, if there is one.
        """
        accepted, columns = True, {}
        self._count(usable, name)
        if self.metropolis:
            accepted = self.metropolis.accept(self.step, name, loss if usable else np.inf)
            columns = self.metropolis.columns(accepted)
        if usable and accepted:
            self.optimizer.step()
            self.average.update_parameters(self.functional)
            if self.metropolis:
                self.metropolis.stepped()
        else:
            self.orbitals.pop(name, None)
            self.optimizer._opt_called = True  # the schedule goes on although no step was taken
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
            raise UserError(
                f"training {self.loss} (seed {self.seed}) step {self.step + 1}, molecule {name}: "
                f"{MAX_BAD_STEPS} steps in a row had no converged SCF or no finite gradient; "
                "lower training.learning_rate"
            )

    def _name_of_step(self) -> str:
        epoch, position = divmod(self.step, len(self.names))
        return self.names[np.random.default_rng([self.seed, epoch]).permutation(len(self.names))[position]]

    def _loss_and_gradient(self, molecule: TrainingMolecule) -> tuple[list[TermValue], bool, int]:
        """Values of all terms of this loss; the parameter gradient is accumulated in `.grad`."""
        settings, active = self.settings, TERMS_OF_LOSS[self.loss]
        name = molecule.record.name
        point = model_scf.solve(
            molecule, self.functional, self.orbitals.get(name), settings.density.scf_conv_tol_grad
        )
        if not point.converged:
            return [], False, point.builds
        self.orbitals[name] = (point.orbo, point.orbv)
        values = terms.energy_and_density(molecule, self.functional, point, settings)
        if "gradient" in active:
            values.append(terms.gradient(molecule, self.functional, settings))
        if "hessian" in active:
            rng = np.random.default_rng([self.seed, self.step, 1])
            values.append(terms.hessian(molecule, self.functional, settings, rng))
        return values, True, point.builds

    def _columns(self, values: list[TermValue], prefix: str = "") -> dict[str, float]:
        columns = {}
        for value in values:
            # plain floats: a checkpoint takes no other scalars
            columns[f"{prefix}{value.name}_raw_{value.unit}"] = float(value.raw)
            columns[f"{prefix}{value.name}_weighted"] = float(value.weighted)
        columns[f"{prefix}loss"] = float(sum(value.weighted for value in values))
        return columns

    def validate(self) -> dict[str, float]:
        """Validation columns with the averaged weights; remembers the best ones."""
        functional = self.average.module.eval()
        collected, errors, electrons, n_failed = [], [], [], 0
        for name in self.validation_names:
            molecule = self.molecules.get(name)
            tolerance = self.settings.density.scf_conv_tol_grad
            point = model_scf.solve(molecule, functional, self.orbitals.get(name), tolerance, order=1)
            if point.converged:
                self.orbitals[name] = (point.orbo, point.orbv)
            else:
                n_failed += 1
                self.orbitals.pop(name, None)
            values = terms.energy_and_density(molecule, functional, point, self.settings, backward=False)
            collected.append(self._columns(values, "validation_"))
            errors.append(1000 * (point.energy - molecule.record.e_tot))
            electrons.append(molecule.record.n_electrons)
        means = {key: float(np.mean([c[key] for c in collected])) for key in collected[0]}
        means["validation_score"] = self._score(np.array(errors), np.array(electrons), means)
        score = means["validation_score"] if n_failed == 0 else np.inf
        if score < self.best_score or self.best_state is None:
            self.best_score = score
            self.best_state = {k: v.detach().clone() for k, v in functional.state_dict().items()}
        return means | {"validation_failed": n_failed}

    def _score(self, errors: np.ndarray, electrons: np.ndarray, means: dict[str, float]) -> float:
        """The `base` loss after one energy per electron is fitted to the validation errors (mEh).

        That offset wobbles from step to step by more than anything else differs, and touches neither density nor
        response; unfitted, it alone would decide which weights are kept.
        """
        rest = errors - electrons * (errors @ electrons) / (electrons @ electrons)
        energy = np.mean(terms.pseudo_huber(rest, self.settings.energy.huber_mEh)[0])
        return float(self.settings.energy.weight * energy + means["validation_density_weighted"])

"""SCF of an expensive functional by Newton steps with the Hessian of a cheap one.

At the current orbitals C the expensive functional gives one Fock matrix, so one energy and one gradient g. The cheap
functional, evaluated at the same orbitals, gives the Hessian H of its own energy. The step H kappa = -g, C <- C exp(K),
contracts the error by the relative mismatch of the two Hessians; 1/2 g . H^-1 g estimates what is left of the energy
before another Fock matrix is built, so no build only confirms. Units: hartree, radians.
"""

from __future__ import annotations

import numpy as np
import scipy.linalg
from numpy.typing import NDArray
from pyscf.lib import logger

from dixc.core.newton import Secants, bounded, truncated_cg
from dixc.core.orbitals import rotate
from dixc.core.state import LEAST_DIAGONAL, State
from dixc.pyscf.cheap_model import CheapModel
from dixc.pyscf.hamiltonian import MeanFieldHamiltonian

MAX_ROTATION = 0.5  # radians, the largest element of a step
SAFE_ESTIMATE = 0.25  # share of conv_tol below which the preconditioner alone settles the energy estimate
RESOLVED = 1e-7  # hartree; smaller changes of the energy do not decide about a step, the gradient does
SLOW = 0.5  # a step that leaves more than this of |g| is slow
MAX_SETBACKS = 3  # slow or refused steps in a row, or changes of the occupation, after which DIIS takes over


def tolerances(mf) -> tuple[float, float]:
    """conv_tol and conv_tol_grad of a mean field, the latter with PySCF's default."""
    return mf.conv_tol, np.sqrt(mf.conv_tol) if mf.conv_tol_grad is None else mf.conv_tol_grad


class HybridSteps:
    """Newton steps for one mean field.

    Args:
        mf: PySCF mean field; all builds go through its get_veff.
        model: the cheap functional.
        rtol: relative residual of the conjugate gradients.
        secants: correct the model's inverse Hessian by the gradients seen.

    Attributes:
        point: the best point so far.
        products: Hessian products of the model spent.
        steps: rotations tried.
        estimate: the model's energy error at `point`, hartree; infinite if not known.
        minima: energy of each build less the model's error there, hartree: the minimum that it foretells. NaN where
            the model gives none; a last build that the diagonal alone finds converged has no entry.
    """

    def __init__(self, mf, model: CheapModel, rtol: float, secants: bool):
        self.mf, self.model, self.rtol = mf, model, rtol
        self.secants = Secants(max_pairs=6 if secants else 0)
        self.hamiltonian = MeanFieldHamiltonian(mf)
        self.conv_tol, self.conv_tol_grad = tolerances(mf)
        self.products = self.steps = self.setbacks = 0
        self.estimate, self.radius = np.inf, MAX_ROTATION
        self.minima: list[float] = []
        self._diagonal: NDArray | None = None
        self.point: State | None = None

    def build(self, orbo: NDArray, orbv: NDArray, last: State | None = None) -> State:
        """One Fock build; on integrals made on the fly PySCF builds the difference from the `last` point only."""
        return self.hamiltonian.build(orbo, orbv, last)

    def run(self, start: State, max_steps: int, report) -> bool:
        """Step until converged, or until the steps no longer pay.

        Args:
            start: the first point; a converged one costs nothing.
            max_steps: most rotations, so most further builds.
            report: called with (steps, point before, point) after each build.

        Returns:
            Whether the point is converged; if not, `point` is the one of lowest energy.
        """
        self.point = start
        while not (converged := self._settled_by_diagonal()):
            hessian = self.model.hessian(self.point.orbo, self.point.orbv, self.point.fock)
            self._diagonal = np.maximum(hessian.diagonal(), LEAST_DIAGONAL)
            kappa = self._newton(hessian)
            if not np.isfinite(kappa).all():
                logger.info(self.mf, "the cheap functional's Hessian is not finite here")
                break
            self.minima.append(self.point.energy - self.estimate if np.isfinite(self.estimate) else np.nan)
            if converged := self._small(self.estimate):
                break
            if self.steps >= max_steps or self.setbacks >= MAX_SETBACKS:
                break
            self._move(kappa, report)
        return converged

    def _settled_by_diagonal(self) -> bool:
        """The same test with the last preconditioner for H, wide of the mark by a factor: saves a model Hessian."""
        if not self.point.gradient().any():  # such as no virtual orbitals
            self.estimate = 0.0
        if self._diagonal is None:
            return self.estimate < self.conv_tol and self._small(self.estimate)
        self.estimate = 0.5 * float(np.vdot(self.point.gradient(), self.point.gradient() / self._diagonal))
        return self._small(self.estimate / SAFE_ESTIMATE)

    def _small(self, estimate: float) -> bool:
        return self.point.norm < self.conv_tol_grad and estimate < self.conv_tol and self.point.aufbau

    def _newton(self, hessian: State) -> NDArray:
        """The next step, and with it the estimate of the energy error."""
        solved = []

        def inverse(gradient: NDArray) -> NDArray:
            step = truncated_cg(hessian.hvp, gradient, self._diagonal, self.rtol)
            self.products += step.products
            solved.append(step.solved)
            return -step.kappa

        gradient = self.point.gradient()
        kappa = -self.secants.apply(inverse, gradient)
        slope = float(np.vdot(gradient, kappa))
        if slope >= 0:
            kappa = -gradient / self._diagonal
            slope = float(np.vdot(gradient, kappa))
        self.estimate = -0.5 * slope if solved[0] else np.inf
        return kappa

    def _move(self, kappa: NDArray, report) -> None:
        """Take the step if it helps, else shorten the next one."""
        last = self.point
        if not last.aufbau:
            return self._reoccupy(report)
        kappa = bounded(kappa, self.radius)
        trial = self.build(*rotate(last.orbo, last.orbv, kappa), last=last)
        self.steps += 1
        report(self.steps, last, trial)
        # parallel transport: the coordinates of a tangent vector do not change along the rotation
        self.secants.add(kappa, trial.gradient() - last.gradient())
        change = trial.energy - last.energy
        better = trial.norm < last.norm if abs(change) < RESOLVED else change < 0
        longest = float(np.abs(kappa).max())
        if not better:
            self.setbacks += 1
            self.radius = longest * _shortening(last, trial, kappa)
            logger.info(self.mf, "step %d refused: E changes by %.2g; next one at most %.2g rad",
                        self.steps, change, self.radius)  # fmt: skip
            return None
        self.setbacks = self.setbacks + 1 if trial.norm > SLOW * last.norm else 0
        self.radius = min(MAX_ROTATION, max(self.radius, 2 * longest))
        self.point = trial
        return None

    def _reoccupy(self, report) -> None:
        """Fill the lowest orbitals of the last Fock matrix instead of rotating: another occupation is wanted."""
        last, nocc = self.point, self.point.orbo.shape[1]
        self.setbacks += 1
        logger.info(self.mf, "occupied orbitals are not the lowest: the Fock matrix is diagonalised instead")
        frame = np.hstack([last.orbo, last.orbv])
        orbitals = frame @ scipy.linalg.eigh(frame.T @ last.fock @ frame)[1]
        self.point = self.build(orbitals[:, :nocc], orbitals[:, nocc:], last=last)
        self.secants.clear()
        self.steps += 1
        report(self.steps, last, self.point)


def _shortening(last: State, trial: State, kappa: NDArray) -> float:
    """Where between the two points the slope along the step vanishes, if it is linear; kept within 0.1 and 0.5."""
    slope, after = float(np.vdot(last.gradient(), kappa)), float(np.vdot(trial.gradient(), kappa))
    return float(np.clip(slope / (slope - after), 0.1, 0.5)) if after > 0 else 0.5

"""The energy of a mean field from a fixed number of exact Fock builds.

After each build the minimum of a surrogate (`dixc.pyscf.surrogates`) is the energy, and its orbitals are those of the
next build. What is left of the error is estimated from the correction, E of the build less that minimum: a surrogate
is wrong from second order on, as the correction is, so that the two are proportional for one kind of surrogate. The
share is calibrated (`docs/one-build.md`); from the second build on it is measured as well, because a build tells how
wrong the minimum before it was.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from pyscf.lib import logger

from dixc.core.state import State
from dixc.pyscf.hybrid_steps import SAFE_ESTIMATE, HybridSteps
from dixc.pyscf.surrogates import Minimum, Surrogate, kind_of

# error of a minimum over the correction, which 95 % of the calibration molecules do not exceed (`kind_of`,
# benchmarks/one_build_shares.py): after one build for `fitted`, after one and two for `functional`. The correction of
# Hartree-Fock is twenty times as large as that of a hybrid
SHARE_LEFT = {
    "fitted": {"full-range": 1.2e-3, "range-separated": 1.6e-3, "hartree-fock": 5e-4},
    "functional": {"full-range": 4e-2, "range-separated": 3e-1, "hartree-fock": 1.2e-1},
}
LEAST_LEFT = 1e-10  # hartree; no estimate is less: energies are not summed more exactly

# called with (builds before, point before, point) after a build
Report = Callable[[int, State, State], None]


@dataclass(frozen=True)
class Estimate:
    """What builds so far tell.

    Attributes:
        point: the last build.
        minimum: the surrogate's minimum after it.
        left: estimate of the error of `minimum.energy`, hartree.
    """

    point: State
    minimum: Minimum
    left: float

    @property
    def correction(self) -> float:
        """Energy of the build less that of the minimum, hartree."""
        return self.point.energy - self.minimum.energy

    @property
    def is_sound(self) -> bool:
        """Whether the minimum was found, and lies below the build as it must."""
        return self.minimum.found and np.isfinite(self.correction) and self.correction > -LEAST_LEFT


class FewBuilds:
    """Builds and minima in turn.

    Args:
        steps: makes exact builds.
        surrogate: stands for the mean field between them.
        kind: key of `SHARE_LEFT`.

    Attributes:
        estimates: one for each build.
    """

    def __init__(self, steps: HybridSteps, surrogate: Surrogate, kind: str):
        self.steps, self.surrogate = steps, surrogate
        self.share = SHARE_LEFT[kind][kind_of(steps.mf)]
        self.estimates: list[Estimate] = []

    def run(self, start: State, max_builds: int, report: Report) -> Estimate:
        """Build until the estimate of what is left is below conv_tol, `max_builds` times at most.

        Args:
            start: the first build.
            max_builds: builds, `start` among them.
            report: called with (builds before, point before, point) after each build but the first.
        """
        last = self._minimise(start)
        while last.left >= self.steps.conv_tol and len(self.estimates) < max_builds:
            last = self._minimise(self._build(last, report))
        return last

    def converge(self, start: State, max_builds: int, report: Report) -> bool:
        """Build until gradient and energy of the last build meet the mean field's thresholds; arguments as of `run`.

        Returns:
            Whether they do. The last build is then `steps.point`, and its error `steps.estimate`; else the best one.
        """
        steps = self.steps
        steps.point = point = start
        while True:
            steps.estimate = point.second_order
            if point.norm < steps.conv_tol_grad and steps.estimate < SAFE_ESTIMATE * steps.conv_tol:
                return point.aufbau
            last = self._minimise(point)
            steps.estimate = last.correction
            if point.norm < steps.conv_tol_grad and abs(steps.estimate) < steps.conv_tol:
                return point.aufbau
            if len(self.estimates) >= max_builds or not last.is_sound:
                return False
            point = self._build(last, report)
            steps.steps = len(self.estimates)
            if point.norm > steps.point.norm:
                return False
            steps.point = point

    def _build(self, last: Estimate, report: Report) -> State:
        point = self.steps.build(*last.minimum.orbitals, last=last.point)
        report(len(self.estimates), last.point, point)
        return point

    def _minimise(self, point: State) -> Estimate:
        minimum = self.surrogate.minimum(point)
        left = self._left(point, minimum)
        self.estimates.append(Estimate(point, minimum, left))
        logger.info(self.steps.mf, "build %d E= %.15g  |g|= %4.3g  minimum= %.15g  error left %.2g",
                    len(self.estimates), point.energy, point.norm, minimum.energy, left)  # fmt: skip
        return self.estimates[-1]

    def _left(self, point: State, minimum: Minimum) -> float:
        """The calibrated share of the correction, or of what the last minimum turned out to be wrong by, if more."""
        correction = point.energy - minimum.energy
        if not Estimate(point, minimum, 0.0).is_sound:
            return max(abs(correction), point.second_order)
        share = self.share
        if self.estimates:
            before = self.estimates[-1]
            wrong = abs(before.minimum.energy - minimum.energy)
            share = max(share, wrong / max(abs(before.correction), LEAST_LEFT))
        return max(LEAST_LEFT, share * abs(correction))

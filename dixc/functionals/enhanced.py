"""Functionals that are one learned factor over local exchange: e_xc = F e_x^LSDA, correlation included in F.

e_x^LSDA = -3/4 (3/pi)^(1/3) n^(4/3) [(1 + zeta)^(4/3) + (1 - zeta)^(4/3)] / 2 is local exchange of a spin density.
Such a functional says which F; the tail, where it is the closed form of `dixc.functionals.tail` instead, is the same
for all, and goes by the total density.
"""

from __future__ import annotations

from torch import Tensor

from dixc.functionals import tail
from dixc.functionals.base import SpinDensity
from dixc.functionals.lda import slater
from dixc.functionals.reduced import SpinPoints
from dixc.functionals.tail import TailedFunctional, TailSwitch


class EnhancedExchange(TailedFunctional):
    """A learned exchange-correlation factor over local exchange, see the module header."""

    xctype = "MGGA"

    def factor(self, density: SpinDensity, points: SpinPoints, switch: TailSwitch) -> Tensor:
        """F (N,) of a density.

        Args:
            density: the invariants as they came.
            points: the same with reduced variables; empty points replaced.
            switch: which points are within the tail.
        """
        raise NotImplementedError

    def blended_energy_density(self, density: SpinDensity) -> Tensor:
        points = SpinPoints(density)
        switch = TailSwitch(points.total)
        local = points.spin_mean([slater(c) for c in points.channels])
        inner = local * self.factor(density, points, switch)
        return points.total.energy(switch.blend(inner, lambda: tail.energy_density(points)))

"""Classical semilocal functionals for both spin cases: LDA, PBE, r2SCAN and the semilocal part of B3LYP.

They agree with libxc in value, first and second derivatives (tests/unit/functionals/test_functionals.py). Points with a
density up to `base.EMPTY_BELOW` contribute nothing.
"""

from __future__ import annotations

from torch import Tensor

from dixc.functionals import gga, lda, mgga
from dixc.functionals.base import PointwiseFunctional, SpinDensity, present
from dixc.functionals.reduced import SpinPoints


class LDA(PointwiseFunctional):
    """Slater exchange and Perdew-Wang correlation (libxc LDA_X + LDA_C_PW_MOD)."""

    xctype = "LDA"
    takes_empty_points = True
    source = "Slater exchange; Perdew, Wang, Phys. Rev. B 45, 13244 (1992)"

    def energy_density(self, density: SpinDensity) -> Tensor:
        points = SpinPoints(density)
        total = points.total
        exchange = points.spin_mean([lda.slater(c) for c in points.channels])
        return exchange + total.energy(total.n * lda.pw92(total.rs_sqrt, points.polarisation))


class PBE(PointwiseFunctional):
    """Perdew-Burke-Ernzerhof (libxc GGA_X_PBE + GGA_C_PBE)."""

    xctype = "GGA"
    takes_empty_points = True
    source = "Perdew, Burke, Ernzerhof, Phys. Rev. Lett. 77, 3865 (1996)"

    def energy_density(self, density: SpinDensity) -> Tensor:
        points = SpinPoints(density)
        total = points.total
        exchange = points.spin_mean([lda.slater(c) * gga.pbe_enhancement(c.p) for c in points.channels])
        return exchange + total.energy(total.n * gga.pbe_correlation(total, points.polarisation))


class R2SCAN(PointwiseFunctional):
    """r2SCAN (libxc MGGA_X_R2SCAN + MGGA_C_R2SCAN)."""

    xctype = "MGGA"
    takes_empty_points = True
    source = "Furness et al., J. Phys. Chem. Lett. 11, 8208 (2020)"

    def energy_density(self, density: SpinDensity) -> Tensor:
        points = SpinPoints(density)
        total = points.total
        exchange = points.spin_mean(
            [lda.slater(c) * mgga.r2scan_enhancement(c.p, c.alpha(mgga.ETA)) for c in points.channels]
        )
        return exchange + total.energy(total.n * mgga.r2scan_correlation(total, points.polarisation))


class B3LYP(PointwiseFunctional):
    """Semilocal part of B3LYP with VWN-RPA (libxc HYB_GGA_XC_B3LYP, number 402; PySCF's `b3lyp`)."""

    xctype = "GGA"
    takes_empty_points = True
    source = "semilocal part; Stephens et al., J. Phys. Chem. 98, 11623 (1994)"
    exact_exchange = 0.2

    def energy_density(self, density: SpinDensity) -> Tensor:
        points = SpinPoints(density)
        total = points.total
        exchange = points.spin_mean(
            [lda.slater(c) * (0.08 + 0.72 * gga.b88_enhancement(c.p)) for c in points.channels]
        )
        local = lda.vwn_rpa(total.rs_sqrt, points.polarisation)
        correlation = 0.19 * local + 0.81 * gga.lyp(points, [present(c.sigma) for c in density.channels])
        return exchange + total.energy(total.n * correlation)

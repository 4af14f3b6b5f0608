"""Hybrid mean fields of small molecules, and a functional that misses them by a factor."""

from __future__ import annotations

from pyscf import dft, gto, scf

import dixc
from dixc.functionals.base import PointwiseFunctional

GEOMETRIES = {
    "water": ("O 0 0 0.1178; H 0 0.7555 -0.4712; H 0 -0.7555 -0.4712", 0),
    "formaldehyde": ("O 0 0 1.2; C 0 0 0; H 0 .94 -.58; H 0 -.94 -.58", 0),
    "HCN": ("H 0 0 -1.06; C 0 0 0; N 0 0 1.15", 0),
    "hydroxide": ("O 0 0 0; H 0 0 .97", -1),
    "ammonium": ("N 0 0 0; H .6 .6 .6; H -.6 -.6 .6; H -.6 .6 -.6; H .6 -.6 -.6", 1),
    "lithium hydride, stretched": ("Li 0 0 0; H 0 0 3.2", 0),
    "water, stretched": ("O 0 0 0; H 0 1.511 -1.178; H 0 -1.511 -1.178", 0),
    "helium": ("He 0 0 0", 0),
}


def mean_field(name: str, xc: str, basis: str = "6-31g", **changes):
    atom, charge = GEOMETRIES[name]
    mol = gto.M(atom=atom, charge=charge, basis=basis, verbose=0, **changes)
    mf = scf.RHF(mol) if xc == "hf" else dft.RKS(mol, xc=xc)
    if xc != "hf":
        mf.grids.level = 0
    return mf


def tight(name: str, xc: str, fit: bool = False, basis: str = "6-31g"):
    mf = mean_field(name, xc, basis)
    mf = mf.density_fit() if fit else mf
    mf.run(conv_tol=1e-12, conv_tol_grad=1e-8)
    assert mf.converged
    return mf


class Scaled(PointwiseFunctional):
    """A functional that no molecule would recognise."""

    xctype = "GGA"

    def __init__(self, factor: float):
        super().__init__()
        self.factor, self.pbe = factor, dixc.create("pbe")

    def energy_density(self, density):
        return self.factor * self.pbe.energy_density(density)

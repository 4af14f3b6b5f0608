"""Small molecules for PySCF."""

from __future__ import annotations

GEOMETRIES = {
    "water": "O 0 0 0.1178; H 0 0.7555 -0.4712; H 0 -0.7555 -0.4712",
    "methane": "C 0 0 0; H .629 .629 .629; H -.629 -.629 .629; H -.629 .629 -.629; H .629 -.629 -.629",
    "ammonia": "N 0 0 .1; H 0 .94 -.23; H .814 -.47 -.23; H -.814 -.47 -.23",
    "lithium fluoride": "Li 0 0 0; F 0 0 1.5639",
    "hydrogen sulfide": "S 0 0 .1; H 0 .97 -.82; H 0 -.97 -.82",
    "methyl chloride": "C 0 0 -1.12; Cl 0 0 .66; H 0 1.03 -1.45; H .89 -.51 -1.45; H -.89 -.51 -1.45",
}


def molecule(name: str, basis: str = "def2-svp", shift: float = 0.0):
    """A PySCF molecule of `GEOMETRIES`; `shift` moves its first atom along x, in angstrom."""
    from pyscf import gto

    mol = gto.M(atom=GEOMETRIES[name], basis=basis, verbose=0)
    coords = mol.atom_coords(unit="Angstrom")
    coords[0, 0] += shift
    return mol.set_geom_(coords, unit="Angstrom", inplace=False)

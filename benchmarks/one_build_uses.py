"""What one exact Fock build gives beside an energy: a torsion scan, relative energies, forces and dipole moments.

    python benchmarks/one_build_uses.py --hybrid b3lyp --xc xcdiff-b3lyp

The scan turns the C-C bond of 1,2-ethanediol in steps of 15 degrees, as a scanner: each point starts from the last one.
Forces and dipole moments are those of PySCF at the density after the step, without a response term, on the molecules of
benchmarks/molecules/one_build_calibration.xyz with at most --max-heavy atoms other than hydrogen. Both against PySCF's
SCF with a tight conv_tol. Prints CSV.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
import pandas as pd
from pyscf import dft, gto, lib, scf

import dixc.pyscf
from dixc.molecules import read_xyz
from dixc.reference.method import is_hartree_fock

MOLECULES = Path(__file__).parent / "molecules" / "one_build_calibration.xyz"
ETHANEDIOL = """
C
C 1 1.515
O 1 1.410 2 110.0
O 2 1.410 1 110.0 3 {torsion}
H 1 1.095 2 109.5 3 121.0
H 1 1.095 2 109.5 3 -119.0
H 2 1.095 1 109.5 4 121.0
H 2 1.095 1 109.5 4 -119.0
H 3 0.965 1 107.0 2 -55.0
H 4 0.965 2 107.0 1 180.0
"""
TIGHT = 1e-11  # hartree
KCAL_MOL = 627.509474


def mean_field(mol, arguments: argparse.Namespace):
    """The hybrid on a molecule."""
    if is_hartree_fock(arguments.hybrid):
        return scf.RHF(mol)
    mf = dft.RKS(mol, xc=arguments.hybrid)
    mf.grids.level = arguments.grid_level
    return mf


def accelerated(mf, arguments: argparse.Namespace):
    """The same for a fixed number of builds."""
    return dixc.pyscf.accelerate(mf, xc=arguments.xc, max_builds=arguments.builds)


def scan(arguments: argparse.Namespace) -> pd.DataFrame:
    """A row a torsion angle: errors in microhartree, builds of both."""
    rows, scanner = [], None
    for torsion in np.arange(0.0, 360.0, 360.0 / arguments.points):
        mol = gto.M(atom=ETHANEDIOL.format(torsion=torsion), basis=arguments.basis, verbose=0)
        scanner = scanner or accelerated(mean_field(mol, arguments), arguments).as_scanner()
        energy = scanner(mol)
        default = mean_field(mol, arguments).run()
        tight = mean_field(mol, arguments).run(default.make_rdm1(), conv_tol=TIGHT)
        row = {"torsion": torsion, "e_tot_Eh": tight.e_tot, "error_uEh": 1e6 * (energy - tight.e_tot)}
        row |= {"estimate_uEh": 1e6 * scanner.energy_error_estimate, "builds": scanner.hybrid_fock_builds}
        rows.append(row | {"plain_cycles": default.cycles})
    table = pd.DataFrame(rows)
    table["relative_kcal_mol"] = KCAL_MOL * (table["e_tot_Eh"] - table["e_tot_Eh"].min())
    return table


def properties(arguments: argparse.Namespace) -> pd.DataFrame:
    """A row a molecule: largest error of a force component, net force and dipole moment after the builds."""
    rows = []
    for molecule in read_xyz(MOLECULES):
        if molecule.n_heavy > arguments.max_heavy:
            continue
        mol = molecule.to_pyscf(arguments.basis)
        tight = mean_field(mol, arguments).run(conv_tol=TIGHT)
        few = accelerated(mean_field(mol, arguments), arguments)
        few.kernel()
        forces, dipoles = (
            [f(mf) for mf in (few, tight)]
            for f in (
                lambda mf: mf.nuc_grad_method().kernel(),
                lambda mf: mf.dip_moment(unit="Debye", verbose=0),
            )
        )
        row = {"molecule": molecule.name, "error_uEh": 1e6 * (few.e_tot - tight.e_tot)}
        row |= {"force_error_Eh_bohr": np.abs(forces[0] - forces[1]).max()}
        rows.append(row | {"dipole_error_debye": float(np.linalg.norm(dipoles[0] - dipoles[1]))})
        print(rows[-1], file=sys.stderr, flush=True)
    return pd.DataFrame(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--hybrid", default="b3lyp")
    parser.add_argument("--xc", default="xcdiff-b3lyp", help="cheap functional: name or model file")
    parser.add_argument("--builds", type=int, default=1)
    parser.add_argument("--basis", default="def2-svp")
    parser.add_argument("--grid-level", type=int, default=2)
    parser.add_argument("--points", type=int, default=24, help="of the scan; 0: none")
    parser.add_argument("--max-heavy", type=int, default=4)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    lib.num_threads(arguments.threads)
    if arguments.points:
        scan(arguments).to_csv(sys.stdout, index=False, float_format="%.6g")
    properties(arguments).to_csv(sys.stdout, index=False, float_format="%.3g")


if __name__ == "__main__":
    main()

"""SCF of one molecule with any functional, for a person at a terminal: `dixc scf molecule.xyz --xc model.pt`."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from dixc.errors import UserError
from dixc.excitations import ResponseSolver
from dixc.functionals import registry
from dixc.molecules import read_xyz
from dixc.stages.tddft import HARTREE_EV


def run(
    molecule: Path, xc: str, basis: str, charge: int | None, grid_level: int, n_states: int, as_json: bool
) -> None:
    """Print energy, dipole and, if wanted, the lowest singlet excitations of each molecule in an xyz file.

    Raises:
        UserError: broken input, or an SCF that does not converge.
    """
    import dixc.pyscf

    functional = registry.resolve(xc)
    for entry in read_xyz(molecule, charge=charge):
        try:
            mol = entry.to_pyscf(basis)
        except UserError as error:
            raise UserError(f"{molecule}, {error}") from None
        mf = dixc.pyscf.RKS(mol, xc=functional)
        mf.grids.level = grid_level
        mf.kernel()
        if not mf.converged:
            raise UserError(f"{molecule}, {entry.name}: SCF with {xc} not converged in {mf.max_cycle} cycles")
        result = {
            "name": entry.name,
            "formula": entry.formula,
            "xc": xc,
            "basis": basis,
            "charge": entry.charge,
            "e_tot_Eh": float(mf.e_tot),
            "dipole_debye": [float(x) for x in mf.dip_moment(unit="Debye", verbose=0)],
            "cycles": int(mf.cycles),
        }
        if n_states:
            found = ResponseSolver(mf).solve(n_states, "tddft")
            result["excitations_eV"] = [float(e) for e in HARTREE_EV * found.energies]
        print(json.dumps(result) if as_json else _text(result))


def _text(result: dict) -> str:
    lines = [
        f"{result['name']} ({result['formula']}, charge {result['charge']})  {result['xc']}/{result['basis']}",
        f"  total energy       {result['e_tot_Eh']:.8f} Eh   ({result['cycles']} cycles)",
        f"  dipole             {np.linalg.norm(result['dipole_debye']):.4f} D",
    ]
    for state, energy in enumerate(result.get("excitations_eV", []), start=1):
        lines.append(f"  singlet {state:<3d}        {energy:.4f} eV")
    return "\n".join(lines)

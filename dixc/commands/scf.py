"""SCF of all molecules in a file with a functional of dixc: `dixc scf molecule.xyz --xc pbe`."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from dixc.commands import batch
from dixc.commands.batch import Calculation, identity
from dixc.commands.options import Options
from dixc.display import Harmless, harmless, one_line
from dixc.errors import UserError
from dixc.excitations import HARTREE_EV, ResponseSolver, oscillator_strengths
from dixc.functionals import files
from dixc.functionals.base import Functional

if TYPE_CHECKING:
    from pyscf.gto import Mole
    from pyscf.scf.hf import RHF

EV_NM = 1239.8419843320026  # photon energy times wavelength


def run(options: Options, xc: str, n_states: int) -> None:
    """Print the results of each molecule as they are done, and write them to a file.

    Args:
        options: molecules, basis and grid, and where results go.
        xc: registry name, shipped model or model file.
        n_states: lowest singlet excitations by full TDDFT.

    Raises:
        InputError: as `dixc.commands.batch.run`.
    """
    functional, level = files.resolve(xc), options.grid_level

    def solve_molecule(mol: Mole, name: str) -> dict[str, Any]:
        return solve(mol, functional, level, n_states, name)

    settings = {"functional": identity(xc), "grid_level": level, "n_states": n_states}
    batch.run(Calculation(xc, settings, solve_molecule, as_text), options)


def solve(
    mol: Mole, functional: Functional, grid_level: int, n_states: int = 0, name: str = ""
) -> dict[str, Any]:
    """SCF and excitations of a PySCF molecule, ready for JSON.

    An SCF that did not converge has no excitations.

    Returns:
        converged, cycles, e_tot_Eh, dipole_debye (x, y, z), dipole_total_debye,
        orbital_energies_eV, n_occupied, homo_eV, lumo_eV, gap_eV (None without a virtual orbital);
        with `n_states`: excitations_eV, wavelengths_nm and oscillator_strengths (length gauge), or
        excitations_error, the reason why there are none.
    """
    import dixc.pyscf

    mf = dixc.pyscf.RKS(mol, xc=functional)
    mf.grids.level = grid_level
    result = ground_state(mf, name)
    if n_states and mf.converged:
        result |= _excitations_or_reason(mf, n_states)
    return result


def ground_state(mf: RHF, name: str) -> dict[str, Any]:
    """Run a mean field, its cycles on the terminal; returns as `solve` without excitations."""
    with Progress(name) as progress:
        mf.callback = progress
        mf.kernel()
    dipole = mf.dip_moment(unit="Debye", verbose=0)
    return {
        "converged": bool(mf.converged),
        "cycles": int(mf.cycles),
        "e_tot_Eh": float(mf.e_tot),
        "dipole_debye": [float(x) for x in dipole],
        "dipole_total_debye": float(np.linalg.norm(dipole)),
        **_orbitals(mf),
    }


def _orbitals(mf: RHF) -> dict[str, Any]:
    energies = HARTREE_EV * np.asarray(mf.mo_energy)
    occupied, virtual = energies[mf.mo_occ > 0], energies[mf.mo_occ == 0]
    homo = float(occupied.max())
    lumo = float(virtual.min()) if len(virtual) else None
    return {
        "orbital_energies_eV": [float(energy) for energy in energies],
        "n_occupied": len(occupied),
        "homo_eV": homo,
        "lumo_eV": lumo,
        "gap_eV": None if lumo is None else lumo - homo,
    }


def _excitations_or_reason(mf: RHF, n_states: int) -> dict[str, Any]:
    """Excitations, or the reason why there are none: the SCF is worth keeping."""
    pairs = int((mf.mo_occ > 0).sum() * (mf.mo_occ == 0).sum())
    if pairs < n_states:
        what = f"only {pairs}" if pairs else "no virtual orbitals"
        return {"excitations_error": f"{n_states} wanted, the basis has {what}"}
    try:
        return _excitations(mf, n_states)
    except UserError as error:  # such as an unstable ground state
        return {"excitations_error": str(error)}
    except Exception as error:  # such as linear algebra that fails
        return {"excitations_error": f"{type(error).__name__}: {one_line(error)}"}


def _excitations(mf: RHF, n_states: int) -> dict[str, list[float]]:
    excitations = ResponseSolver(mf).solve(n_states, "tddft")
    energies = HARTREE_EV * excitations.energies
    return {
        "excitations_eV": [float(energy) for energy in energies],
        "wavelengths_nm": [float(EV_NM / energy) for energy in energies],
        "oscillator_strengths": [float(strength) for strength in oscillator_strengths(mf, excitations)],
    }


class Progress:
    """A line about the SCF, rewritten every cycle, on a terminal only.

    It is wiped when the SCF is done.
    """

    def __init__(self, name: str):
        self.name = harmless(name)
        # it steers the terminal itself
        self.stream = sys.stderr.terminal if isinstance(sys.stderr, Harmless) else sys.stderr
        self.on_terminal, self.width = self.stream.isatty(), 0

    def __call__(self, state: Mapping[str, Any]) -> None:
        if self.on_terminal:
            line = (
                f"{self.name}: cycle {state['cycle'] + 1}, E = {state['e_tot']:.8f} Eh, "
                f"|g| = {state['norm_gorb']:.1e} Eh"
            )
            self.stream.write(f"\r{line:<{self.width}}")
            self.stream.flush()
            self.width = len(line)

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *_: object) -> None:
        if self.width:
            self.stream.write("\r" + " " * self.width + "\r")
            self.stream.flush()


def _cycles(result: dict[str, Any]) -> str:
    return f"{result['cycles']} cycles" + ("" if result["converged"] else ", NOT CONVERGED")


def as_text(result: dict[str, Any], how: str = "") -> str:
    """The lines that a person reads.

    Args:
        how: where the total energy comes from; empty for the cycles of the SCF.
    """
    lines = [
        f"{result['name']} ({result['formula']}, charge {result['charge']})  {result['xc']}/{result['basis']}",
        f"  total energy       {result['e_tot_Eh']:.8f} Eh   ({how or _cycles(result)})",
        f"  dipole             {result['dipole_total_debye']:.4f} D    "
        f"({', '.join(f'{round(x, 4) + 0:.4f}' for x in result['dipole_debye'])})",
        f"  HOMO               {result['homo_eV']:.4f} eV",
    ]
    if result["lumo_eV"] is not None:
        lines.append(f"  LUMO               {result['lumo_eV']:.4f} eV   (gap {result['gap_eV']:.4f} eV)")
    if "excitations_error" in result:
        lines.append(f"  no excitations: {result['excitations_error']}")
    for state, energy in enumerate(result.get("excitations_eV", [])):
        wavelength, strength = result["wavelengths_nm"][state], result["oscillator_strengths"][state]
        lines.append(
            f"  singlet {state + 1:<3d}        {energy:.4f} eV   {wavelength:.1f} nm   f = {strength:.4f}"
        )
    return "\n".join(lines)

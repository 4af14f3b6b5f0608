"""SCF of one molecule, or of all in a file, for a person at a terminal: `dixc scf molecule.xyz --xc xcdiff-b3lyp`."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dixc.errors import UserError
from dixc.excitations import HARTREE_EV, Excitations, ResponseSolver, oscillator_strengths
from dixc.functionals import registry
from dixc.functionals.base import Functional
from dixc.molecules import Molecule, read_xyz
from dixc.store import atomic_file, require_writable

EV_NM = 1239.8419843320026  # photon energy times wavelength
NAMES_SHOWN = 5


def run(
    molecule: Path,
    xc: str,
    basis: str,
    charge: int | None,
    grid_level: int,
    n_states: int,
    as_json: bool,
    out: Path | None = None,
) -> None:
    """Print the results of each molecule in an xyz file as it is done, and write them all to `out`.

    Args:
        molecule: extended xyz, one molecule or several.
        xc: registry name, shipped model or model file.
        basis, grid_level: as PySCF names them.
        charge: overrules the file's.
        n_states: lowest singlet excitations by full TDDFT.
        as_json: print a JSON object a molecule, one a line, instead of text.
        out: file for the same JSON lines.

    Raises:
        UserError: broken input; or, when all are done and written, molecules whose SCF did not converge.
    """
    functional = registry.resolve(xc)

    def one(mol, name: str) -> dict[str, Any]:
        return solve(mol, functional, grid_level, n_states, name)

    each(molecule, xc, basis, charge, one, as_text, as_json, out)


def each(
    path: Path,
    method: str,
    basis: str,
    charge: int | None,
    one: Callable[[Any, str], dict[str, Any]],
    text: Callable[[dict[str, Any]], str],
    as_json: bool,
    out: Path | None,
) -> None:
    """Print (and write) what `one(mol, name)` finds for each molecule of a file.

    Args:
        path, method, basis, charge, as_json, out: as of `run`.
        one: results of a PySCF molecule, with `converged`.
        text: lines about a result.

    Raises:
        UserError: as of `run`.
    """
    entries = read_xyz(path, charge=charge)
    mols = [_in_basis(entry, basis, path) for entry in entries]
    if out is not None:
        require_writable(out)
    results = []
    for entry, mol in zip(entries, mols, strict=True):
        known = {"name": entry.name, "formula": entry.formula, "xc": method, "basis": basis}
        results.append(known | {"charge": entry.charge} | one(mol, entry.name))
        print(json.dumps(results[-1]) if as_json else text(results[-1]), flush=True)
    if out is not None:
        with atomic_file(out) as file:
            file.write("".join(json.dumps(result) + "\n" for result in results).encode())
    failed = [result["name"] for result in results if not result["converged"]]
    if failed:
        names = ", ".join(failed[:NAMES_SHOWN]) + (" ..." if len(failed) > NAMES_SHOWN else "")
        raise UserError(
            f"{path}: SCF with {method} not converged for {len(failed)} of {len(results)}: {names}"
        )


def _in_basis(entry: Molecule, basis: str, path: Path):
    try:
        return entry.to_pyscf(basis)
    except UserError as error:
        raise UserError(f"{path}, {error}") from None


def solve(mol, functional: Functional, grid_level: int, n_states: int = 0, name: str = "") -> dict[str, Any]:
    """SCF and excitations of a PySCF molecule, ready for JSON; without excitations if it did not converge.

    Returns:
        converged, cycles, e_tot_Eh, dipole_debye (x, y, z), dipole_total_debye, orbital_energies_eV, n_occupied,
        homo_eV, lumo_eV, gap_eV (None without a virtual orbital); with `n_states`: excitations_eV, wavelengths_nm and
        oscillator_strengths (length gauge), or excitations_error, the reason why there are none.
    """
    import dixc.pyscf

    mf = dixc.pyscf.RKS(mol, xc=functional)
    mf.grids.level = grid_level
    result = ground_state(mf, name)
    if n_states and mf.converged:
        try:
            result |= _excitations(mf, n_states)
        except UserError as error:  # an unstable ground state: the SCF is worth keeping
            result["excitations_error"] = str(error)
    return result


def ground_state(mf, name: str) -> dict[str, Any]:
    """Run a mean field, with its cycles on a terminal, and tell what `solve` returns without excitations."""
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


def _orbitals(mf) -> dict[str, Any]:
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


def _excitations(mf, n_states: int) -> dict[str, list[float]]:
    found: Excitations = ResponseSolver(mf).solve(n_states, "tddft")
    energies: NDArray = HARTREE_EV * found.energies
    return {
        "excitations_eV": [float(energy) for energy in energies],
        "wavelengths_nm": [float(EV_NM / energy) for energy in energies],
        "oscillator_strengths": [float(strength) for strength in oscillator_strengths(mf, found)],
    }


class Progress:
    """A line about the SCF that is rewritten every cycle, on a terminal only; gone when the SCF is done."""

    def __init__(self, name: str):
        self.name, self.stream = name, sys.stderr
        self.wanted, self.width = self.stream.isatty(), 0

    def __call__(self, state: dict) -> None:
        if self.wanted:
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


def as_text(result: dict[str, Any]) -> str:
    """The lines that a person reads."""
    lines = [
        f"{result['name']} ({result['formula']}, charge {result['charge']})  {result['xc']}/{result['basis']}",
        f"  total energy       {result['e_tot_Eh']:.8f} Eh   ({result['cycles']} cycles"
        + (")" if result["converged"] else ", NOT CONVERGED)"),
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

"""Accelerated hybrid SCF: its rows of the warm-start table, and a single molecule for a person at a terminal."""

from __future__ import annotations

import json
import time
from pathlib import Path

from dixc.errors import UserError
from dixc.functionals import registry
from dixc.functionals.base import Functional
from dixc.molecules import read_xyz
from dixc.records import ReferenceRecord
from dixc.stages.evaluate import count_fock_builds
from dixc.stages.history import History, log_scf


def row(record: ReferenceRecord, functional: Functional, settings: dict, **acceleration) -> dict:
    """Warm-start row of the reference SCF accelerated by a functional.

    Args:
        settings: conv_tol and max_cycle.
        **acceleration: see `dixc.pyscf.Acceleration`.

    Returns:
        Columns of the warm-start table; wall_s leaves out the cheap functional's own SCF, wall_total_s nothing.
    """
    import dixc.pyscf

    mf = record.mean_field()
    mf.conv_tol, mf.conv_tol_grad, mf.max_cycle = settings["conv_tol"], None, settings["max_cycle"]
    if hasattr(mf, "grids"):
        mf.grids.build()
    builds = count_fock_builds(mf)
    mf.callback = history = History()
    start = time.perf_counter()
    mf = dixc.pyscf.accelerate(mf, xc=functional, **acceleration)
    mf.kernel()
    wall_s = time.perf_counter() - start
    found = {
        "split": record.split,
        "molecule": record.name,
        "n_heavy": record.n_heavy,
        "converged": bool(mf.converged),
        "guess": "accelerate",
        "cycles": int(mf.cycles),
        "hybrid_fock_builds": builds.count,
        "cheap_fock_builds": mf.cheap_fock_builds,
        "wall_s": wall_s - mf.cheap_scf_wall_s,
        "wall_total_s": wall_s,
        "e_diff_Eh": float(mf.e_tot - record.e_tot),
    }
    log_scf(f"{record.name}, accelerated", found, history, "hybrid_fock_builds")
    return found | history.columns()


def run(
    molecule: Path,
    hybrid: str,
    xc: str | None,
    basis: str,
    charge: int | None,
    grid_level: int,
    as_json: bool,
) -> None:
    """Print energy, dipole and Fock builds of each molecule in an xyz file with a functional of PySCF.

    Args:
        hybrid: functional as PySCF names it, or hf.
        xc: functional that accelerates; None for PySCF's own kernel.

    Raises:
        UserError: broken input, or an SCF that does not converge.
    """
    import dixc.pyscf

    functional = None if xc is None else registry.resolve(xc)
    for entry in read_xyz(molecule, charge=charge):
        mf = _mean_field(entry.to_pyscf(basis), hybrid, grid_level)
        builds = count_fock_builds(mf)
        if functional is not None:
            mf = dixc.pyscf.accelerate(mf, xc=functional)
        mf.kernel()
        if not mf.converged:
            raise UserError(
                f"{molecule}, {entry.name}: SCF with {hybrid} not converged in {mf.max_cycle} cycles"
            )
        result = {
            "name": entry.name,
            "formula": entry.formula,
            "xc": hybrid,
            "basis": basis,
            "charge": entry.charge,
            "e_tot_Eh": float(mf.e_tot),
            "dipole_debye": [float(x) for x in mf.dip_moment(unit="Debye", verbose=0)],
            "cycles": int(mf.cycles),
            "hybrid_fock_builds": builds.count,
        }
        if functional is not None:
            result |= {"accelerated_by": xc, "cheap_fock_builds": mf.cheap_fock_builds}
            result |= {"fell_back": mf.accelerated_by_diis}
        print(json.dumps(result) if as_json else _text(result))


def _mean_field(mol, hybrid: str, grid_level: int):
    from pyscf import dft, scf

    if hybrid.lower() == "hf":
        return scf.RHF(mol)
    try:
        dft.libxc.parse_xc(hybrid)
    except (KeyError, ValueError) as error:
        raise UserError(f"--hybrid {hybrid}: PySCF has no functional of this name") from error
    mf = dft.RKS(mol, xc=hybrid)
    mf.grids.level = grid_level
    return mf


def _text(result: dict) -> str:
    from dixc.stages import scf

    builds = f"  Fock builds        {result['hybrid_fock_builds']} of {result['xc']}"
    if "accelerated_by" in result:
        builds += f", {result['cheap_fock_builds']} of {result['accelerated_by']}"
        builds += " (PySCF's own kernel had to finish)" if result["fell_back"] else ""
    return f"{scf._text(result)}\n{builds}"

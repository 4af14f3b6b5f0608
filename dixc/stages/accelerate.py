"""Accelerated hybrid SCF: its rows of the warm-start table, and a single molecule for a person at a terminal."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from dixc.errors import UserError
from dixc.functionals import registry
from dixc.functionals.base import Functional
from dixc.method import is_hartree_fock
from dixc.records import ReferenceRecord
from dixc.stages.evaluate import count_fock_builds, reference_to_run
from dixc.stages.history import History, warm_start_row


def row(record: ReferenceRecord, functional: Functional, settings: dict, like=None, **acceleration) -> dict:
    """Warm-start row of the reference SCF accelerated by a functional.

    Args:
        settings: conv_tol and max_cycle.
        like: a mean field of the same molecule, whose integrals and grid need not be made again.
        **acceleration: see `dixc.pyscf.Acceleration`.

    Returns:
        Columns of the warm-start table; wall_s leaves out the cheap functional's own SCF, wall_total_s nothing.
    """
    import dixc.pyscf

    mf, builds = reference_to_run(record, settings, like)
    start = time.perf_counter()
    mf = dixc.pyscf.accelerate(mf, xc=functional, **acceleration)
    mf.callback = history = History()
    mf.kernel()
    wall_s = time.perf_counter() - start
    cheap = mf.cheap_fock_builds, mf.cheap_scf_wall_s
    return warm_start_row(record, mf, "accelerate", history, builds.count, wall_s, cheap)


def run(
    molecule: Path,
    hybrid: str,
    xc: str | None,
    basis: str,
    charge: int | None,
    grid_level: int,
    as_json: bool,
    out: Path | None = None,
) -> None:
    """Print energy, dipole and Fock builds of each molecule in an xyz file with a functional of PySCF.

    Args:
        hybrid: functional as PySCF names it, or hf.
        xc: functional that accelerates; None for PySCF's own kernel.
        out: file for the results, a JSON object a line.

    Raises:
        UserError: an unknown functional, or as `dixc.stages.batch.each`.
    """
    import dixc.pyscf
    from dixc.stages.batch import each, identity
    from dixc.stages.scf import ground_state

    _check_hybrid(hybrid)
    functional = None if xc is None else registry.resolve(xc)

    def one(mol, name: str) -> dict[str, Any]:
        mf = _mean_field(mol, hybrid, grid_level)
        builds = count_fock_builds(mf)
        if functional is not None:
            mf = dixc.pyscf.accelerate(mf, xc=functional)
        result = ground_state(mf, name) | {"hybrid_fock_builds": builds.count}
        if functional is not None:
            result |= {"accelerated_by": xc, "cheap_fock_builds": mf.cheap_fock_builds}
            result |= {"fell_back": mf.accelerated_by_diis}
        return result

    settings = {"hybrid": hybrid, "accelerated_by": identity(xc), "grid_level": grid_level}
    each(molecule, hybrid, basis, charge, settings, one, _text, as_json, out)


def _check_hybrid(hybrid: str) -> None:
    from pyscf import dft

    if is_hartree_fock(hybrid):
        return
    try:
        (exchange, *_), parts = dft.libxc.parse_xc(hybrid)
    except (KeyError, ValueError, IndexError) as error:
        raise UserError(f"--hybrid {hybrid}: PySCF has no functional of this name") from error
    if not parts and not exchange:  # PySCF would compute without exchange and correlation
        raise UserError(f"--hybrid {hybrid!r}: no functional in it")


def _mean_field(mol, hybrid: str, grid_level: int):
    from pyscf import dft, scf

    if is_hartree_fock(hybrid):
        return scf.RHF(mol)
    mf = dft.RKS(mol, xc=hybrid)
    mf.grids.level = grid_level
    return mf


def _text(result: dict) -> str:
    from dixc.stages import scf

    builds = f"  Fock builds        {result['hybrid_fock_builds']} of {result['xc']}"
    if "accelerated_by" in result:
        builds += f", {result['cheap_fock_builds']} of {result['accelerated_by']}"
        builds += " (PySCF's own kernel had to finish)" if result["fell_back"] else ""
    return f"{scf.as_text(result)}\n{builds}"

"""SCF of hybrids, plain or accelerated, for a person at a terminal: `dixc scf --hybrid`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dixc.commands import batch, scf
from dixc.commands.batch import Calculation, identity
from dixc.commands.options import Options
from dixc.errors import InputError
from dixc.functionals import files
from dixc.models import DEFAULT
from dixc.pyscf.counting import FockBuildCounter
from dixc.reference.method import is_hartree_fock

if TYPE_CHECKING:
    from pyscf.gto import Mole
    from pyscf.scf.hf import RHF

MOST_LEFT = 1e-3  # hartree; an energy that may be further off is of no use


def run(options: Options, hybrid: str, xc: str | None, accelerate: bool, max_builds: int | None) -> None:
    """Print energy, dipole and Fock builds of each molecule with a functional of PySCF.

    An energy from `max_builds` builds is no failure although `converged` is False: it fails if the
    estimate of what is left of its error is above `MOST_LEFT`, or is no less than the correction.

    Args:
        options: molecules, basis and grid, and where results go.
        hybrid: functional as PySCF names it, or hf.
        xc: functional that accelerates; None for the one that suits a molecule
            (`dixc.pyscf.accelerate`).
        accelerate: False for PySCF's own kernel.
        max_builds: exact Fock builds to spend at most on a molecule; None for as many as
            convergence takes.

    Raises:
        InputError: an unknown functional, or as `dixc.commands.batch.run`.
    """
    import dixc.pyscf

    _check_hybrid(hybrid)
    functional = None if xc is None else files.resolve(xc)
    limit = {} if max_builds is None else {"max_builds": max_builds}

    def solve(mol: Mole, name: str) -> dict[str, Any]:
        mf = _mean_field(mol, hybrid, options.grid_level)
        builds = FockBuildCounter(mf)
        if not accelerate:
            return scf.ground_state(mf, name) | {"hybrid_fock_builds": builds.count}
        mf = dixc.pyscf.accelerate(mf, xc=functional, **limit)
        result = scf.ground_state(mf, name) | {"hybrid_fock_builds": builds.count}
        result |= {"accelerated_by": xc or mf.acceleration.name, "cheap_fock_builds": mf.cheap_fock_builds}
        result |= {"fell_back": mf.accelerated_by_diis}
        return result if max_builds is None else result | _few_builds(mf, max_builds)

    # the one that suits a molecule is the shipped model, or a functional without weights
    by = [None, *identity(DEFAULT)] if accelerate and xc is None else identity(xc)
    settings = {"hybrid": hybrid, "accelerated_by": by, "grid_level": options.grid_level} | limit
    batch.run(Calculation(hybrid, settings, solve, _text), options)


def _few_builds(mf: RHF, max_builds: int) -> dict[str, Any]:
    """What a fixed number of builds tells beyond the energy.

    `error` says why the energy is of no use; it is None where the energy is.
    """
    estimate, correction = float(mf.energy_error_estimate), float(mf.e_tot - mf.e_tot_build)
    reason = None
    if not estimate < MOST_LEFT:
        reason = f"the energy from {builds_in_words(mf.hybrid_fock_builds)} may be {estimate:.1g} Eh off"
    elif not mf.converged and estimate >= abs(correction):
        reason = f"{builds_in_words(mf.hybrid_fock_builds)} did not tell where the energy is least"
    return {
        "max_builds": max_builds,
        "e_tot_build_Eh": float(mf.e_tot_build),
        "correction_Eh": correction,
        "energy_error_estimate_Eh": estimate,
        "energies_by_build_Eh": [float(energy) for energy in mf.energy_minima],
        "error": reason,
    }


def builds_in_words(count: int) -> str:
    """`1 Fock build`, `2 Fock builds`."""
    return f"{count} Fock build{'' if count == 1 else 's'}"


def _check_hybrid(hybrid: str) -> None:
    from pyscf import dft

    if is_hartree_fock(hybrid):
        return
    try:
        (exchange, *_), terms = dft.libxc.parse_xc(hybrid)
    except (KeyError, ValueError, IndexError) as error:
        raise InputError(f"--hybrid {hybrid}: PySCF has no functional of this name") from error
    if not terms and not exchange:  # PySCF would compute without exchange and correlation
        raise InputError(f"--hybrid {hybrid!r}: no functional in it")


def _mean_field(mol: Mole, hybrid: str, grid_level: int) -> RHF:
    from pyscf import dft, scf

    if is_hartree_fock(hybrid):
        return scf.RHF(mol)
    mf = dft.RKS(mol, xc=hybrid)
    mf.grids.level = grid_level
    return mf


def _text(result: dict[str, Any]) -> str:
    count, how = result["hybrid_fock_builds"], ""
    if "max_builds" in result:
        how = f"from {builds_in_words(count)}" + (", converged" if result["converged"] else "")
        how = f"FAILED: {result['error']}" if "error" in result else how
    builds = f"  Fock builds        {count} of {result['xc']}"
    if "accelerated_by" in result:
        builds += f", {result['cheap_fock_builds']} of {result['accelerated_by']}"
        builds += " (PySCF's own kernel had to finish)" if result["fell_back"] else ""
    lines = [scf.as_text(result, how), builds]
    if "max_builds" in result:
        lines += [
            f"  energy of a build  {result['e_tot_build_Eh']:.8f} Eh   (the last one)",
            f"  correction         {result['correction_Eh']:.3e} Eh",
            f"  error left         {result['energy_error_estimate_Eh']:.1e} Eh    (estimate)",
        ]
    return "\n".join(lines)

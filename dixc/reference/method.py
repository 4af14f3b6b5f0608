"""The method of the reference: which functionals it may have, and its mean field."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

from dixc.errors import InputError

if TYPE_CHECKING:
    from pyscf.gto import Mole
    from pyscf.scf.hf import RHF

    from dixc.config.sections import Reference

HARTREE_FOCK = "hf"


def is_hartree_fock(functional: str) -> bool:
    """Whether a reference has no exchange-correlation functional at all."""
    return functional.strip().lower() == HARTREE_FOCK


def exchange_of(functional: str) -> float:
    """The fraction of exact exchange of a functional that can be a reference, as PySCF has it."""
    from pyscf.dft import libxc

    return 1.0 if is_hartree_fock(functional) else float(libxc.hybrid_coeff(functional))


def reference_mean_field(mol: Mole, settings: Reference) -> RHF:
    """PySCF mean field of the reference method with its convergence thresholds.

    No grid points are left out where the density is small.

    Its semilocal part is libxc's, integrated on orbitals that are kept from one Fock build to the
    next.
    """
    from pyscf import dft, scf

    from dixc.pyscf.numint import GridNumInt

    if is_hartree_fock(settings.functional):
        mf = scf.RHF(mol)
    else:
        mf = dft.RKS(mol, xc=settings.functional)
        mf.grids.level = settings.grid_level
        mf.small_rho_cutoff = 0
        mf._numint = GridNumInt()
    mf.conv_tol, mf.conv_tol_grad = settings.conv_tol, settings.conv_tol_grad
    mf.max_cycle = settings.max_cycle
    return mf


def check_functional(functional: str) -> None:
    """Refuses what cannot be a reference, as later stages could not follow it.

    Global hybrids, Hartree-Fock and pure functionals (LDA, GGA, meta-GGA of the kinetic-energy
    density) pass, under PySCF's names or as its formulas such as "0.3*HF + 0.7*PBE, PBE".

    Args:
        functional: as PySCF names it.

    Raises:
        InputError: with the reason.
    """
    if is_hartree_fock(functional):
        return
    reason = _refusal(functional)
    if reason is not None:
        raise InputError(f"reference.functional: {reason}")


def _refusal(functional: str) -> str | None:
    from pyscf.dft import libxc
    from pyscf.scf.dispersion import parse_dft

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # hints at old definitions of a name
            if not any(libxc.parse_xc(functional)[0]) and not libxc.parse_xc(functional)[1]:
                raise ValueError("it is empty")
            dispersion = parse_dft(functional)[2]
            omega = libxc.rsh_coeff(functional)[0]
    except Exception as error:  # KeyError, ValueError or whatever else its parser stumbles over
        problem = " ".join(str(error).split())[:100]
        return f"PySCF has no functional {functional!r} ({problem})"
    if dispersion:
        return f"{functional!r} has a dispersion correction ({dispersion}), no functional of the density"
    if libxc.is_nlc(functional):
        return f"{functional!r} has non-local correlation (VV10), which is not supported"
    if omega != 0:
        return f"{functional!r} is range-separated (omega = {omega:g}), which is not supported"
    if libxc.needs_laplacian(functional):
        return f"{functional!r} needs the Laplacian of the density, which is not supported"
    return None

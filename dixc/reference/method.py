"""Which functionals can be a reference: those whose energy, potential and response the later stages can follow."""

from __future__ import annotations

import warnings

from dixc.errors import InputError

HARTREE_FOCK = "hf"


def is_hartree_fock(functional: str) -> bool:
    """Whether a reference has no exchange-correlation functional at all."""
    return functional.strip().lower() == HARTREE_FOCK


def exchange_of(functional: str) -> float:
    """The fraction of exact exchange of a functional that can be a reference, as PySCF has it."""
    from pyscf.dft import libxc

    return 1.0 if is_hartree_fock(functional) else float(libxc.hybrid_coeff(functional))


def check_functional(functional: str) -> None:
    """Refuses what cannot be a reference.

    Global hybrids, Hartree-Fock and pure functionals (LDA, GGA, meta-GGA of the kinetic-energy density) pass, under
    PySCF's names or as its formulas such as "0.3*HF + 0.7*PBE, PBE".

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

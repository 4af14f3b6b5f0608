"""How much exact exchange a mean field of PySCF has."""

from __future__ import annotations

from dixc.errors import InputError


def full_range_exchange(mf) -> float:
    """Fraction of exact exchange of a mean field (1 for Hartree-Fock); of its full-range part if there is another."""
    return float(_coefficients(mf)[2])


def range_separation(mf) -> float:
    """Parameter omega of a mean field's range separation, 1/bohr; 0 without."""
    return float(_coefficients(mf)[0])


def exchange_fraction(mf) -> float:
    """Fraction of exact exchange of a mean field (1 for Hartree-Fock).

    Raises:
        InputError: range-separated functional.
    """
    if range_separation(mf):
        raise InputError(f"functional {mf.xc}: range separation is not supported")
    return full_range_exchange(mf)


def _coefficients(mf) -> tuple[float, float, float]:
    """omega, long-range and full-range fraction."""
    if not hasattr(mf, "_numint"):
        return 0.0, 1.0, 1.0
    return mf._numint.rsh_and_hybrid_coeff(mf.xc, mf.mol.spin)

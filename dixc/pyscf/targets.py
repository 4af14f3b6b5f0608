"""Which mean fields can be accelerated, and which of them are left to PySCF."""

from __future__ import annotations

from pyscf import scf
from pyscf.soscf.newton_ah import _CIAH_SOSCF

from dixc.errors import InputError
from dixc.pyscf.cautions import is_periodic, require_room

# where PySCF fills the lowest orbitals; any other get_occ fills others
AUFBAU_MODULES = ("pyscf.scf.hf", "pyscf.scf.hf_symm")


def require_suited(mf) -> None:
    """Refuses what cannot be accelerated.

    Raises:
        InputError: not a molecular closed-shell RKS or RHF, occupations that are not the lowest ones, or more electrons
            than orbitals.
    """
    name = type(mf).__name__
    if not isinstance(mf, scf.hf.SCF):
        raise InputError(f"accelerate needs a PySCF RKS or RHF object, not {name}")
    if is_periodic(mf.mol):
        raise InputError("accelerate: a periodic cell; dixc is for molecules")
    if isinstance(mf, _CIAH_SOSCF):
        raise InputError("accelerate takes the mean field itself, not its newton()")
    if not isinstance(mf, scf.hf.RHF) or isinstance(mf, scf.rohf.ROHF) or mf.mol.spin != 0:
        raise InputError(
            f"accelerate needs a molecular closed-shell RKS or RHF, not {name} with spin {mf.mol.spin}"
        )
    if getattr(mf, "irrep_nelec", None) or hasattr(mf, "smearing_method") or not _fills_lowest(mf):
        raise InputError(
            "accelerate fills the lowest orbitals: no fixed irreps (irrep_nelec), no smearing, and no get_occ of "
            "one's own (mom_occ, frac_occ)"
        )
    if mf.mol.natm:
        require_room(mf.mol)


def is_left_to_pyscf(mf) -> bool:
    """Whether there is nothing that a functional could help with: no electrons, or a model without atoms."""
    return mf.mol.nelectron == 0 or mf.mol.natm == 0


def _fills_lowest(mf) -> bool:
    return "get_occ" not in vars(mf) and type(mf).get_occ.__module__ in AUFBAU_MODULES

"""Hybrid SCF in few Fock builds: `accelerate(mf, xc=functional)`.

The accelerated object is a PySCF mean field of the same class. Its kernel() first converges a cheap functional, then
takes Newton steps for the mean field's own energy with the cheap functional's Hessian (`dixc.pyscf.hybrid_steps`). The
answer is the mean field's: energy, gradient and convergence thresholds never see the cheap functional. Where steps do
not pay, PySCF's own kernel takes over.
"""

from __future__ import annotations

from os import PathLike
from typing import Any

from dixc.elements import NUMBERS
from dixc.errors import InputError
from dixc.functionals.base import Functional
from dixc.models import DEFAULT
from dixc.pyscf.accelerated import Accelerated, Acceleration, accelerated
from dixc.pyscf.mean_field import as_functional
from dixc.pyscf.targets import require_suited


def accelerate(mf, xc: Functional | str | PathLike[str] | None = None, **settings: Any):
    """The same mean field with a kernel() that needs fewer Fock builds. Runs nothing.

    Args:
        mf: PySCF or dixc RKS/RHF, density-fitted or not, any charge with a closed shell.
        xc: the cheap functional: a `Functional`, a registry name, the name of a shipped model or the path of a model
            file. Without it the shipped model for molecules of elements that it was trained on, else r2SCAN.
        **settings: fields of `Acceleration` other than the functional, such as `max_builds`: the energy that so many
            exact builds tell, instead of convergence.

    Returns:
        A new object of a subclass of mf's class; mf itself is left as it is. After kernel() it has
        `hybrid_fock_builds`, `cheap_fock_builds`, `cg_products`; `cheap_scf_wall_s`, the time that went into the cheap
        functional's own SCF, in seconds; `e_tot_build`, the energy of the last build; `energy_error_estimate` of
        e_tot, hartree; `energy_minima`, the energies foretold after one, two, ... builds; `accelerated_by_diis`:
        PySCF's own kernel had to finish.

    Raises:
        InputError: not a molecular closed-shell RKS/RHF, an unknown functional, or a setting that is none.
    """
    if isinstance(mf, Accelerated):
        mf = mf.undo_accelerate()
    require_suited(mf)
    try:
        acceleration = Acceleration(
            as_functional(suited_functional(mf.mol) if xc is None else xc), **settings
        )
    except TypeError as error:
        raise InputError(f"accelerate: {str(error).split('() ')[-1]}") from None
    return accelerated(mf, acceleration)


def suited_functional(mol) -> Functional:
    """The shipped model if it knows all elements of a molecule, else r2SCAN."""
    shipped = as_functional(DEFAULT)
    trained_on = set(shipped.metadata.get("elements", []))
    present = {mol.atom_pure_symbol(i) for i in range(mol.natm)} & NUMBERS.keys()
    return shipped if present <= trained_on else as_functional("r2scan")

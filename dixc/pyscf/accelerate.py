"""Hybrid SCF in few Fock builds: `accelerate(mf, xc=functional)`.

The accelerated object is a PySCF mean field of the same class. Its kernel() first converges a cheap functional, then
takes Newton steps for the mean field's own energy with the cheap functional's Hessian (`dixc.pyscf.hybrid_steps`). The
answer is the mean field's: energy, gradient and convergence thresholds never see the cheap functional. Where steps do
not pay, PySCF's own kernel takes over.
"""

from __future__ import annotations

from typing import Any

from dixc.errors import UserError
from dixc.functionals.base import Functional
from dixc.pyscf.accelerated import Accelerated, Acceleration, accelerated
from dixc.pyscf.mean_field import as_functional
from dixc.pyscf.targets import require_suited


def accelerate(mf, xc: Functional | str, **settings: Any):
    """The same mean field with a kernel() that needs fewer Fock builds. Runs nothing.

    Args:
        mf: PySCF or dixc RKS/RHF, density-fitted or not, any charge with a closed shell.
        xc: the cheap functional: a `Functional`, a registry name, or the path of a model file.
        **settings: fields of `Acceleration` other than the functional.

    Returns:
        A new object of a subclass of mf's class; mf itself is left as it is. Counts of the last kernel() are kept in
        `hybrid_fock_builds`, `cheap_fock_builds` and `cg_products`; `accelerated_by_diis` says that PySCF's own
        kernel had to finish; `energy_error_estimate` is the model's, in hartree; `cheap_scf_wall_s` is the time that
        went into the cheap functional's own SCF, in seconds.

    Raises:
        UserError: not a molecular closed-shell RKS/RHF, or an unknown functional.
    """
    if isinstance(mf, Accelerated):
        mf = mf.undo_accelerate()
    require_suited(mf)
    try:
        acceleration = Acceleration(as_functional(xc), **settings)
    except TypeError as error:
        raise UserError(f"accelerate: {str(error).split('() ')[-1]}") from None
    return accelerated(mf, acceleration)

"""What restricted and unrestricted mean fields on a dixc functional share."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from os import PathLike

import numpy as np
from numpy.typing import NDArray

from dixc.errors import DixcWarning
from dixc.functionals.base import Functional
from dixc.functionals.registry import resolve
from dixc.pyscf.numint import NumInt


class KohnSham:
    """Mixin of PySCF's Kohn-Sham classes: a functional in the NumInt, and PySCF's response contract on top of it.

    Args:
        mol: PySCF molecule.
        xc: a `Functional`, a registered name or import path, or the path of a model file (a name wins over a file).

    Raises:
        UserError: `xc` is none of these.
    """

    def __init__(self, mol, xc: Functional | str | PathLike[str] = "xcdiff"):
        functional = xc if isinstance(xc, Functional) else resolve(xc)
        super().__init__(mol, xc=getattr(functional, "name", type(functional).__name__.lower()))
        self._numint = NumInt(functional)
        _warn_of_elements(functional, mol)

    @property
    def functional(self) -> Functional:
        """The functional that this mean field runs on."""
        return self._numint.functional

    def _response(
        self,
        xc: Callable[[NDArray], NDArray],
        coulomb: Callable[[NDArray], NDArray] | None,
        exchange: float,
        hermi: int,
    ) -> Callable[[NDArray], NDArray]:
        """PySCF's response function: change of the Fock matrix for changes dm1 (..., nao, nao) of the density matrix.

        Args:
            xc: XC matrices for symmetric dm1.
            coulomb: what the Coulomb matrices of dm1 add, or None.
            exchange: factor of the exchange matrices of dm1.
            hermi: symmetry of dm1: 1 symmetric, 0 none, 2 antisymmetric (no change of the density).
        """

        def vind(dm1: NDArray) -> NDArray:
            dm1 = np.asarray(dm1)
            v1 = np.zeros(dm1.shape)
            if hermi != 2:
                v1 += xc((dm1 + dm1.swapaxes(-1, -2)) / 2)
                if coulomb is not None:
                    v1 += coulomb(self.get_j(self.mol, dm1, hermi=hermi))
            if exchange:
                v1 -= exchange * self.get_k(self.mol, dm1, hermi=hermi)
            return v1

        return vind


def _warn_of_elements(functional: Functional, mol) -> None:
    """Warns once a functional and element of elements that its training did not see."""
    metadata = getattr(functional, "metadata", None) or {}
    trained = metadata.get("elements")
    if not isinstance(trained, list):
        return
    known = {*trained, *getattr(functional, "warned_of", ())}
    new = sorted({mol.atom_pure_symbol(i) for i in range(mol.natm)} - known)
    if new:
        functional.warned_of = [*getattr(functional, "warned_of", ()), *new]
        name = "-".join(str(metadata[key]) for key in ("model", "loss", "seed") if key in metadata)
        warnings.warn(
            f"{name or 'the functional'}: trained on {', '.join(map(str, trained))} only, used for "
            f"{', '.join(new)}: its results for such molecules are an extrapolation, check some",
            DixcWarning,
            stacklevel=4,
        )

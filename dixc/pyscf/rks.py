"""Closed-shell Kohn-Sham mean field of PySCF on a dixc functional.

An ordinary `pyscf.dft.rks.RKS`: SCF, second-order SCF, density fitting, TDA/TDDFT (singlet and triplet), scanners and
checkpoints are PySCF's own. Two things differ: the NumInt (`dixc.pyscf.numint`), and the response function, which
comes from the same expansion of the functional that every derivative in dixc uses.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from pyscf.dft import rks

from dixc.errors import DixcWarning, UserError
from dixc.functionals.base import Functional
from dixc.functionals.registry import resolve
from dixc.grassmann import Response, split_orbitals
from dixc.pyscf.numint import NumInt
from dixc.response import expansion_response, xc_response


class RKS(rks.RKS):
    """Restricted Kohn-Sham with a dixc functional.

    Args:
        mol: PySCF molecule with a closed shell.
        xc: a `Functional`, a registry name, or the path of a model file (a registry name wins over a file).

    Raises:
        UserError: open shell, or `xc` is none of the above.
    """

    def __init__(self, mol, xc: Functional | str = "xcdiff"):
        if mol.spin != 0:
            raise UserError(f"dixc.pyscf.RKS needs a closed shell, this molecule has spin {mol.spin}")
        functional = xc if isinstance(xc, Functional) else resolve(str(xc))
        super().__init__(mol, xc=getattr(functional, "name", type(functional).__name__.lower()))
        self._numint = NumInt(functional)
        _warn_of_elements(functional, mol)

    @property
    def functional(self) -> Functional:
        """The functional that this mean field runs on."""
        return self._numint.functional

    def gen_response(
        self, mo_coeff=None, mo_occ=None, singlet=None, hermi=0, max_memory=None, with_nlc=True
    ) -> Callable[[NDArray], NDArray]:
        """First-order change of the Fock matrix as a function of that of the density matrix, PySCF's contract.

        Args:
            singlet: None or True for singlet, False for triplet excitations.
            hermi: symmetry of the density matrices to come: 1 symmetric, 0 none, 2 antisymmetric.
        """
        orbo, _ = self._orbitals(mo_coeff, mo_occ)
        triplet = singlet is False
        hybrid = self.functional.exact_exchange
        if hermi != 2:
            grid, expansion = self._numint.expansion(self.mol, self.grids, orbo, spin_resolved=triplet)

        def vind(dm1: NDArray) -> NDArray:
            dm1 = np.asarray(dm1)
            v1 = np.zeros(dm1.shape)
            if hermi != 2:
                symmetric = (dm1 + dm1.swapaxes(-1, -2)) / 2
                v1 += grid.potential_matrix(xc_response(expansion, grid.density(symmetric)))
                if not triplet:
                    v1 += self.get_j(self.mol, dm1, hermi=hermi)
            if hybrid:
                v1 -= 0.5 * hybrid * self.get_k(self.mol, dm1, hermi=hermi)
            return v1

        return vind

    def orbital_response(self, mo_coeff=None, mo_occ=None) -> Response:
        """The singlet response on occupied orbitals, without nao x nao grid work (see `dixc.grassmann.Response`)."""
        orbo, _ = self._orbitals(mo_coeff, mo_occ)
        grid, expansion = self._numint.expansion(self.mol, self.grids, orbo)
        return expansion_response(grid, expansion, orbo, self.get_jk, self.functional.exact_exchange)

    def _orbitals(self, mo_coeff, mo_occ) -> tuple[NDArray, NDArray]:
        mo_coeff = self.mo_coeff if mo_coeff is None else mo_coeff
        mo_occ = self.mo_occ if mo_occ is None else mo_occ
        return split_orbitals(np.asarray(mo_coeff), mo_occ)


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
            stacklevel=3,
        )

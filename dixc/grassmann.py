"""Orbital rotations: energy, gradient and Hessian products on the manifold of closed-shell density matrices.

With kappa (n_vir, n_occ), K = [[0, -kappa^T], [kappa, 0]] and C(kappa) = C exp(K) (occupied first), P = 2 C_o C_o^T:
    gradient   g       = 4 C_v^T F C_o
    Hessian    H kappa = 4 (F_vv kappa - kappa F_oo + C_v^T dF[dP] C_o),   dP = 2 (C_v kappa C_o^T + transpose)
These are derivatives of the total energy, valid at any point, stationary or not, in hartree. PySCF's `gen_g_hop_rhf`
returns half of each. At canonical orbitals of a converged SCF, H = 4 (A + B) of singlet TDDFT.

`OrbitalHessian` holds the algebra once for all users: `OrbitalRotations` (any PySCF or dixc mean field), training
(implicit differentiation and Hessian supervision) and TDDFT differ only in the response function they hand over.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import scipy.linalg
from numpy.typing import NDArray
from scipy.sparse.linalg import LinearOperator, cg

from dixc.errors import InputError

# response(left): dF[left C_o^T + C_o left^T] C_o, for left (K, nao, nocc) -> (K, nao, nocc)
Response = Callable[[NDArray], NDArray]


def split_orbitals(mo_coeff: NDArray, mo_occ: NDArray) -> tuple[NDArray, NDArray]:
    """Occupied (nao, nocc) and virtual (nao, nvir) columns as `mo_occ` marks them.

    Raises:
        InputError: occupations other than 0 and 2, or unrestricted orbitals.
    """
    mo_occ = np.asarray(mo_occ)
    if mo_occ.ndim != 1 or not np.isin(mo_occ, (0, 2)).all():
        raise InputError("orbital rotations need closed-shell restricted orbitals (occupations 0 and 2)")
    return mo_coeff[:, mo_occ == 2], mo_coeff[:, mo_occ == 0]


def rotate(orbo: NDArray, orbv: NDArray, kappa: NDArray) -> tuple[NDArray, NDArray]:
    """Occupied and virtual orbitals moved along the geodesic C exp(K), K = [[0, -kappa^T], [kappa, 0]].

    Args:
        orbo, orbv: orbitals (nao, nocc), (nao, nvir), orthonormal.
        kappa: rotation (nvir, nocc).
    """
    nocc, nvir = orbo.shape[1], orbv.shape[1]
    generator = np.block([[np.zeros((nocc, nocc)), -kappa.T], [kappa, np.zeros((nvir, nvir))]])
    moved = np.hstack([orbo, orbv]) @ scipy.linalg.expm(generator)
    return moved[:, :nocc], moved[:, nocc:]


class OrbitalHessian:
    """Gradient and Hessian products at one set of orbitals.

    Args:
        orbo, orbv: occupied (nao, nocc) and virtual (nao, nvir) orbitals.
        fock: Fock matrix (nao, nao) at these orbitals' density, hartree.
        response: first-order change of the Fock matrix on the occupied orbitals, see `Response`.
    """

    def __init__(self, orbo: NDArray, orbv: NDArray, fock: NDArray, response: Response):
        self.orbo, self.orbv, self.response = orbo, orbv, response
        self.shape = (orbv.shape[1], orbo.shape[1])
        self.fock_oo = orbo.T @ fock @ orbo
        self.fock_vv = orbv.T @ fock @ orbv
        self._gradient = 4 * orbv.T @ fock @ orbo

    def gradient(self) -> NDArray:
        """dE/dkappa at kappa = 0, (nvir, nocc), hartree."""
        return self._gradient.copy()

    def diagonal(self) -> NDArray:
        """Leading part of the Hessian's diagonal, 4 (F_aa - F_ii), (nvir, nocc), hartree."""
        return 4 * (self.fock_vv.diagonal()[:, None] - self.fock_oo.diagonal())

    def hvp(self, kappa: NDArray) -> NDArray:
        """Hessian products for kappa (..., nvir, nocc), hartree."""
        kappa = np.asarray(kappa, dtype=float)
        flat = kappa.reshape(-1, *self.shape)
        change = self.orbv.T @ self.response(2 * self.orbv @ flat)
        product = 4 * (self.fock_vv @ flat - flat @ self.fock_oo + change)
        return product.reshape(kappa.shape)

    def solve(
        self, rhs: NDArray, rtol: float = 1e-3, max_iter: int = 60, precondition: Callable | None = None
    ) -> tuple[NDArray, bool]:
        """H^-1 rhs by preconditioned conjugate gradients.

        Args:
            rhs: (nvir, nocc).
            rtol: residual norm relative to that of rhs.
            precondition: approximate inverse of H on (nvir, nocc); that of `diagonal` if None.

        Returns:
            The solution (nvir, nocc), and whether it converged.
        """
        diagonal = np.maximum(self.diagonal(), 0.1)
        approximate = precondition or (lambda v: v / diagonal)
        size = rhs.size
        operator = LinearOperator((size, size), lambda v: self.hvp(v.reshape(self.shape)).ravel())
        inverse = LinearOperator((size, size), lambda v: approximate(v.reshape(self.shape)).ravel())
        x, info = cg(operator, rhs.ravel(), rtol=rtol, maxiter=max_iter, M=inverse)
        return x.reshape(self.shape), info == 0


class OrbitalRotations:
    """Energy, gradient and Hessian products for a PySCF or dixc closed-shell RKS/RHF, converged or not.

    Rows and columns of kappa follow mo_coeff's columns as mo_occ marks them; mo_energy is never used. Everything is
    evaluated at the orbitals the mean field had when this object was made.

    Args:
        mf: mean field with `mo_coeff` and `mo_occ`.

    Raises:
        InputError: no orbitals yet, or not a closed-shell restricted mean field.
    """

    def __init__(self, mf):
        if mf.mo_coeff is None or mf.mo_occ is None:
            raise InputError(
                "orbital rotations need a mean field with mo_coeff and mo_occ: run kernel() first"
            )
        if np.ndim(mf.mo_coeff) != 2:
            raise InputError("orbital rotations need a restricted mean field (RKS or RHF)")
        self.mf = mf
        self._mo_coeff, self._mo_occ = np.array(mf.mo_coeff), np.array(mf.mo_occ)
        self.orbo, self.orbv = split_orbitals(self._mo_coeff, self._mo_occ)
        self._hessian: OrbitalHessian | None = None

    def energy(self, kappa: NDArray) -> float:
        """Total energy E(kappa) in hartree at C exp(K)."""
        orbo, _ = rotate(self.orbo, self.orbv, np.asarray(kappa, dtype=float))
        return float(self.mf.energy_tot(dm=2 * orbo @ orbo.T))

    def _expansion(self) -> OrbitalHessian:
        if self._hessian is None:
            fock = self.mf.get_fock(dm=2 * self.orbo @ self.orbo.T)
            self._hessian = OrbitalHessian(self.orbo, self.orbv, np.asarray(fock), self._response())
        return self._hessian

    def _response(self) -> Response:
        if hasattr(self.mf, "orbital_response"):  # dixc mean fields work on occupied orbitals directly
            return self.mf.orbital_response(self._mo_coeff, self._mo_occ)
        vind = self.mf.gen_response(self._mo_coeff, self._mo_occ, singlet=None, hermi=1)

        def response(left: NDArray) -> NDArray:
            half = left @ self.orbo.T
            return vind(half + half.transpose(0, 2, 1)) @ self.orbo

        return response

    def gradient(self) -> NDArray:
        """dE/dkappa, (n_vir, n_occ), hartree."""
        return self._expansion().gradient()

    def hvp(self, kappa: NDArray) -> NDArray:
        """Hessian product H kappa, same shape as kappa (..., n_vir, n_occ), hartree."""
        return self._expansion().hvp(kappa)

"""Coulomb and exchange potentials of density matrices: the one place where their factors stand.

With P_s the density matrices of the spin channels (one spin-summed P for a closed shell, alpha and beta else):

    closed shell    v   = J[P] - 1/2 sum_x c_x K_x[P]
    open shell      v_s = J[P_a] + J[P_b] - sum_x c_x K_x[P_s]

K_x are linear exchange operators: that of the integrals themselves, of which a hybrid has the fraction c, and any
others. An antisymmetric change of P changes no density, so only exchange sees it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np

from dixc.core.arrays import Array

# get_jk(dm=, hermi=, with_j=, with_k=): J and K (..., nao, nao), hartree; None for what was not asked for
JKBuilder = Callable[..., tuple[Array | None, Array | None]]


class Exchange(Protocol):
    """A linear exchange operator.

    Attributes:
        coefficient: c, with which it enters the energy: -c/4 Tr P K[P] for a closed shell.
    """

    coefficient: float

    def get_k(self, dm: Array, hermi: int = 1) -> Array:
        """K (..., nao, nao), hartree, of matrices that are symmetric (hermi 1) or antisymmetric (2)."""


class TwoElectron:
    """The two-electron part of a Fock operator without correlation and semilocal exchange.

    Args:
        get_jk: builds Coulomb and exchange matrices, called by keywords as `JKBuilder` says.
        exact_exchange: fraction of the exchange that belongs to `get_jk`.
        others: further exchange operators.
    """

    def __init__(self, get_jk: JKBuilder, exact_exchange: float = 0.0, others: Sequence[Exchange] = ()):
        self.get_jk, self.exact_exchange, self.others = get_jk, exact_exchange, tuple(others)

    @property
    def has_exchange(self) -> bool:
        """Whether there is any exchange at all."""
        return bool(self.exact_exchange or self.others)

    def potential(self, dms: Array, hermi: int = 1, coulomb: bool = True) -> Array:
        """v (ns, ..., nao, nao), hartree, of density matrices or their changes.

        Args:
            dms: (ns, ..., nao, nao), see the head of this module.
            hermi: 1 for symmetric, 2 for antisymmetric matrices, 0 for any.
            coulomb: False leaves out J, which a triplet has none of.
        """
        ns, shape = len(dms), dms.shape
        dm = dms[0] if ns == 1 else dms.reshape(-1, *shape[-2:])
        vj, vk = self._build(dm, hermi, coulomb and hermi != 2)
        v = np.zeros(shape)
        if vj is not None:
            v = vj[None] if ns == 1 else np.broadcast_to(vj.reshape(shape).sum(0), shape)
        share = 1.0 if ns == 2 else 0.5  # a closed shell's matrix holds both spins
        if vk is not None:
            v = v - (share * self.exact_exchange * vk).reshape(shape)
        for exchange in self.others:
            v = v - (share * exchange.coefficient * exchange.get_k(dm, hermi)).reshape(shape)
        return v

    def _build(self, dm: Array, hermi: int, with_j: bool) -> tuple[Array | None, Array | None]:
        with_k = self.exact_exchange != 0
        if not (with_j or with_k):
            return None, None
        vj, vk = self.get_jk(dm=dm, hermi=hermi, with_j=with_j, with_k=with_k)
        return vj if with_j else None, vk if with_k else None

"""First-order change of the Fock matrix on occupied orbitals, put together for every user of Hessian products."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray

from dixc.core.grid import AOGrid, OrbitalValues
from dixc.core.xc import XCExpansion
from dixc.grassmann import Response

# density rows (K, nvar, N) of the total density -> change of the XC potential rows, weights included
KernelProduct = Callable[[torch.Tensor], torch.Tensor]


def xc_response(expansion: XCExpansion, rho1: torch.Tensor) -> torch.Tensor:
    """Change of the XC potential rows (..., nvar, N) for a change rho1 (..., nvar, N) of the total density.

    A spin-resolved expansion (ns = 2) gives the triplet response: rho1/2 is added to one spin and taken from the other.
    """
    if len(expansion.rho) == 1:
        return expansion.product(rho1.unsqueeze(-3))[..., 0, :, :]
    opposite = torch.stack([rho1, -rho1], dim=-3) / 2
    return expansion.product(opposite)[..., 0, :, :]


def occupied_response(
    orbo: NDArray,
    get_jk: Callable | None,
    exact_exchange: float = 0.0,
    grid: AOGrid | None = None,
    kernel_product: KernelProduct | None = None,
    values: OrbitalValues | None = None,
) -> Response:
    """Response on occupied orbitals, without nao x nao work on the grid (see `dixc.grassmann.Response`).

    Args:
        orbo: occupied orbitals (nao, nocc).
        get_jk: Coulomb and exchange builder, called as `get_jk(dm=, hermi=, with_k=)`; None leaves both out.
        exact_exchange: fraction of exact exchange.
        grid, kernel_product: the XC part; none for Hartree-Fock.
        values: the orbitals on the grid, if they are there already.
    """

    if grid is not None and values is None:
        values = grid.values(orbo)

    def response(left: NDArray) -> NDArray:
        change = np.zeros(left.shape)
        if get_jk is not None:
            half = left @ orbo.T
            vj, vk = get_jk(dm=half + half.transpose(0, 2, 1), hermi=1, with_k=exact_exchange != 0)
            change += (vj - 0.5 * exact_exchange * vk if exact_exchange else vj) @ orbo
        if grid is not None:
            rho1 = grid.density_of_pairs(left, values)
            change += grid.potential_on_orbitals(kernel_product(rho1), values)
        return change

    return response


def expansion_response(
    grid: AOGrid,
    expansion: XCExpansion,
    orbo: NDArray,
    get_jk: Callable,
    exact_exchange: float = 0.0,
    values: OrbitalValues | None = None,
) -> Response:
    """`occupied_response` with the kernel of an expansion of second order."""
    return occupied_response(
        orbo, get_jk, exact_exchange, grid, lambda rho1: xc_response(expansion, rho1), values
    )

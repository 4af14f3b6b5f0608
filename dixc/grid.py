"""Atomic orbitals on a quadrature grid, and the two linear maps between density matrices and grid functions.

The map D -> rho (density, its gradient, kinetic energy density) is linear; its adjoint takes grid functions back to
matrices. Everything that dixc differentiates passes through this pair, so no graph over orbitals is ever built.

Symbols: N points, nao atomic orbitals, nvar = 1 (LDA), 4 (GGA), 5 (meta-GGA) rows [n, n_x, n_y, n_z, tau] in the order
and with the conventions of PySCF (tau = 1/2 sum |grad phi|^2); v = dE/drho with quadrature weights included.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dixc.functionals.base import GridPoints

NVAR = {"LDA": 1, "GGA": 4, "MGGA": 5}
BLOCK_POINTS = 4096


class AOGrid:
    """Atomic orbitals of a molecule on grid points, evaluated in blocks and kept if they fit in memory.

    Args:
        mol: PySCF molecule.
        coords: points (N, 3), bohr.
        weights: quadrature weights (N,), bohr^3.
        xctype: "LDA", "GGA" or "MGGA": decides which orbital derivatives and which rows exist.
        max_cache_mb: orbitals are kept between calls if they need less than this, else evaluated again.
        device: torch device of all grid arrays.
        dtype: of orbitals and all work on them; float32 halves time and memory and leaves about six digits. Rows and
            matrices are float64 either way.
    """

    def __init__(
        self,
        mol,
        coords: NDArray,
        weights: NDArray,
        xctype: str = "MGGA",
        max_cache_mb: float = 2000.0,
        device: str | torch.device = "cpu",
        dtype: torch.dtype = torch.float64,
    ):
        self.mol, self.xctype, self.device, self.dtype = mol, xctype, torch.device(device), dtype
        self.nvar = NVAR[xctype]
        self.coords = np.asarray(coords)
        self.n_points = len(self.coords)
        self.points = GridPoints(
            torch.as_tensor(np.asarray(weights), device=self.device),
            torch.as_tensor(self.coords, device=self.device),
            torch.as_tensor(mol.atom_coords(), device=self.device),
            torch.as_tensor(mol.atom_charges(), dtype=torch.float64, device=self.device),
        )
        n_comp = 1 if xctype == "LDA" else 4
        self._keep = n_comp * mol.nao * self.n_points * dtype.itemsize * 1e-6 <= max_cache_mb
        self._cache: list[Tensor] = []

    def _evaluate(self, points: slice) -> Tensor:
        kind = "cart" if self.mol.cart else "sph"
        if self.xctype == "LDA":
            ao = self.mol.eval_gto(f"GTOval_{kind}", self.coords[points])[None]
        else:
            ao = self.mol.eval_gto(f"GTOval_{kind}_deriv1", self.coords[points])
        # PySCF returns a transposed view of (component, orbital, point), the layout that is wanted here
        rows = torch.from_numpy(ao.transpose(0, 2, 1))
        return rows.contiguous().to(self.device, self.dtype)

    def blocks(self) -> Iterator[tuple[slice, Tensor]]:
        """Blocks of points with their orbitals (1 or 4, nao, n_block): value, then x, y, z derivatives."""
        for index, start in enumerate(range(0, self.n_points, BLOCK_POINTS)):
            points = slice(start, min(start + BLOCK_POINTS, self.n_points))
            if index < len(self._cache):
                yield points, self._cache[index]
                continue
            ao = self._evaluate(points)
            if self._keep:
                self._cache.append(ao)
            yield points, ao

    def tensor(self, array: NDArray | Tensor) -> Tensor:
        """A tensor of the grid's precision, on its device."""
        return torch.as_tensor(array, dtype=self.dtype, device=self.device)

    def _rows(self, batch: tuple[int, ...]) -> Tensor:
        return torch.empty(*batch, self.nvar, self.n_points, dtype=torch.float64, device=self.device)

    def density(self, dm: NDArray | Tensor) -> Tensor:
        """Density rows (..., nvar, N) of symmetric density matrices (..., nao, nao)."""
        dm = self.tensor(dm)
        rho = self._rows(dm.shape[:-2])
        for points, ao in self.blocks():
            half = dm @ ao[0]
            rho[..., 0, points] = (half * ao[0]).sum(-2)
            for k in range(1, min(self.nvar, 4)):
                rho[..., k, points] = 2 * (half * ao[k]).sum(-2)
            if self.nvar == 5:
                rho[..., 4, points] = 0.5 * sum(((dm @ ao[k]) * ao[k]).sum(-2) for k in (1, 2, 3))
        return rho

    def density_of_pairs(self, left: NDArray | Tensor, right: NDArray | Tensor) -> Tensor:
        """Density rows (..., nvar, N) of left right^T + right left^T, for left (..., nao, m) and right (nao, m).

        With left = right = C_occ this is the density of 2 C_occ C_occ^T; cost N nao m instead of N nao^2.
        """
        same = left is right
        left, right = self.tensor(left), self.tensor(right)
        batch, m = left.shape[:-2], left.shape[-1]
        columns = (
            left.reshape(batch.numel(), *left.shape[-2:])
            .transpose(0, 1)
            .reshape(left.shape[-2], batch.numel() * m)
        )
        rho = self._rows(batch)
        for points, ao in self.blocks():
            phi_r = right.T @ ao
            phi_l = phi_r if same else (columns.T @ ao).reshape(ao.shape[0], *batch, m, ao.shape[-1])
            rho[..., 0, points] = 2 * (phi_l[0] * phi_r[0]).sum(-2)
            for k in range(1, min(self.nvar, 4)):
                rho[..., k, points] = 2 * (phi_l[k] * phi_r[0] + phi_l[0] * phi_r[k]).sum(-2)
            if self.nvar == 5:
                rho[..., 4, points] = sum((phi_l[k] * phi_r[k]).sum(-2) for k in (1, 2, 3))
        return rho

    def potential_matrix(self, v: Tensor) -> NDArray:
        """Symmetric matrices V (..., nao, nao), hartree, with Tr(V D) = sum_g v . rho[D]; v (..., nvar, N)."""
        matrix = v.new_zeros(*v.shape[:-2], self.mol.nao, self.mol.nao)
        for points, ao in self.blocks():
            vb = v[..., points].to(self.dtype)
            half = 0.5 * vb[..., 0:1, :] * ao[0]
            for k in range(1, min(self.nvar, 4)):
                half += vb[..., k : k + 1, :] * ao[k]
            matrix += half @ ao[0].T
            if self.nvar == 5:
                for k in (1, 2, 3):
                    matrix += (0.25 * vb[..., 4:5, :] * ao[k]) @ ao[k].T
        return (matrix + matrix.mT).cpu().numpy()

    def potential_on_orbitals(self, v: Tensor, orbitals: NDArray | Tensor) -> NDArray:
        """V[v] @ orbitals, shape (..., nao, m), without building V; v (..., nvar, N), orbitals (nao, m)."""
        orbitals = self.tensor(orbitals)
        result = v.new_zeros(*v.shape[:-2], *orbitals.shape)
        for points, ao in self.blocks():
            vb = v[..., points].to(self.dtype)
            phi = orbitals.T @ ao
            value = vb[..., 0:1, :] * phi[0]
            for k in range(1, min(self.nvar, 4)):
                value = value + vb[..., k : k + 1, :] * phi[k]
            result += (value @ ao[0].T).mT
            for k in range(1, min(self.nvar, 4)):
                slope = vb[..., k : k + 1, :] * phi[0]
                if self.nvar == 5:
                    slope = slope + 0.5 * vb[..., 4:5, :] * phi[k]
                result += (slope @ ao[k].T).mT
        return result.cpu().numpy()

"""Atomic orbitals on a quadrature grid, and the two linear maps between density matrices and grid functions.

The map D -> rho (density, its gradient, kinetic energy density) is linear; its adjoint takes grid functions back to
matrices. Everything that dixc differentiates passes through this pair, so no graph over orbitals is ever built.

Points are taken in blocks that fit a core's cache (larger ones on a GPU, which wants much work at once). PySCF hands
them out sorted in space, so that a block has orbitals that vanish on all of it: they are left out of every product
(`NEGLIGIBLE`).

Symbols: N points, nao atomic orbitals, nvar = 1 (LDA), 4 (GGA), 5 (meta-GGA) rows [n, n_x, n_y, n_z, tau] in the order
and with the conventions of PySCF (tau = 1/2 sum |grad phi|^2); v = dE/drho with quadrature weights included.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import torch
from pyscf.gto import Mole
from torch import Tensor

from dixc.core.arrays import Array
from dixc.functionals.base import GridPoints

NVAR = {"LDA": 1, "GGA": 4, "MGGA": 5}
BLOCK_POINTS = {"cpu": 1024, "cuda": 65_536}
NEGLIGIBLE_ELECTRONS = 1e-8  # of a grid point; a quarter of the points, together some microhartree
# an orbital is left out of a block where |phi| and |grad phi| times sqrt(weight) stay below this
NEGLIGIBLE = {torch.float64: 1e-10, torch.float32: 1e-7}


@dataclass(frozen=True)
class Block:
    """Some points and the orbitals that count there.

    Attributes:
        points: slice of the grid.
        rows: indices of the orbitals kept, (n_kept,).
        ao: their values, then x, y, z derivatives, (1 or 4, n_kept, n_block).
    """

    points: slice
    rows: Tensor
    ao: Tensor


@dataclass
class OrbitalValues:
    """Molecular orbitals and, once they were needed, their values on a grid (see `AOGrid.values`).

    Attributes:
        coeff: (nao, m).
        blocks: values and derivatives (1 or 4, m, n_block) block by block.
    """

    coeff: Tensor
    blocks: list[Tensor] = field(default_factory=list)


Orbitals = Array | Tensor | OrbitalValues


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
        mol: Mole,
        coords: Array,
        weights: Array,
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
        self._cache: list[Block] = []

    def for_xctype(self, xctype: str) -> AOGrid:
        """This grid for other density rows; with the same orbitals where these have the derivatives for it."""
        if xctype == self.xctype:
            return self
        other = copy.copy(self)
        other.xctype, other.nvar = xctype, NVAR[xctype]
        if "LDA" in (xctype, self.xctype):
            other._cache = []
        return other

    def _evaluate(self, points: slice) -> Block:
        kind = "cart" if self.mol.cart else "sph"
        if self.xctype == "LDA":
            ao = self.mol.eval_gto(f"GTOval_{kind}", self.coords[points])[None]
        else:
            ao = self.mol.eval_gto(f"GTOval_{kind}_deriv1", self.coords[points])
        # PySCF returns a transposed view of (component, orbital, point), the layout that is wanted here
        ao = torch.from_numpy(ao.transpose(0, 2, 1)).to(self.device)
        # without a copy of all components, as abs would make
        largest = torch.maximum(ao.amax(0), -ao.amin(0))
        weighted = largest * self.points.weights[points].abs().sqrt()
        rows = torch.nonzero(weighted.amax(1) > NEGLIGIBLE[self.dtype]).ravel()
        return Block(points, rows, ao[:, rows].to(self.dtype).contiguous())

    def blocks(self) -> Iterator[Block]:
        """All points, block by block."""
        size = BLOCK_POINTS[self.device.type]
        for index, start in enumerate(range(0, self.n_points, size)):
            if index < len(self._cache):
                yield self._cache[index]
                continue
            block = self._evaluate(slice(start, min(start + size, self.n_points)))
            if self._keep:
                self._cache.append(block)
            yield block

    def tensor(self, array: Array | Tensor) -> Tensor:
        """A tensor of the grid's precision, on its device."""
        return torch.as_tensor(array, dtype=self.dtype, device=self.device)

    def values(self, orbitals: Array | Tensor) -> OrbitalValues:
        """Orbitals (nao, m) for several calls of the maps below: their values on the grid are computed only once."""
        return OrbitalValues(self.tensor(orbitals))

    def _with_values(self, orbitals: Orbitals) -> Iterator[tuple[Block, Tensor]]:
        """Every block with the values (1 or 4, m, n_block) of some orbitals."""
        with_values = orbitals if isinstance(orbitals, OrbitalValues) else self.values(orbitals)
        for index, block in enumerate(self.blocks()):
            if index < len(with_values.blocks):
                yield block, with_values.blocks[index]
                continue
            phi = with_values.coeff[block.rows].T @ block.ao
            if self._keep and with_values is orbitals:
                with_values.blocks.append(phi)
            yield block, phi

    def _rows(self, batch: tuple[int, ...]) -> Tensor:
        return torch.empty(*batch, self.nvar, self.n_points, dtype=torch.float64, device=self.device)

    def density(self, dm: Array | Tensor) -> Tensor:
        """Density rows (..., nvar, N) of symmetric density matrices (..., nao, nao)."""
        dm = self.tensor(dm)
        rho = self._rows(dm.shape[:-2])
        for block in self.blocks():
            points, ao, kept = block.points, block.ao, dm[..., block.rows[:, None], block.rows]
            half = kept @ ao[0]
            rho[..., 0, points] = (half * ao[0]).sum(-2)
            for k in range(1, min(self.nvar, 4)):
                rho[..., k, points] = 2 * (half * ao[k]).sum(-2)
            if self.nvar == 5:
                rho[..., 4, points] = 0.5 * sum(((kept @ ao[k]) * ao[k]).sum(-2) for k in (1, 2, 3))
        return rho

    def density_of_orbitals(self, orbitals: Orbitals) -> Tensor:
        """Density rows (nvar, N) of 2 C C^T for orbitals C (nao, m); cost N nao m instead of N nao^2."""
        rho = self._rows(())
        for block, phi in self._with_values(orbitals):
            rho[: min(self.nvar, 4), block.points] = 4 * (phi[: self.nvar] * phi[0]).sum(-2).double()
            rho[0, block.points] /= 2
            if self.nvar == 5:
                rho[4, block.points] = phi[1:].square().sum((0, 1)).double()
        return rho

    def density_of_pairs(self, left: Array | Tensor, right: Orbitals) -> Tensor:
        """Density rows (..., nvar, N) of left right^T + right left^T, for left (..., nao, m) and right (nao, m)."""
        left = self.tensor(left)
        batch, (nao, m) = left.shape[:-2], left.shape[-2:]
        columns = left.reshape(batch.numel(), nao, m).transpose(0, 1).reshape(nao, batch.numel() * m)
        rho = self._rows(batch)
        for block, phi_r in self._with_values(right):
            points = block.points
            phi_l = (columns[block.rows].T @ block.ao).reshape(len(phi_r), *batch, m, -1)
            rho[..., 0, points] = 2 * (phi_l[0] * phi_r[0]).sum(-2).double()
            for k in range(1, min(self.nvar, 4)):
                rho[..., k, points] = 2 * (phi_l[k] * phi_r[0] + phi_l[0] * phi_r[k]).sum(-2).double()
            if self.nvar == 5:
                tau = sum((phi_l[k] * phi_r[k]).sum(-2) for k in (1, 2, 3))
                rho[..., 4, points] = torch.as_tensor(tau).double()
        return rho

    def potential_matrix(self, v: Tensor) -> Array:
        """Symmetric matrices V (..., nao, nao), hartree, with Tr(V D) = sum_g v . rho[D]; v (..., nvar, N)."""
        matrix = torch.zeros(
            *v.shape[:-2], self.mol.nao, self.mol.nao, dtype=torch.float64, device=self.device
        )
        for block in self.blocks():
            vb, ao = v[..., block.points].to(self.dtype), block.ao
            half = 0.5 * vb[..., 0:1, :] * ao[0]
            for k in range(1, min(self.nvar, 4)):
                half += vb[..., k : k + 1, :] * ao[k]
            matrix_block = half @ ao[0].T
            if self.nvar == 5:
                for k in (1, 2, 3):
                    matrix_block += (0.25 * vb[..., 4:5, :] * ao[k]) @ ao[k].T
            matrix[..., block.rows[:, None], block.rows] += matrix_block
        return (matrix + matrix.mT).cpu().numpy()

    def potential_on_orbitals(self, v: Tensor, orbitals: Orbitals) -> Array:
        """V[v] @ orbitals, shape (..., nao, m), without building V; v (..., nvar, N), orbitals (nao, m)."""
        m = (orbitals.coeff if isinstance(orbitals, OrbitalValues) else orbitals).shape[-1]
        result = torch.zeros(*v.shape[:-2], self.mol.nao, m, dtype=torch.float64, device=self.device)
        for block, phi in self._with_values(orbitals):
            vb, ao = v[..., block.points].to(self.dtype), block.ao
            value = vb[..., 0:1, :] * phi[0]
            for k in range(1, min(self.nvar, 4)):
                value = value + vb[..., k : k + 1, :] * phi[k]
            on_orbitals = value @ ao[0].T
            for k in range(1, min(self.nvar, 4)):
                slope = vb[..., k : k + 1, :] * phi[0]
                if self.nvar == 5:
                    slope = slope + 0.5 * vb[..., 4:5, :] * phi[k]
                on_orbitals += slope @ ao[k].T
            result[..., block.rows, :] += on_orbitals.mT
        return result.cpu().numpy()

"""What EG-XC needs of points and nuclei: basis functions on the grid and the edges between nuclei. No density in here.

With d the distance in bohr and c the cut-off, the basis around nucleus a is
    B_akm(r) = share_a(r) u(d/c) R_k(d/c) Y_m(r - r_a),      R = sqrt(2) (0.1, sin(n pi d/c), cos(n pi d/c))
where u goes from 1 to 0 at the cut-off with two continuous derivatives and the shares are a partition of unity among
the nuclei in reach. Only pairs (nucleus, point) in reach are kept.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from e3nn import o3
from torch import Tensor

from dixc.functionals.base import GridPoints

BOHR_IN_ANGSTROM = 0.529177210903
PARTITIONS = ("gaussian", "exponential", "none")
NEGLIGIBLE = 1e-12  # shares below are rounding in the features
SOFT_RADIUS = 0.1  # bohr; angular functions vanish smoothly at the nucleus, where a direction is none


@dataclass(frozen=True)
class Reach:
    """Extent and resolution of the basis and the graph.

    Attributes:
        l_max: highest angular momentum.
        n_radial: frequencies n of sine and cosine on the grid; 2 n_radial + 1 radial functions.
        cutoff: of the basis on the grid, bohr.
        partition: how nuclei share a point, one of `PARTITIONS`.
        partition_width: decay length of a nucleus' claim, bohr.
        n_message_radial: sines of the distance between nuclei.
        message_cutoff: longest edge, bohr.
    """

    l_max: int
    n_radial: int
    cutoff: float
    partition: str
    partition_width: float
    n_message_radial: int
    message_cutoff: float


@dataclass(frozen=True)
class Geometry:
    """Constants of one molecule and grid; P pairs (nucleus, point) sorted by nucleus, E directed edges.

    Points run last: matrix products with some dozens of functions are three times faster that way.

    Attributes:
        points: grid point of each pair (P,).
        radial: share, envelope and radial functions, one (2 n_radial + 1, pairs) a nucleus.
        angular: real spherical harmonics, Y_00 = 1, one ((l_max + 1)^2, pairs) a nucleus.
        senders, receivers: nuclei of each edge (E,).
        edge_radial: sines of the distance (E, n_message_radial).
        edge_envelope: (E, 1).
        edge_angular: spherical harmonics of the direction (E, (l_max + 1)^2).
    """

    points: Tensor
    radial: list[Tensor]
    angular: list[Tensor]
    senders: Tensor
    receivers: Tensor
    edge_radial: Tensor
    edge_envelope: Tensor
    edge_angular: Tensor


def envelope(t: Tensor) -> Tensor:
    """From 1 (t = 0, flat to fifth order) to 0 (t >= 1) with two continuous derivatives."""
    t = t.clamp(max=1.0)
    return 1 - t**6 * (28 - 48 * t + 21 * t * t)


def shares(distance: Tensor, reach: Reach) -> Tensor:
    """Part of each point (A, N) that belongs to each nucleus: sums to 1 over the nuclei in reach, 0 out of reach."""
    u = envelope(distance / reach.cutoff)
    if reach.partition == "none":
        return (u > 0).to(u.dtype)
    scaled = distance / reach.partition_width
    decay = scaled if reach.partition == "exponential" else 0.5 * scaled.square()
    # relative to the nearest nucleus, so that no point has only vanishing claims
    claim = torch.exp(decay.amin(0) - decay) * u
    total = claim.sum(0)
    return claim / torch.where(total > 0, total, 1.0)


def _harmonics(l_max: int, vectors: Tensor) -> Tensor:
    irreps = o3.Irreps.spherical_harmonics(l_max)
    return o3.spherical_harmonics(irreps, vectors, normalize=False, normalization="norm")


def _radial(t: Tensor, count: int) -> Tensor:
    phase = math.pi * t[:, None] * torch.arange(1, count + 1, dtype=t.dtype, device=t.device)
    constant = torch.full_like(t[:, None], 0.1)
    return math.sqrt(2) * torch.cat([constant, phase.sin(), phase.cos()], dim=1)


def build(grid: GridPoints, reach: Reach, dtype: torch.dtype) -> Geometry:
    """Basis and edges in `dtype`, computed in double precision.

    Raises:
        ValueError: a grid without coordinates or nuclei.
    """
    if grid.coords is None or grid.atom_coords is None:
        raise ValueError("EG-XC needs the coordinates of points and nuclei, not weights alone")
    nuclei = grid.atom_coords.double()
    if grid.atom_charges is not None:
        nuclei = nuclei[grid.atom_charges > 0]  # a ghost atom is a set of orbitals, not a node
    distance = torch.cdist(nuclei, grid.coords.double(), compute_mode="donot_use_mm_for_euclid_dist")
    share = shares(distance, reach)
    atoms, points = torch.nonzero((share > NEGLIGIBLE) & (distance < reach.cutoff), as_tuple=True)
    d = distance[atoms, points]
    vectors = grid.coords.double()[points] - nuclei[atoms]
    t = d / reach.cutoff
    radial = _radial(t, reach.n_radial) * (share[atoms, points] * envelope(t))[:, None]
    soft = torch.sqrt(d.square() + SOFT_RADIUS**2)[:, None]
    angular = _harmonics(reach.l_max, vectors / soft)
    counts = torch.bincount(atoms, minlength=len(nuclei)).tolist()

    def by_nucleus(values: Tensor) -> list[Tensor]:
        return [block.T.to(dtype).contiguous() for block in values.split(counts)]

    return Geometry(points, by_nucleus(radial), by_nucleus(angular), *_edges(nuclei, reach, dtype))


def _edges(nuclei: Tensor, reach: Reach, dtype: torch.dtype) -> tuple[Tensor, ...]:
    between = torch.cdist(nuclei, nuclei, compute_mode="donot_use_mm_for_euclid_dist")
    close = (between < reach.message_cutoff) & ~torch.eye(len(nuclei), dtype=torch.bool, device=nuclei.device)
    senders, receivers = torch.nonzero(close, as_tuple=True)
    t = (between[senders, receivers] / reach.message_cutoff)[:, None]
    frequency = torch.arange(1, reach.n_message_radial + 1, dtype=t.dtype, device=t.device)
    direction = (nuclei[receivers] - nuclei[senders]) / (t * reach.message_cutoff)
    floats = (torch.sin(math.pi * t * frequency), envelope(t), _harmonics(reach.l_max, direction))
    return senders, receivers, *(f.to(dtype) for f in floats)

"""Derivatives of the reference at its own density, as the loss terms use them: Hessian, probes, singlets, metrics."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import scipy.linalg

from dixc.core.arrays import Array
from dixc.errors import InputError
from dixc.reference.packing import unpack

STATE_NAMES = ("tddft_energies", "tddft_amplitudes", "tddft_conjugates")
HESSIAN_NAMES = ("a_plus_b", "probes", "hessian_probes")  # the first, or the other two
DERIVATIVE_NAMES = (*HESSIAN_NAMES, *STATE_NAMES)  # what the loss terms use


class Singlets(NamedTuple):
    """Lowest singlets of the reference, (X+Y)^T (X-Y) = 1.

    Attributes:
        energies: (n,), hartree.
        sums: X + Y, (n, n_vir, n_occ).
        differences: X - Y, likewise.
    """

    energies: Array
    sums: Array
    differences: Array


class ReferenceDerivatives:
    """Datasets of the derivative stage of one molecule.

    Args:
        name: of the molecule, for messages.
        datasets: by name; none, or those of `DERIVATIVE_NAMES`.
        diagonal: D = 4 (e_a - e_i), (n_vir, n_occ), hartree.
    """

    def __init__(self, name: str, datasets: Mapping[str, Array], diagonal: Array):
        self.name, self.datasets, self.diagonal = name, datasets, diagonal
        self._hessian: Array | None = None
        self._factor: Array | None = None
        self._singlets: Singlets | None = None

    def drop(self) -> None:
        """Forget what can be made again from the datasets."""
        self._hessian = self._factor = self._singlets = None

    @property
    def is_dense(self) -> bool:
        """Whether the whole Hessian is known."""
        return "a_plus_b" in self.datasets

    @property
    def hessian(self) -> Array | None:
        """Dense reference Hessian 4 (A + B) over pairs, hartree; None above the dense size."""
        if self._hessian is None and self.is_dense:
            self._hessian = 4 * unpack(self.datasets["a_plus_b"])
        return self._hessian

    def _cholesky(self) -> Array:
        """Lower Cholesky factor of the dense Hessian; what is above its diagonal means nothing."""
        if self._factor is None:
            self._factor = scipy.linalg.cho_factor(self.hessian, lower=True)[0]
        return self._factor

    def metric_root(self, vectors: Array, metric: str, transposed: bool = False) -> Array:
        """R v (or R^T v) for vectors (..., n_vir, n_occ), where R^T R = M is that of the gradient loss 1/2 g^T M g.

        "inverse_hessian" (where the molecule has a dense Hessian, else its diagonal) and "diagonal" give a loss in
        hartree that estimates E_rho; "plain" has M = 1.
        """
        if metric == "plain":
            return vectors
        if metric == "inverse_hessian" and self.is_dense:
            flat = vectors.reshape(-1, self.diagonal.size).T
            root = scipy.linalg.solve_triangular(
                self._cholesky(), flat, lower=True, trans="T" if transposed else "N", check_finite=False
            )
            return np.ascontiguousarray(root.T).reshape(vectors.shape)
        return vectors / np.sqrt(self.diagonal)

    def probes(self, count: int, metric: str, rng: np.random.Generator) -> tuple[Array, Array]:
        """Probe directions v and reference products H_ref v, each (count, n_vir, n_occ).

        Fresh D^-1/2 z (or plain z) where the Hessian is dense; a fresh choice of the stored ones elsewhere.
        """
        hessian = self.hessian
        if hessian is None:
            stored = self.datasets["probes"]
            numbers = rng.choice(len(stored), size=min(count, len(stored)), replace=False)
            probes, products = (a[numbers].astype(float) for a in (stored, self.datasets["hessian_probes"]))
            scale = 1.0 if metric == "diagonal" else np.sqrt(self.diagonal.mean())
            return probes * scale, products * scale
        probes = rng.standard_normal((count, *self.diagonal.shape))
        if metric == "diagonal":
            probes /= np.sqrt(self.diagonal)
        products = probes.reshape(count, -1) @ hessian
        return probes, products.reshape(probes.shape)

    @property
    def singlets(self) -> Singlets:
        """The lowest singlets that the derivative stage found.

        Their amplitudes are rounded to float32; scaled anew, they give the reference's energies to a microhartree.

        Raises:
            InputError: its derivatives have none.
        """
        if self._singlets is None:
            if not set(STATE_NAMES) <= set(self.datasets):
                raise InputError(
                    f"{self.name}: its derivatives have no amplitudes of excitations "
                    "(an older dixc made them: run the stage again, or set training.excitation.weight to 0)"
                )
            energies, sums, differences = (self.datasets[name].astype(float) for name in STATE_NAMES)
            scale = np.sqrt(np.einsum("kai,kai->k", sums, differences))[:, None, None]
            self._singlets = Singlets(energies, sums / scale, differences / scale)
        return self._singlets

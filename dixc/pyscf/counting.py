"""Counting Fock builds, and sharing what two mean fields of a molecule need only once."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pyscf.scf.hf import SCF


class FockBuildCounter:
    """Counts every Fock build of a mean field, inside and outside of PySCF's iteration counter.

    It puts a `get_veff` on the object, which `dixc.pyscf.accelerate` goes on calling.

    Attributes:
        count: builds so far.
        seconds: wall-clock of all of them.
    """

    def __init__(self, mf: SCF):
        self.count, self.seconds = 0, 0.0
        get_veff = mf.get_veff

        def counted(*args: Any, **kwargs: Any) -> Any:
            start = time.perf_counter()
            veff = get_veff(*args, **kwargs)
            self.seconds += time.perf_counter() - start
            self.count += 1
            return veff

        mf.get_veff = counted


def share_integrals(mf: SCF, like: SCF) -> None:
    """Hand over integrals, grid, and orbitals on it, from a mean field of the same molecule.

    The basis is the same too.
    """
    mf._eri = like._eri
    if hasattr(mf, "grids") and hasattr(like, "grids"):
        mf.grids = like.grids
        mf._numint.share(like._numint)

"""The reference SCF of one molecule from different starts: its rows of the warm-start table."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from pyscf import lib

from dixc.config.evaluation import EvaluationScf
from dixc.evaluation.history import History, warm_start_row
from dixc.evaluation.scf import reference_to_run
from dixc.functionals.base import Functional
from dixc.reference.record import ReferenceRecord

if TYPE_CHECKING:
    import h5py
    from pyscf.scf.hf import RHF


def guess_row(
    record: ReferenceRecord, guess: str, dm0: NDArray | None, settings: EvaluationScf
) -> tuple[dict[str, Any], RHF]:
    """Row of the reference SCF from a density matrix or PySCF's guess, and its mean field.

    Args:
        guess: the word of the column.
    """
    mf, builds = reference_to_run(record, settings)
    mf.callback = history = History()
    start = time.perf_counter()
    mf.kernel(dm0=dm0)
    wall_s = time.perf_counter() - start
    return warm_start_row(record, mf, guess, history, builds.count, wall_s), mf


def density_rows(
    record: ReferenceRecord, solution: h5py.Group, settings: EvaluationScf, accelerator: Functional | None
) -> list[dict[str, Any]]:
    """Warm start from the density in a group of an SCF chunk.

    The cheap SCF counts towards the total time.

    With an accelerator, a row of the SCF accelerated by it as well.
    """
    mo_coeff, mo_occ = np.array(solution["mo_coeff"]), np.array(solution["mo_occ"])
    dm = lib.tag_array((mo_coeff * mo_occ) @ mo_coeff.T, mo_coeff=mo_coeff, mo_occ=mo_occ)
    row, mf = guess_row(record, "density", dm, settings)
    row["cheap_fock_builds"] = int(solution.attrs["fock_builds"])
    row["wall_total_s"] += float(solution.attrs["wall_s"])
    row["converged"] &= bool(solution.attrs["converged"])
    return [row] if accelerator is None else [row, accelerated_row(record, accelerator, settings, like=mf)]


def accelerated_row(
    record: ReferenceRecord,
    functional: Functional,
    settings: EvaluationScf,
    like: RHF | None = None,
    **acceleration: Any,
) -> dict[str, Any]:
    """Row of the reference SCF accelerated by a functional.

    Args:
        like: a mean field of the same molecule, whose integrals and grid need not be made again.
        **acceleration: see `dixc.pyscf.Acceleration`.

    Returns:
        Columns of the warm-start table; wall_s leaves out the cheap functional's own SCF,
        wall_total_s nothing.
    """
    import dixc.pyscf

    mf, builds = reference_to_run(record, settings, like)
    start = time.perf_counter()
    mf = dixc.pyscf.accelerate(mf, xc=functional, **acceleration)
    mf.callback = history = History()
    mf.kernel()
    wall_s = time.perf_counter() - start
    cheap = mf.cheap_fock_builds, mf.cheap_scf_wall_s
    columns = warm_start_row(record, mf, "accelerate", history, builds.count, wall_s, cheap)
    return columns | build_errors(mf, record.e_tot)


def build_errors(mf: RHF, e_ref: float) -> dict[str, float]:
    """Errors of the energies that the first builds of an accelerated SCF foretell, microhartree.

    A build that converges foretells its own energy. NaN where there was no such build, or nothing
    to be foretold.

    Args:
        e_ref: the true energy, hartree.
    """
    energies = list(mf.energy_minima)
    if mf.converged and not mf.accelerated_by_diis:
        energies += [mf.e_tot] * (mf.hybrid_fock_builds - len(energies))
    errors = [1e6 * (energy - e_ref) if np.isfinite(energy) else np.nan for energy in energies]
    first, second, *_ = [*errors, np.nan, np.nan]
    return {"one_build_error_uEh": first, "two_build_error_uEh": second}

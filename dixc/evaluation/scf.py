"""SCF of a functional on one molecule, and its errors against the reference.

Test molecules start from PySCF's default guess, as a user's do. Of the others only the solution is
wanted (above all the energies that the energy of each element is fitted to): they start from the
reference density.

All metrics are taken at the functional's own density P*. E_rho = E_ref[P*] - E_ref[P_ref] >= 0 is
the density error measured by the reference method itself.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from pyscf import lib

from dixc.config.evaluation import EvaluationScf
from dixc.core.integrals import FittedIntegrals, on_fitted_integrals
from dixc.core.orbitals import split_orbitals
from dixc.evaluation import history
from dixc.functionals.base import Functional
from dixc.models import shipped
from dixc.pyscf.counting import FockBuildCounter, share_integrals
from dixc.pyscf.exchange import exchange_fraction
from dixc.reference.record import ReferenceRecord

if TYPE_CHECKING:
    from pyscf.scf.hf import RHF

ENERGY_ENOUGH = 1e-7  # hartree between two cycles, where only energies are wanted
UNITS = {"atomic_numbers": "1", "mo_coeff": "1", "mo_occ": "1", "mo_energy": "hartree"} | history.UNITS


def label(functional: Functional, name: str) -> dict[str, str | int]:
    """The columns model, loss, seed of a functional given by registry name or model file.

    A shipped model stands under its own name, as a baseline does: it was not trained in this run.
    """
    if name in shipped():
        return {"model": name, "loss": "none", "seed": 0}
    metadata = functional.metadata
    return {
        "model": metadata.get("model", name),
        "loss": metadata.get("loss", "none"),
        "seed": int(metadata.get("seed", 0)),
    }


def evaluate(
    record: ReferenceRecord, xc: Functional, settings: EvaluationScf
) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
    """Orbitals and metrics of one molecule.

    Those of an SCF that did not converge are kept beside converged = False.

    Returns:
        Datasets (names and units in `UNITS`) and attributes of the molecule's group in an SCF
        chunk.
    """
    mf, reference = _mean_fields(record, xc)
    mf.conv_tol, mf.max_cycle = settings.conv_tol, settings.max_cycle
    builds = FockBuildCounter(mf)
    mf.callback = cycles = history.History()
    start = time.perf_counter()
    if record.split == "test":
        mf.kernel()
    else:
        _solve_from_reference(mf, record)
    wall_s = time.perf_counter() - start
    dm = mf.make_rdm1()
    share_integrals(reference, mf)
    attributes = {
        "n_heavy": record.n_heavy,
        "split": record.split,
        "converged": bool(mf.converged),
        "cycles": int(mf.cycles),
        "fock_builds": builds.count,
        "wall_s": wall_s,
        "e_tot_error_mEh": 1000 * (mf.e_tot - record.e_tot),
        "e_rho_mEh": 1000 * (reference.energy_tot(dm=dm) - record.e_tot),
        "dipole_error_debye": float(np.linalg.norm(mf.dip_moment(unit="Debye", verbose=0) - record.dipole)),
        "l2_density": _l2_density(record, mf),
    }
    arrays = {
        "atomic_numbers": record.atomic_numbers,
        "mo_coeff": mf.mo_coeff,
        "mo_occ": mf.mo_occ,
        "mo_energy": mf.mo_energy,
        **cycles.arrays(),
    }
    errors = f", energy {attributes['e_tot_error_mEh']:+.3f} mEh off, E_rho {attributes['e_rho_mEh']:.3f} mEh"
    history.log_scf(record.name, attributes, cycles, "fock_builds", errors)
    return arrays, attributes


def reference_to_run(
    record: ReferenceRecord, settings: EvaluationScf, like: RHF | None = None
) -> tuple[RHF, FockBuildCounter]:
    """The reference mean field with the evaluation's thresholds, and the counter of its builds.

    Its grid is built.

    Args:
        like: a mean field of the same molecule, whose integrals and grid need not be made again.
    """
    mf = record.mean_field()
    mf.conv_tol, mf.conv_tol_grad, mf.max_cycle = settings.conv_tol, None, settings.max_cycle
    if like is not None:
        share_integrals(mf, like)
    if hasattr(mf, "grids"):  # Hartree-Fock has none
        mf.grids.build()
    return mf, FockBuildCounter(mf)


def _mean_fields(record: ReferenceRecord, xc: Functional) -> tuple[RHF, RHF]:
    """Mean fields of the functional and of the reference.

    They have fitted integrals, but for test molecules.
    """
    mf, reference = record.mean_field(xc), record.mean_field()
    if record.split == "test":
        return mf, reference
    integrals = FittedIntegrals(record.mol)

    def fitted(mf: RHF) -> RHF:
        correction = record.fitting_correction(exchange_fraction(mf))
        return on_fitted_integrals(mf, integrals, *correction)

    return fitted(mf), fitted(reference)


def _solve_from_reference(mf: RHF, record: ReferenceRecord) -> None:
    """SCF from the reference density, from PySCF's guess if that fails, to `ENERGY_ENOUGH`."""
    mf.conv_tol, mf.conv_check = max(mf.conv_tol, ENERGY_ENOUGH), False
    mf.kernel(dm0=lib.tag_array(record.dm, mo_coeff=record.mo_coeff, mo_occ=record.mo_occ))
    if not mf.converged:
        mf.kernel(dm0=mf.get_init_guess())


def _l2_density(record: ReferenceRecord, mf: RHF) -> float:
    """sqrt(int (rho - rho_ref)^2) / N_electrons on the grid of a mean field, bohr^-3/2."""
    grid = mf._numint.ao_grid(mf.mol, mf.grids, mf.functional.xctype)
    density, reference = (
        grid.density_of_orbitals(split_orbitals(orbitals, occupations)[0])[0]
        for orbitals, occupations in ((mf.mo_coeff, mf.mo_occ), (record.mo_coeff, record.mo_occ))
    )
    difference = density - reference
    return float((grid.points.weights @ difference**2).sqrt()) / record.n_electrons

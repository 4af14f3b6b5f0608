"""How an SCF went, cycle by cycle: recorded by the stages that run one, shown by the report and in logs."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

UNITS = {"scf_energies": "hartree", "scf_gradients": "hartree"}
logger = logging.getLogger(__name__)


class History:
    """Callback of a PySCF SCF that keeps total energy and norm of the orbital gradient of every cycle, hartree.

    Attributes:
        energies, gradients: one number a cycle.
    """

    def __init__(self) -> None:
        self.energies: list[float] = []
        self.gradients: list[float] = []

    def __call__(self, state: Mapping[str, Any]) -> None:
        self.energies.append(float(state["e_tot"]))
        self.gradients.append(float(state.get("norm_gorb", np.nan)))

    def arrays(self) -> dict[str, NDArray]:
        """As datasets of a chunk, names and units in `UNITS`."""
        return {"scf_energies": np.array(self.energies), "scf_gradients": np.array(self.gradients)}

    def columns(self) -> dict[str, str]:
        """The same as text for a CSV part: numbers with spaces between them."""
        return {name: " ".join(f"{value:.10g}" for value in values) for name, values in self.arrays().items()}

    def lines(self) -> str:
        """A line a cycle, for a log."""
        return "\n".join(
            f"  cycle {cycle:3d}  E = {energy:.8f} Eh  |g| = {gradient:.2e} Eh"
            for cycle, (energy, gradient) in enumerate(
                zip(self.energies, self.gradients, strict=True), start=1
            )
        )


def log_scf(name: str, row: Mapping[str, Any], history: History, builds: str, errors: str = "") -> None:
    """A line of the log about one SCF; all its cycles if it did not converge.

    Args:
        row: converged, cycles, wall_s, and what `builds` names.
        builds: key of the number of Fock builds.
        errors: more words.
    """
    how = "converged" if row["converged"] else "NOT CONVERGED"
    counts = f"{row['cycles']} cycles, {row[builds]} Fock builds, {row['wall_s']:.1f} s"
    logger.info("%s: %s in %s%s", name, how, counts, errors)
    if not row["converged"]:
        logger.info(history.lines())


def warm_start_row(
    record,
    mf,
    guess: str,
    history: History,
    hybrid_builds: int,
    wall_s: float,
    cheap: tuple[int, float] = (0, 0.0),
) -> dict[str, Any]:
    """Columns of the warm-start table for one reference SCF that has run; a line of the log says the same.

    Args:
        record: the molecule's reference.
        mf: the mean field.
        wall_s: of everything, seconds.
        cheap: Fock builds of a cheaper functional, and their part of `wall_s`.
    """
    row = {
        "split": record.split,
        "molecule": record.name,
        "n_heavy": record.n_heavy,
        "converged": bool(mf.converged),
        "guess": guess,
        "cycles": int(mf.cycles),
        "hybrid_fock_builds": hybrid_builds,
        "cheap_fock_builds": cheap[0],
        "wall_s": wall_s - cheap[1],
        "wall_total_s": wall_s,
        "e_diff_Eh": float(mf.e_tot - record.e_tot),
    }
    log_scf(f"{record.name}, guess {guess}", row, history, "hybrid_fock_builds")
    return row | history.columns()

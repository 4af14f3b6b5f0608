"""Cells of the tables of docs/results.md, and the metrics that are their columns."""

from __future__ import annotations

import numpy as np

from benchmarks.results.numbers import Estimate
from dixc.tables.compare import number, signed_percent

DIRECT = {
    "e_tot_mae_mEh": "total energy, mEh",
    "e_tot_mae_fit_mEh": "the same, fitted, mEh",
    "e_rho_mEh": "E_rho, mEh",
    "dipole_error_debye": "dipole, D",
    "l2_density": "L2 density, bohr^-1.5",
    "warmstart_fock_builds_density": "builds from its density",
    "warmstart_fock_builds_accelerate": "builds accelerated by it",
    "tddft_mae_eV": "TDDFT, eV",
}


def cell(found: Estimate) -> str:
    """Mean and spread."""
    spread = f" ± {number(found.spread, 2)}" if np.isfinite(found.spread) else ""
    return number(found.mean) + spread


def percent(found: Estimate) -> str:
    """A change and its spread."""
    if not np.isfinite(found.mean):
        return "–"
    spread = f" ± {found.spread:.0f}" if np.isfinite(found.spread) else ""
    return signed_percent(found.mean).removesuffix(" %") + spread + " %"


def table(head: list[str], rows: list[list[str]]) -> str:
    """In Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)

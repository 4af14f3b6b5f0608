"""Files of the stage `evaluate` that nobody computed."""

from __future__ import annotations

import numpy as np

from dixc.store import ChunkWriter

# molecule: atomic numbers and split; hydrogen fluoride's F is in no training molecule
ATOMS = {
    "water": ([8, 1, 1], "train"),
    "methane": ([6, 1, 1, 1, 1], "train"),
    "methanol": ([6, 8, 1, 1, 1, 1], "train"),
    "formaldehyde": ([6, 8, 1, 1], "train"),
    "ethanol": ([6, 6, 8, 1, 1, 1, 1, 1, 1], "test"),
    "hydrogen fluoride": ([9, 1], "test"),
}
SHIFTS = {1: 0.5, 6: -4.0, 8: 7.0, 9: 100.0}
SCF = {"e_rho_mEh": 0.5, "dipole_error_debye": 0.01, "l2_density": 1e-3, "cycles": 9, "wall_s": 0.2}


def linear_error(name: str) -> float:
    """An energy error that per-element energies describe exactly, mEh."""
    return sum(SHIFTS[z] for z in ATOMS[name][0])


def write_chunk(path, tags, names, failed=(), unconverged=(), **changes):
    """An scf chunk with the metrics of SCF and linear energy errors."""
    writer = ChunkWriter(path, stage="scf", settings={}, key="k", attributes=tags)
    for name in names:
        atoms, split = ATOMS[name]
        common = {"n_heavy": sum(z > 1 for z in atoms), "split": split}
        if name in failed:
            writer.fail(name, "no such luck", common)
            continue
        metrics = (
            SCF | {"e_tot_error_mEh": linear_error(name), "converged": name not in unconverged} | changes
        )
        writer.write(name, {"atomic_numbers": np.array(atoms)}, common | metrics, {"atomic_numbers": "1"})
    writer.finish(1.0)
    return path


def history_chunk(path, names, unconverged=()):
    """An scf chunk with three cycles a molecule."""
    writer = ChunkWriter(
        path, stage="scf", settings={}, key="k", attributes={"model": "pbe", "loss": "none", "seed": 0}
    )
    for name in names:
        atoms, split = ATOMS[name]
        arrays = {"atomic_numbers": np.array(atoms), "scf_energies": np.array([-1.0, -1.5, -1.6]),
                  "scf_gradients": np.array([1e-1, 1e-2, 1e-3])}  # fmt: skip
        attributes = SCF | {
            "e_tot_error_mEh": 1.0,
            "split": split,
            "n_heavy": 2,
            "converged": name not in unconverged,
        }
        writer.write(name, arrays, attributes, {})
    writer.finish(1.0)
    return path

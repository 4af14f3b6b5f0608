"""Tables of results, training logs and a config that nobody computed, of realistic size and values."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from dixc.config import Config
from dixc.tables.frames import as_types
from dixc.tables.results import Results
from dixc.tables.schema import TABLES, FunctionalKey

MOLECULES = {
    "train": [("water", 1), ("methanol", 2), ("ketene", 3), ("acetone", 4)],
    "validation": [("oxirane", 3), ("glyoxal", 4)],
    "test": [("furan", 5), ("pyrrole", 5), ("urethane", 6), ("oxazole", 5), ("nitropropane", 6), ("benzene", 6),
             ("toluene", 7), ("succinimide", 7)],
}  # fmt: skip
# how good each functional is: energy mEh, E_rho mEh, TDDFT eV, builds
QUALITY = {
    "pbe": (240, 1.6, 0.39, 10.0), "r2scan": (90, 0.9, 0.21, 9.6), "base": (6, 0.5, 0.19, 9.2),
    "grad": (5, 0.4, 0.20, 9.0), "hess": (5.5, 0.45, 0.15, 9.1),
}  # fmt: skip


def make_config(seeds=(0,), models=("xcdiff",)) -> Config:
    """The config that the synthetic tables belong to."""
    return Config.model_validate({
        "run": "synthetic",
        "molecules": {
            "files": ["molecules.xyz"], "train": {"count": 4, "max_heavy": 4},
            "validation": {"count": 2, "max_heavy": 4},
            "test": {"names": [name for name, _ in MOLECULES["test"]]},
        },
        "models": [{"name": name} for name in models],
        "training": {"seeds": list(seeds), "steps": 120},
    })  # fmt: skip


def make_tables(seeds=(0,), models=("xcdiff",), failed=(), details=False) -> dict[str, pd.DataFrame]:
    """Random tables of realistic size; `failed` holds (loss, seed, molecule) whose rows do not converge.

    Without `details` the tables of SCF cycles and intensities have no rows: their many figures take time.
    """
    rng = np.random.default_rng(0)
    runs = [(name, "none", 0) for name in ("pbe", "r2scan")]
    runs += [(model, loss, seed) for model in models for loss in ("base", "grad", "hess") for seed in seeds]
    scf, warm, states = [], [], []
    for model, loss, seed in runs:
        energy, e_rho, excitation, builds = QUALITY[model if loss == "none" else loss]
        for split, members in MOLECULES.items():
            for molecule, n_heavy in members:
                ok = (loss, seed, molecule) not in failed
                key = dict(
                    model=model,
                    loss=loss,
                    seed=seed,
                    split=split,
                    molecule=molecule,
                    n_heavy=n_heavy,
                    converged=ok,
                )
                noise = rng.lognormal(0, 0.3, 6)
                error = -energy * noise[0]
                scf.append(key | dict(
                    e_tot_error_mEh=error, e_tot_error_fit_mEh=error / 10 + 3 * rng.normal(),
                    e_rho_mEh=e_rho * noise[1] * n_heavy / 5, dipole_error_debye=0.01 * noise[2],
                    l2_density=1e-3 * noise[3], cycles=9 + rng.integers(3), wall_s=noise[4],
                ))  # fmt: skip
                if split != "test":
                    continue
                count = round(builds + rng.normal())
                for guess, fewer in (("density", 0), ("accelerate", 5)):
                    warm.append(key | _warm(guess, count - fewer, noise[5]))
                # errors of foretold energies follow E_rho, with either sign
                foretold = 8 * e_rho * noise[1] * (-1) ** len(molecule)
                warm[-1] |= dict(one_build_error_uEh=foretold, two_build_error_uEh=foretold / 50)
                for method in ("tddft", "tda"):
                    for state in (1, 2, 3):
                        states.append(key | _state(method, state, excitation * rng.normal(0.6, 0.6)))
    for molecule, n_heavy in MOLECULES["test"]:
        key = dict(
            model="b3lyp",
            loss="none",
            seed=0,
            split="test",
            molecule=molecule,
            n_heavy=n_heavy,
            converged=True,
        )
        warm.append(key | _warm("minao", 12, 1.0))
    cycles, bright = _details(scf, warm, states) if details else ([], [])
    rows = {"scf": scf, "warmstart": warm, "tddft": states, "convergence": cycles, "spectra": bright}
    return {name: as_types(pd.DataFrame(rows[name], columns=TABLES[name].columns), name) for name in rows}


def make_results(tables: dict[str, pd.DataFrame], config: Config | None = None) -> Results:
    """The results of a run with such tables."""
    return Results(config or make_config(), tables)


def key(loss: str, model: str = "xcdiff") -> FunctionalKey:
    """A trained functional, or a baseline."""
    return FunctionalKey(loss, "none") if loss in ("pbe", "r2scan") else FunctionalKey(model, loss)


def _details(scf: list[dict], warm: list[dict], states: list[dict]) -> tuple[list[dict], list[dict]]:
    """Rows of convergence (three cycles an SCF) and spectra of the test molecules."""
    solved = [row | dict(scf_of="functional", guess="minao") for row in scf if row["split"] == "test"]
    solved += [row | dict(scf_of="reference") for row in warm]
    cycles = [row | dict(cycle=cycle, e_tot_Eh=-100.0, gradient_Eh=0.1**cycle) for row in solved
              for cycle in (1, 2, 3)]  # fmt: skip
    return cycles, [row | dict(oscillator_strength=0.1, reference_strength=0.2) for row in states]


def _warm(guess: str, builds: int, wall: float) -> dict:
    return dict(guess=guess, cycles=builds - 1, hybrid_fock_builds=builds, cheap_fock_builds=11, wall_s=wall,
                wall_total_s=1.2 * wall, e_diff_Eh=1e-10)  # fmt: skip


def _state(method: str, state: int, error: float) -> dict:
    reference = 4.5 + 0.8 * state
    return dict(method=method, state=state, excitation_eV=reference + error, reference_eV=reference, error_eV=error,
                overlap_error_eV=0.9 * error)  # fmt: skip


def make_logs(folder: Path, seeds=(0,), models=("xcdiff",), steps=120) -> list[Path]:
    """Training logs with the columns of the training stage."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for model in models:
        for rank, loss in enumerate(("base", "grad", "hess")):
            for seed in seeds:
                step = np.arange(1, steps + 1)
                rng = np.random.default_rng(seed)
                log = pd.DataFrame(
                    {
                        "step": step,
                        "wall_s": step * (0.2 + 0.1 * rank),
                        "molecule": "water",
                        "learning_rate": 3e-3 / step,
                        "grad_norm": rng.lognormal(0, 1, steps),
                        "skipped": 0,
                    }
                )
                units = {"energy": "mEh", "density": "per_bohr3", "gradient": "mEh"}
                units |= {"hessian": "1", "excitation": "eV"} if rank == 2 else {}
                for place, (term, unit) in enumerate(units.items()):
                    if place < 2 or rank > 0:
                        log[f"{term}_raw_{unit}"] = rng.lognormal(0, 0.4, steps) * 10 / np.sqrt(step)
                        log[f"{term}_weighted"] = 0.1 * log[f"{term}_raw_{unit}"]
                log["loss"] = log.filter(like="_weighted").sum(axis=1)
                log["validation_loss"] = np.where(step % 20 == 0, log["loss"], np.nan)
                log["validation_energy_raw_mEh"] = np.where(step % 20 == 0, log["energy_raw_mEh"], np.nan)
                paths.append(folder / f"{model}-{loss}-{seed}.csv")
                log.to_csv(paths[-1], index=False)
    return paths  # fmt: skip


def set_values(tables, loss, values, column="e_rho_mEh", seed=None):
    """Replace test values of a loss, molecule by molecule."""
    scf = tables["scf"]
    chosen = (scf["loss"] == loss) & (scf["split"] == "test")
    chosen &= scf["seed"] == seed if seed is not None else True
    scf.loc[chosen, column] = values

"""Excitation energies and dense response matrices: PySCF and dixc on the same orbitals and grid.

Five singlets of the full Casida problem. Each call has a process of its own, which gives its peak memory, and solves H2
first, so that modules are loaded; orbitals are converged once, and integrals are in memory before the clock
starts, on both sides. Both sides converge residuals to the same norm (PySCF's default, 1e-5); what the workflow does by
default is a row of its own.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
from pyscf import dft

import dixc.pyscf
from benchmarks.speed import worker
from benchmarks.speed.molecules import GRID_LEVEL, Case, case
from benchmarks.speed.timing import Entry, Options, rounds, rows
from dixc.config.sections import Derivatives
from dixc.reference.derivatives import CONV_TOL

MOLECULES = ("CH3OH", "furan", "C6H7NO2")
FUNCTIONALS = ("b3lyp", "r2scan", "xcdiff")
CROSSOVER = ("propane", "C4H5NO", "C3H5NO3")  # where iteration becomes faster than the dense problem
STATES = 5
EQUAL_TOL = 1e-5
MANY_HEAVY = 9
TARGETS = {"small": 0.1, "large": 0.5}  # at least 10 and 2 times as fast
MODEL = "xcdiff-b3lyp"


def new_mean_field(molecule: Case, functional: str):
    """Mean field of the benchmark, not converged; xcdiff is the trained functional that comes with dixc."""
    return mean_field(molecule.to_pyscf(), functional)


def mean_field(mol, functional: str):
    """The same for a PySCF molecule."""
    mf = dixc.pyscf.RKS(mol, xc=MODEL) if functional == "xcdiff" else dft.RKS(mol, xc=functional)
    mf.grids.level, mf.small_rho_cutoff, mf.verbose = GRID_LEVEL, 0, 0
    mf.conv_tol, mf.conv_tol_grad = 1e-10, 1e-6
    return mf


def converged_orbitals(molecule: Case, functional: str, folder: Path) -> tuple[str, dict[str, int]]:
    """File with converged orbitals, and sizes for the table."""
    path = folder / f"{molecule.label}-{functional}.npz"
    mf = new_mean_field(molecule, functional)
    mf.kernel()
    if not mf.converged:
        raise RuntimeError(f"{molecule.label} {functional}: SCF not converged")
    np.savez(path, mo_coeff=mf.mo_coeff, mo_occ=mf.mo_occ, mo_energy=mf.mo_energy, e_tot=mf.e_tot)
    nocc = int((mf.mo_occ > 0).sum())
    sizes = {"nao": mf.mol.nao, "nocc": nocc, "points": len(mf.grids.weights)}
    return str(path), sizes | {"pairs": nocc * (len(mf.mo_occ) - nocc)}


def measure(options: Options, folder: Path) -> list[dict]:
    """All rows of the section; `folder` is for orbitals and matrices."""
    found = []
    for label in ("H2O",) if options.quick else MOLECULES:
        molecule = case(label)
        # PySCF takes many minutes for each at the largest size
        few = options.quick or molecule.n_heavy >= MANY_HEAVY
        for functional in FUNCTIONALS[:1] if few else FUNCTIONALS:
            orbitals, sizes = converged_orbitals(molecule, functional, folder)
            system = {"label": label, "functional": functional, "orbitals": orbitals}
            found += [row | sizes for row in excitation_rows(molecule, system, sizes["pairs"], options)]
            # above that size PySCF's intermediates on the grid need some 20 GB
            if functional == "b3lyp" and sizes["pairs"] <= Derivatives().max_dense_pairs:
                found += [row | sizes for row in matrix_rows(molecule, system, folder, options)]
    for label in () if options.quick else CROSSOVER:
        molecule, functional = case(label), FUNCTIONALS[0]
        orbitals, sizes = converged_orbitals(molecule, functional, folder)
        system = {"label": label, "functional": functional, "orbitals": orbitals}
        found += [row | sizes for row in crossover_rows(molecule, system, sizes["pairs"], options)]
    return found


def _sides(functional: str, pairs: int, n_heavy: int) -> dict[str, tuple[Entry, dict]]:
    """Entry and worker arguments of each way to solve the problem."""
    dense_by_default = pairs <= Derivatives().max_dense_pairs
    # PySCF has the learned functional from dixc, products included: no peer to have a target against
    target = None if functional == "xcdiff" else TARGETS["large" if n_heavy >= MANY_HEAVY else "small"]

    def side(program: str, variant: str, chosen: bool, tol: float = EQUAL_TOL):
        entry = Entry(
            "dixc",
            functional,
            variant,
            "PySCF",
            target if chosen else None,
            {"conv_tol": tol, "pairs": pairs},
        )
        return entry, {"program": program, "conv_tol": tol}

    products = "TDDFT with dixc's products" if functional == "xcdiff" else "TDDFT"
    pyscf = Entry("PySCF", functional, products, "PySCF", None, {"conv_tol": EQUAL_TOL, "pairs": pairs})
    return {
        "PySCF": (pyscf, {"program": "pyscf", "conv_tol": EQUAL_TOL}),
        "dense": side("dense", "dense", dense_by_default),
        "iterative": side("iterative", "iterative", not dense_by_default),
        "iterative, workflow": side("iterative", "iterative, tolerance of the workflow", False, CONV_TOL),
        "iterative, double": side("iterative-double", "iterative, grid in float64", False),
    }


def excitation_rows(molecule: Case, system: dict, pairs: int, options: Options) -> list[dict]:
    """Times, peak memory and agreement of all ways."""
    sides = _sides(system["functional"], pairs, molecule.n_heavy)
    if options.quick:
        sides = dict(list(sides.items())[:3])
    runs = _run(sides, system, options)
    exact = np.array(runs["PySCF"][0]["result"])
    for name, (entry, _) in sides.items():
        energies = np.array(runs[name][0]["result"])
        difference = np.abs(energies - exact).max() if len(energies) == len(exact) else np.nan
        entry.extra.update(memory(runs[name]) | {"difference_Eh": difference})
    entries = {name: entry for name, (entry, _) in sides.items()}
    return rows("tddft", f"{STATES} states", molecule, entries, seconds(runs))


def crossover_rows(molecule: Case, system: dict, pairs: int, options: Options) -> list[dict]:
    """Dense and iterative alone."""
    sides = _sides(system["functional"], pairs, molecule.n_heavy)
    sides = {name: sides[name] for name in ("dense", "iterative, workflow")}
    runs = _run(sides, system, options)
    entries = {}
    for name, (entry, _) in sides.items():
        extra = entry.extra | memory(runs[name])
        entries[name] = Entry(entry.program, entry.functional, entry.variant, "dense", None, extra)
    return rows("tddft", f"{STATES} states, dixc alone", molecule, entries, seconds(runs))


def _run(sides: dict[str, tuple[Entry, dict]], system: dict, options: Options) -> dict[str, list[dict]]:
    """What the workers found, round by round."""
    runs: dict[str, list[dict]] = {name: [] for name in sides}
    for _ in rounds(options):
        for name, (_, arguments) in sides.items():
            runs[name].append(worker.run("tddft", options, states=STATES, **arguments, **system))
    return runs


def matrix_rows(molecule: Case, system: dict, folder: Path, options: Options) -> list[dict]:
    """Dense A + B and A - B."""
    entries = {
        "PySCF": Entry("PySCF", system["functional"], "get_ab", "PySCF", None),
        "dixc": Entry("dixc", system["functional"], "dense_matrices", "PySCF", None),
    }
    files = {name: str(folder / f"{name}.npz") for name in entries}
    call = partial(worker.run, "matrices", options, **system)
    runs: dict[str, list[dict]] = {name: [] for name in entries}
    for _ in rounds(options):
        for name in entries:
            runs[name].append(call(program=name.lower(), out=files[name]))
    held = [np.load(files[name]) for name in entries]
    difference = max(np.abs(held[0][key] - held[1][key]).max() for key in ("plus", "minus"))
    for name, entry in entries.items():
        entry.extra.update(memory(runs[name]) | {"difference_Eh": difference if name == "dixc" else 0.0})
    return rows("tddft", "A+B and A-B", molecule, entries, seconds(runs))


def seconds(runs: dict[str, list[dict]]) -> dict[str, np.ndarray]:
    """Times of the rounds."""
    return {name: np.array([run["seconds"] for run in of]) for name, of in runs.items()}


def memory(of: list[dict]) -> dict[str, float]:
    """Peak memory of the process, and by how much the task raised it; the largest of the rounds."""
    added = max(run["peak_mb"] - run["before_mb"] for run in of)
    return {"peak_mb": max(run["peak_mb"] for run in of), "added_mb": added}

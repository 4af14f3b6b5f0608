"""A hybrid's energy from one and two Fock builds: errors, and what else as many builds give.

    python benchmarks/one_build.py --molecules benchmarks/molecules/one_build_test.xyz --out out.csv
    python benchmarks/one_build.py --summarise out.csv

One row of the CSV is one energy of one molecule. Rows are written as a molecule, hybrid and model
are finished; the same command again does what is not in the file yet. Errors are against an SCF
converged to 1e-11 hartree and |g| 1e-7, accelerated by r2SCAN; the last rows of `plain` show that
PySCF's own kernel has the same solution. `--set` passes settings of `dixc.pyscf.Acceleration`, for
ablations: --set surrogate=functional grid_level=null. Methods:

reference   that SCF; it and `plain` need no model
plain       PySCF's SCF from its default guess, after each of its builds, with its own thresholds
corrected   e_tot of `dixc.pyscf.accelerate(mf, xc=model, max_builds=N)` and its error estimate
build       e_tot_build, the energy of that object's last build
tr_fock     E[P] + Tr F (P' - P). P is the density of the model's own SCF, F the hybrid's Fock
            matrix there (the first build of `corrected`), P' the density from one diagonalisation
            of F. Q-Chem's dual-basis method has this correction, by its manual first order in the
            change of the density after a single step; here the step is from one functional to
            another in one basis. To second order in g it is -1/2 g D^-1 g, with differences D of
            the hybrid's orbital energies in the place of the Hessian
dfpc        E[P'], the hybrid's energy at that density. Q-Chem's manual gives it for HFPC: one Fock
            matrix, one diagonalisation, one energy after a cheaper SCF (Deng, Gilbert, Gill,
            J. Chem. Phys. 130, 231101, 2009); DFPC does so with functionals (the same, 2010).
            There the cheap SCF may have a smaller basis and grid; here it has the hybrid's basis,
            and the grid that `accelerate` gives it. E[P'] is quadratic in P' and needs the
            two-electron matrices once more: two builds by our count

`builds` counts calls of the mean field's get_veff, `max_builds` is what was allowed. Two-electron
integrals (in memory if they fit), the hybrid's grid and the orbitals on it are made once for each
molecule, and no wall-clock time has them. That of `corrected` has all else, such as the cheap SCF
(cheap_wall_s). benchmarks/accelerate_scaling.py measures speed.
"""

from __future__ import annotations

import argparse
import gc
import json
import time
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from pyscf import lib
from tqdm import tqdm

import dixc.pyscf
from dixc.config.sections import Reference
from dixc.functionals import files
from dixc.functionals.base import Functional
from dixc.molecules import Molecule, read_xyz
from dixc.pyscf.counting import share_integrals
from dixc.reference.method import reference_mean_field
from dixc.store import atomic_file

TIGHT = {"conv_tol": 1e-11, "conv_tol_grad": 1e-7, "max_cycle": 100}
USUAL = {"conv_tol": 1e-9, "conv_tol_grad": None, "max_cycle": 100}  # PySCF's defaults but for the cycles
REFERENCE_MODEL, NO_MODEL, NO_SETTINGS = "r2scan", "none", "-"
BUILDS = (1, 2)
MICRO = 1e6


@dataclass(frozen=True)
class Row:
    """One energy.

    Attributes:
        molecule, n_heavy, charge, n_basis: what it is of; number of atoms other than H, charge in e.
        basis, grid_level, hybrid: the method.
        model: the cheap functional, or none.
        settings: of `dixc.pyscf.Acceleration` other than its defaults, as --set gives them; - without.
        method: see the top of this file.
        max_builds, builds: allowed and counted builds of the hybrid's Fock matrix.
        energy_Eh: hartree.
        error_uEh: energy less that of the reference, microhartree.
        estimate_uEh: what the method says of its size, microhartree.
        converged: what the mean field says.
        wall_s, cheap_wall_s: seconds, and those of them in the model's own SCF.
    """

    molecule: str
    n_heavy: int
    charge: int
    n_basis: int
    basis: str
    grid_level: int
    hybrid: str
    model: str
    settings: str
    method: str
    max_builds: int
    builds: int
    energy_Eh: float
    error_uEh: float = np.nan
    estimate_uEh: float = np.nan
    converged: bool = False
    wall_s: float = np.nan
    cheap_wall_s: float = np.nan


@dataclass(frozen=True)
class Model:
    """A cheap functional and how it is used.

    Attributes:
        name: registry name or model file.
        functional: what that is.
        label, settings: of `dixc.pyscf.Acceleration`, as text and as keywords.
    """

    name: str
    functional: Functional
    label: str
    settings: dict


GROUP = ["molecule", "basis", "grid_level", "hybrid", "model", "settings"]  # what is written at once


class Recorder:
    """In the place of a mean field's get_veff: counts builds, and keeps density and potential of the first."""

    def __init__(self, mf):
        self.count = 0
        self.first: tuple[NDArray, NDArray] | None = None
        self._get_veff = mf.get_veff
        mf.get_veff = self

    def __call__(self, mol=None, dm=None, *args, **kwargs):
        vhf = self._get_veff(mol, dm, *args, **kwargs)
        self.count += 1
        if self.first is None:
            self.first = dm, vhf
        return vhf


class Problem:
    """A molecule with its integrals, grid, and orbitals on the grid.

    Args:
        molecule: of a closed shell.
        basis, grid_level: PySCF's names.
        memory: MB, up to which two-electron integrals are kept.
    """

    def __init__(self, molecule: Molecule, basis: str, grid_level: int, memory: float):
        self.molecule, self.basis, self.grid_level = molecule, basis, grid_level
        self.mol = molecule.to_pyscf(basis, max_memory=memory)
        self._shared = None

    @property
    def n_basis(self) -> int:
        """Number of basis functions."""
        return self.mol.nao

    def mean_field(self, hybrid: str, settings: dict):
        """A mean field that has not been run."""
        mf = self._make(hybrid, settings)
        share_integrals(mf, self._with_integrals())
        return mf

    def row(
        self, hybrid: str, method: str, model: str = NO_MODEL, settings: str = NO_SETTINGS, **values
    ) -> Row:
        """A row about this molecule."""
        molecule = self.molecule
        return Row(
            molecule.name, molecule.n_heavy, molecule.charge, self.n_basis, self.basis, self.grid_level,
            hybrid, model, settings, method, **values,
        )  # fmt: skip

    def _make(self, hybrid: str, settings: dict):
        mf = reference_mean_field(self.mol, Reference(functional=hybrid, grid_level=self.grid_level))
        return mf.set(**settings)

    def _with_integrals(self):
        if self._shared is None:
            mf = self._make("b3lyp", USUAL)  # whichever has a grid
            if mf._is_mem_enough():
                mf._eri = self.mol.intor("int2e", aosym="s8")
            mf._numint.ao_grid(self.mol, mf.grids, "GGA")
            self._shared = mf
        return self._shared


def without_model(problem: Problem, hybrid: str) -> list[Row]:
    """The reference, and if it converges the rows of PySCF's own SCF after it."""
    mf = problem.mean_field(hybrid, TIGHT)
    recorder, start = Recorder(mf), time.perf_counter()
    mf = dixc.pyscf.accelerate(mf, xc=REFERENCE_MODEL)
    energy = mf.kernel()
    rows = [
        problem.row(hybrid, "reference", max_builds=recorder.count, builds=recorder.count, energy_Eh=energy,
                    error_uEh=0.0, converged=bool(mf.converged), wall_s=time.perf_counter() - start)
    ]  # fmt: skip
    return rows + plain(problem, hybrid, energy) if mf.converged else rows


def plain(problem: Problem, hybrid: str, reference: float) -> list[Row]:
    """Energies of PySCF's own SCF after each of its builds.

    Args:
        reference: the converged energy, hartree.
    """
    mf = problem.mean_field(hybrid, USUAL)
    recorder, start = Recorder(mf), time.perf_counter()
    seen: dict[int, tuple[float, float]] = {}  # energy and time after so many builds

    def see(envs: dict) -> None:
        if not seen:  # PySCF calls back after the second build for the first time
            seen[1] = float(envs["last_hf_e"]), np.nan
        seen[recorder.count] = float(envs["e_tot"]), time.perf_counter() - start

    mf.callback = see
    mf.kernel()
    seen[recorder.count] = float(mf.e_tot), time.perf_counter() - start
    return [
        problem.row(hybrid, "plain", max_builds=builds, builds=builds, energy_Eh=energy,
                    error_uEh=MICRO * (energy - reference), wall_s=wall,
                    converged=bool(mf.converged) and builds == recorder.count)
        for builds, (energy, wall) in seen.items()
    ]  # fmt: skip


def with_model(problem: Problem, hybrid: str, model: Model, reference: float) -> list[Row]:
    """Energies from few builds, and those from one diagonalisation after the first of them.

    Args:
        reference: the converged energy, hartree.
    """
    rows = []

    def add(method: str, energy: float, **values) -> None:
        values |= {"energy_Eh": float(energy), "error_uEh": MICRO * (energy - reference)}
        rows.append(problem.row(hybrid, method, model.name, model.label, **values))

    for max_builds in BUILDS:
        mf = problem.mean_field(hybrid, USUAL)
        recorder, start = Recorder(mf), time.perf_counter()
        fast = dixc.pyscf.accelerate(mf, xc=model.functional, max_builds=max_builds, **model.settings)
        fast.kernel()
        wall, builds = time.perf_counter() - start, recorder.count
        estimate = np.nan if fast.energy_error_estimate is None else MICRO * fast.energy_error_estimate
        add("corrected", fast.e_tot, max_builds=max_builds, builds=builds, estimate_uEh=estimate,
            converged=bool(fast.converged), wall_s=wall, cheap_wall_s=fast.cheap_scf_wall_s)  # fmt: skip
        add("build", fast.e_tot_build, max_builds=max_builds, builds=builds)
        if max_builds == 1:
            linear, whole = one_diagonalisation(problem.mean_field(hybrid, USUAL), *recorder.first)
            add("tr_fock", linear, max_builds=1, builds=1)
            add("dfpc", whole, max_builds=1, builds=2)
    return rows


def one_diagonalisation(mf, dm: NDArray, vhf: NDArray) -> tuple[float, float]:
    """E[P] + Tr F (P' - P), and E[P'], hartree; P' comes from diagonalising F.

    Args:
        mf: mean field of the hybrid; the second energy costs it one build.
        dm, vhf: density matrix P (nao, nao) and the two-electron potential that get_veff gave for it.
    """
    hcore, overlap = mf.get_hcore(), mf.get_ovlp()
    fock = mf.get_fock(hcore, overlap, vhf, dm)
    mo_energy, mo_coeff = mf.eig(fock, overlap)
    after = mf.make_rdm1(mo_coeff, mf.get_occ(mo_energy, mo_coeff))
    linear = mf.energy_tot(dm, hcore, vhf) + float(np.vdot(fock, after - dm))
    return linear, float(mf.energy_tot(after, hcore, mf.get_veff(mf.mol, after)))


class Results:
    """The CSV, written whole after each group of rows."""

    def __init__(self, path: Path):
        self.path = path
        columns = [field.name for field in fields(Row)]
        self.table = (
            pd.read_csv(path, keep_default_na=False, na_values=[""]) if path.exists() else pd.DataFrame()
        )
        if len(self.table) and list(self.table) != columns:
            raise SystemExit(f"{path}: not written by this version of one_build.py: other columns")

    def of(self, **group) -> pd.DataFrame:
        """The rows with these values."""
        table = self.table
        for column, value in group.items():
            table = table[table[column] == value] if len(table) else table
        return table

    def add(self, rows: list[Row]) -> None:
        """Appends rows, in one step."""
        self.table = pd.concat([self.table, pd.DataFrame([asdict(row) for row in rows])], ignore_index=True)
        with atomic_file(self.path) as file:
            file.write(self.table.to_csv(index=False, float_format="%.15g").encode())


def measure(arguments: argparse.Namespace) -> None:
    """Fills the CSV."""
    results = Results(arguments.out)
    label, settings = " ".join(sorted(arguments.set)) or NO_SETTINGS, dict(map(_setting, arguments.set))
    models = [Model(name, files.resolve(name), label, settings) for name in arguments.models]
    for molecule in tqdm(read_xyz(arguments.molecules), unit="mol"):
        problem = Problem(molecule, arguments.basis, arguments.grid_level, arguments.memory)
        if problem.n_basis > arguments.max_functions:
            tqdm.write(f"{molecule.name}: left out, {problem.n_basis} functions")
            continue
        for hybrid in arguments.hybrids:
            _measure(problem, hybrid, models, results)
        gc.collect()  # mean fields refer to themselves, and would keep their integrals for molecules to come


def _measure(problem: Problem, hybrid: str, models: list[Model], results: Results) -> None:
    group = {
        "molecule": problem.molecule.name,
        "basis": problem.basis,
        "grid_level": problem.grid_level,
        "hybrid": hybrid,
    }
    if not len(results.of(**group, model=NO_MODEL)):
        results.add(without_model(problem, hybrid))
    reference = results.of(**group, method="reference").iloc[0]
    if not reference["converged"]:
        tqdm.write(f"{problem.molecule.name}, {hybrid}: the reference does not converge")
        return
    for model in models:
        if not len(results.of(**group, model=model.name, settings=model.label)):
            results.add(with_model(problem, hybrid, model, float(reference["energy_Eh"])))


def _setting(text: str) -> tuple[str, object]:
    """Key and value of KEY=VALUE; the value is JSON, or else text."""
    key, value = text.split("=", 1)
    try:
        return key, json.loads(value)
    except json.JSONDecodeError:
        return key, value


def summary(table: pd.DataFrame) -> pd.DataFrame:
    """Errors over molecules by hybrid, model, method and builds.

    Columns: n molecules; n_converged of them that say so; mean of builds; mean, median and max of |error| in
    microhartree; share of molecules whose |error| is below the estimate; median of estimate over |error|; mean
    wall-clock time in seconds.
    """
    table = pd.concat([table[table["method"] != "plain"], _carried_on(table[table["method"] == "plain"])])
    table = table[table["method"] != "reference"]
    error, estimate = table["error_uEh"].abs(), table["estimate_uEh"]
    table = table.assign(
        error=error,
        below=(error < estimate).astype(float).where(estimate.notna()),
        ratio=estimate / error,
        order=table["method"].map(["corrected", "build", "tr_fock", "dfpc", "plain"].index),
    )
    groups = table.groupby([*GROUP[1:], "order", "method", "max_builds"])
    found = groups.agg(
        n=("molecule", "size"),
        n_converged=("converged", "sum"),
        builds=("builds", "mean"),
        mean_uEh=("error", "mean"),
        median_uEh=("error", "median"),
        max_uEh=("error", "max"),
        below_estimate=("below", "mean"),
        estimate_over_error=("ratio", "median"),
        wall_s=("wall_s", "mean"),
    )
    return found.reset_index().drop(columns="order")


def _carried_on(plain: pd.DataFrame) -> pd.DataFrame:
    """Rows of the plain SCF for as many builds as the longest takes: a finished one keeps its energy and time."""
    parts = [plain]
    longest = plain.groupby(["basis", "grid_level", "hybrid"])["max_builds"].transform("max")
    for _, part in plain.assign(longest=longest).groupby(GROUP):
        last = part.loc[part["max_builds"].idxmax()]
        more = range(int(last["max_builds"]) + 1, int(last["longest"]) + 1)
        parts += [last.drop("longest").to_frame().T.assign(max_builds=builds) for builds in more]
    return pd.concat(parts, ignore_index=True).astype(plain.dtypes)


def above_estimate(table: pd.DataFrame) -> pd.DataFrame:
    """Rows whose error is not below its estimate, the worst first."""
    found = table[table["error_uEh"].abs() >= table["estimate_uEh"]]
    found = found.assign(excess=found["error_uEh"].abs() / found["estimate_uEh"])
    columns = ["molecule", "hybrid", "model", "settings", "max_builds", "error_uEh", "estimate_uEh", "excess"]
    return found.sort_values("excess", ascending=False)[columns]


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--molecules", type=Path, help="extended xyz")
    parser.add_argument("--out", type=Path, help="CSV; what is in it is not done again")
    parser.add_argument(
        "--summarise", type=Path, metavar="CSV", help="print the tables of a CSV, and run nothing"
    )
    parser.add_argument("--hybrids", nargs="+", default=["b3lyp", "pbe0"])
    parser.add_argument(
        "--models", nargs="+", default=["r2scan", "xcdiff-b3lyp"], help="registry names or files"
    )
    parser.add_argument("--set", nargs="*", default=[], metavar="KEY=VALUE", help="fields of Acceleration")
    parser.add_argument("--basis", default="def2-svp")
    parser.add_argument("--grid-level", type=int, default=1)
    parser.add_argument("--max-functions", type=int, default=1000, help="larger molecules are left out")
    parser.add_argument("--memory", type=float, default=12000, help="MB; integrals are kept up to here")
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args(argv)
    if arguments.summarise:
        table = Results(arguments.summarise).table
        form = {"index": False, "float_format": "{:.3g}".format, "na_rep": "-"}
        print(summary(table).to_string(**form), "\n\nNot below the estimate:")
        print(above_estimate(table).to_string(**form))
        return
    if not (arguments.molecules and arguments.out):
        parser.error("--molecules and --out, or --summarise, are needed")
    torch.set_num_threads(arguments.threads)
    lib.num_threads(arguments.threads)
    measure(arguments)


if __name__ == "__main__":
    main()

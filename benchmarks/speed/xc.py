"""XC matrices and kernel products: PySCF with libxc, Skala's classical functionals, and dixc.

Everything is XC alone, without Coulomb: `NumInt.nr_rks` and `nr_rks_fxc` of PySCF, `XCIntegrator` of Skala, and the
same calls that an SCF and a Hessian product of dixc make. Orbitals are those of the first SCF cycle with r2SCAN.

Each program is timed as it works by default: PySCF evaluates atomic orbitals (AO) anew in each call and takes the
density from occupied orbitals; dixc keeps AO values on the grid and works on occupied orbitals in both directions;
Skala works on density matrices. Like for like, both ways are timed for PySCF and dixc: AO values kept or not (PySCF has
no switch for that: a NumInt whose `eval_ao` looks them up), density from orbitals or from the matrix.
"""

from __future__ import annotations

from functools import partial

import numpy as np
import torch
from pyscf import dft
from pyscf.dft import numint

import dixc.pyscf
from benchmarks.speed.machine import Work
from benchmarks.speed.molecules import GRID_LEVEL, Case, case
from benchmarks.speed.timing import Entry, Options, Side, interleave, rows
from dixc.core.hamiltonian import LocalXC
from dixc.core.orbitals import split_orbitals
from dixc.functionals import registry
from dixc.pyscf.numint import GridNumInt
from dixc.pyscf.rks import closed_shell_change

MOLECULES = ("CH3OH", "furan", "benzene", "C6H7NO2")
CLASSICAL = ("r2scan", "tpss")
DIXC = ("r2scan", "xcdiff")
LARGE = ("nnmgga", "skala-mgga", "egxc")  # networks so large that size of the molecule tells nothing new
DIRECTIONS = (1, 8)
BASE = "PySCF r2scan"
TARGETS = {"potential": 1.0, "product": 1.2}


class KeptOrbitals(numint.NumInt):
    """PySCF's NumInt with the AO values of each block kept from call to call."""

    def __init__(self):
        super().__init__()
        self._kept: dict[tuple, np.ndarray] = {}

    def eval_ao(self, mol, coords, deriv=0, **options):
        key = (deriv, coords.ctypes.data, len(coords))
        if key not in self._kept:
            options.pop("out", None)  # a buffer that the next block overwrites
            self._kept[key] = super().eval_ao(mol, coords, deriv=deriv, **options)
        return self._kept[key]


class System:
    """A molecule with a grid, orbitals, and random symmetric changes of the density matrix.

    Attributes:
        mf: PySCF's RKS with r2SCAN.
        dm: density matrix with the orbitals that PySCF attaches; `plain_dm` without.
        left: (8, nao, nocc); the changes are left orbo^T + orbo left^T.
        numint: dixc's integration of libxc functionals, with AO values that all of dixc shares.
    """

    def __init__(self, molecule: Case):
        self.label, self.mol = molecule.label, molecule.to_pyscf()
        self.mf = dft.RKS(self.mol, xc="r2scan")
        self.mf.grids.level, self.mf.small_rho_cutoff = GRID_LEVEL, 0
        self.mf.max_cycle, self.mf.verbose = 1, 0
        self.mf.kernel()
        self.dm = self.mf.make_rdm1()
        self.plain_dm = np.asarray(self.dm).copy()
        self.orbo, self.orbv = split_orbitals(self.mf.mo_coeff, self.mf.mo_occ)
        rng = np.random.default_rng(0)
        kappa = rng.normal(size=(max(DIRECTIONS), self.orbv.shape[1], self.orbo.shape[1]))
        self.left = self.orbv @ kappa / np.sqrt(kappa[0].size)
        half = self.left @ self.orbo.T
        self.changes = half + half.transpose(0, 2, 1)
        self.numint = GridNumInt()
        self.numint.ao_grid(self.mol, self.mf.grids, "MGGA")

    @property
    def shape(self) -> dict[str, int]:
        """Sizes for the table."""
        return {
            "nao": self.mol.nao,
            "nocc": self.orbo.shape[1],
            "points": len(self.mf.grids.weights),
        }


def measure(options: Options) -> list[dict]:
    """All rows of the section."""
    found = []
    for label in ("H2O",) if options.quick else MOLECULES:
        molecule = case(label)
        system = System(molecule)
        comparisons = {"potential": potential_sides, "kernel and product": setup_sides}
        comparisons |= {f"product of {k}": partial(product_sides, count=k) for k in DIRECTIONS}
        for quantity, make in comparisons.items():
            # made one at a time: the kernels of graph functionals are large
            sides, entries = make(system)
            taken = interleave(sides, options)
            for name, entry in entries.items():
                if entry.program == "dixc":
                    columns = Work.of(sides[name]).columns(float(np.median(taken[name])))
                    entry.extra.update(columns)
            found += [row | system.shape for row in rows("xc", quantity, molecule, entries, taken)]
    return found


def side_name(program: str, functional: str, variant: str = "") -> str:
    """Key of a side."""
    return f"{program} {functional}" + (f", {variant}" if variant else "")


class Sides:
    """Sides and their entries under common names."""

    def __init__(self, target: float | None):
        self.target, self.sides, self.entries = target, {}, {}

    def add(self, side: Side, program: str, functional: str, variant: str = "", against: str = BASE) -> None:
        """One side; targets are for dixc's pointwise functionals as it works by default."""
        name = side_name(program, functional, variant)
        pointwise = program == "dixc" and functional != "egxc" and not variant
        self.sides[name] = side
        self.entries[name] = Entry(program, functional, variant, against, self.target if pointwise else None)

    def both(self) -> tuple[dict[str, Side], dict[str, Entry]]:
        """What `interleave` and `rows` take."""
        return self.sides, self.entries


def functionals(system: System) -> tuple[str, ...]:
    """Of dixc; those with large networks on the first molecule only."""
    return DIXC + LARGE if system.label == MOLECULES[0] else DIXC


def potential_sides(system: System):
    """XC energy and matrix of one density."""
    found = Sides(TARGETS["potential"])
    mol, grids = system.mol, system.mf.grids
    for xc in CLASSICAL:
        found.add(partial(numint.NumInt().nr_rks, mol, grids, xc, system.dm), "PySCF", xc)
    found.add(partial(KeptOrbitals().nr_rks, mol, grids, "r2scan", system.dm), "PySCF", "r2scan", "AO kept")
    plain = partial(numint.NumInt().nr_rks, mol, grids, "r2scan", system.plain_dm)
    found.add(plain, "PySCF", "r2scan", "from matrix")
    for xc, integrator, skala_grids in skala(system):
        dm = torch.from_numpy(system.plain_dm)
        side = partial(_skala_potential, integrator, mol, skala_grids, dm)
        found.add(side, "Skala", xc, against=f"PySCF {xc}")
    for name in functionals(system):
        found.add(partial(mean_field(system, name)._numint.nr_rks, mol, grids, "", system.dm), "dixc", name)
    side = partial(mean_field(system, "r2scan", keep=False)._numint.nr_rks, mol, grids, "", system.dm)
    found.add(side, "dixc", "r2scan", "AO not kept")
    found.add(partial(system.numint.nr_rks, mol, grids, "r2scan", system.dm), "dixc", "r2scan", "of libxc")
    kept = mean_field(system, "r2scan")._numint
    found.add(partial(kept.nr_rks, mol, grids, "", system.plain_dm), "dixc", "r2scan", "from matrix")
    return found.both()


def mean_field(system: System, name: str, keep: bool = True):
    """dixc's mean field on the same grid and orbitals."""
    mf = dixc.pyscf.RKS(system.mol, xc=registry.create(name))
    mf.grids, mf.mo_coeff, mf.mo_occ = system.mf.grids, system.mf.mo_coeff, system.mf.mo_occ
    if not keep:
        mf._numint.max_cache_mb = 0.0
    else:
        mf._numint.share(system.numint)
    return mf


def skala(system: System):
    """(functional, integrator, grids) of Skala's meta-GGAs; nothing if it is not installed."""
    try:
        from skala.functional import load_functional
        from skala.pyscf.grids import SkalaGrids
        from skala.pyscf.xc_integrator import XCIntegrator
    except ImportError:
        return []
    grids = SkalaGrids(system.mol)
    grids.level = GRID_LEVEL
    grids.build()
    return [(xc, XCIntegrator(load_functional(xc)), grids) for xc in CLASSICAL]


def _skala_potential(integrator, mol, grids, dm) -> None:
    integrator(mol, grids, dm.clone())


def product_sides(system: System, count: int):
    """XC part of Hessian products in `count` directions, the kernel being there."""
    found = Sides(TARGETS["product"])
    mol, changes = system.mol, system.changes[:count]
    for xc in CLASSICAL:
        found.add(_pyscf_product(numint.NumInt(), system, xc, changes), "PySCF", xc)
    found.add(_pyscf_product(KeptOrbitals(), system, "r2scan", changes), "PySCF", "r2scan", "AO kept")
    for xc, integrator, skala_grids in skala(system):
        dm = torch.from_numpy(system.plain_dm.copy())
        response = integrator.gen_response(mol, skala_grids, dm)
        one_by_one = [torch.from_numpy(change) for change in changes]
        found.add(partial(_each, response, one_by_one), "Skala", xc, against=f"PySCF {xc}")
    for name in functionals(system):
        local = local_xc(system, mean_field(system, name))
        found.add(partial(local.response, (system.left[:count],)), "dixc", name)
        if name == "r2scan":
            side = partial(_matrix_product, local, changes)
            found.add(side, "dixc", name, "whole matrices")
    local = local_xc(system, mean_field(system, "r2scan", keep=False))
    found.add(partial(local.response, (system.left[:count],)), "dixc", "r2scan", "AO not kept")
    return found.both()


def _pyscf_product(ni, system: System, xc: str, changes: np.ndarray) -> Side:
    mol, grids = system.mol, system.mf.grids
    rho, vxc, fxc = ni.cache_xc_kernel(mol, grids, xc, system.mf.mo_coeff, system.mf.mo_occ, 0)
    return partial(ni.nr_rks_fxc, mol, grids, xc, system.plain_dm, changes, 0, 1, rho, vxc, fxc)


def _each(function, arguments) -> None:
    for argument in arguments:
        function(argument)


def local_xc(system: System, mf) -> LocalXC:
    """A functional around the density; its response gives dF C_o, what every Hessian product of dixc asks for."""
    grid = mf._numint.ao_grid(system.mol, system.mf.grids, mf.functional.xctype)
    return LocalXC(mf.functional, grid, (system.orbo,))


def _matrix_product(local: LocalXC, changes: np.ndarray) -> np.ndarray:
    """dF (count, nao, nao), what PySCF's own programs ask `gen_response` for."""
    change = closed_shell_change(local.expansion, local.grid.density(changes))
    return local.grid.potential_matrix(change)


def setup_sides(system: System):
    """Kernel at a new density, then one product: what the first product at new orbitals costs."""
    found = Sides(None)
    mol = system.mol

    def pyscf_side(xc: str) -> object:
        return _pyscf_product(numint.NumInt(), system, xc, system.changes[:1])()

    for xc in CLASSICAL:
        found.add(partial(pyscf_side, xc), "PySCF", xc)
    for xc, integrator, skala_grids in skala(system):

        def skala_side(integrator=integrator, skala_grids=skala_grids) -> None:
            dm = torch.from_numpy(system.plain_dm.copy())
            integrator.gen_response(mol, skala_grids, dm)(torch.from_numpy(system.changes[0]))

        found.add(skala_side, "Skala", xc, against=f"PySCF {xc}")
    for name in functionals(system):
        mf = mean_field(system, name)

        def dixc_side(mf=mf) -> None:
            local_xc(system, mf).response((system.left[:1],))

        found.add(dixc_side, "dixc", name)
    return found.both()

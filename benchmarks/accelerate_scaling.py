"""Growing molecules: plain PySCF against `dixc.pyscf.accelerate`, all costs counted, as CSV.

    python benchmarks/accelerate_scaling.py --families alkane water --sizes 2 4 8 --integrals direct df --xc r2scan
    python benchmarks/accelerate_scaling.py --families peptide --sizes 1 2 --set max_builds=1

Geometries are built here: all-trans alkanes C_nH_2n+2, all-trans polyenes C_2nH_2n+2, extended peptides of n glycines,
clusters of n water molecules on a cubic lattice. Integrals are kept in memory (incore), made on the fly (direct) or
density-fitted (df); both sides use the same. plain_cpu_s and cpu_s are seconds of the processor: with one thread those
of the clock on an idle machine. After the rows come power laws t = c nao^p with the sizes they were fitted to.
"""

from __future__ import annotations

import argparse
import gc
import json
import sys
import time
from itertools import product

import numpy as np
import pandas as pd
import torch
from pyscf import dft, gto, lib

import dixc
import dixc.pyscf
from dixc.functionals import files
from dixc.pyscf.counting import FockBuildCounter

CC, CH, TETRAHEDRAL = 1.53, 1.09, np.deg2rad(109.5)
C_DOUBLE, C_SINGLE, TRIGONAL = 1.35, 1.45, np.deg2rad(124.0)
# backbone of a peptide: N - C_alpha - C - N, bond lengths and the angle at the second atom of each bond
BACKBONE = [("C", 1.45, 111.0), ("C", 1.52, 117.0), ("N", 1.33, 122.0)]


def alkane(n: int) -> list[tuple[str, np.ndarray]]:
    """All-trans C_nH_2n+2, angstrom."""
    half = TETRAHEDRAL / 2
    chain = [np.array([i * CC * np.sin(half), (i % 2) * CC * np.cos(half), 0.0]) for i in range(n)]
    atoms = [("C", c) for c in chain]
    for i, c in enumerate(chain):
        side = 1 if i % 2 else -1
        for z in (1, -1):
            atoms.append(("H", c + CH * np.array([0, side * np.cos(half), z * np.sin(half)])))
        for end, step in ((0, -1), (n - 1, 1)):
            if i == end:
                atoms.append(("H", c + CH * np.array([step * np.sin(half), -side * np.cos(half), 0])))
    return atoms


def polyene(n: int) -> list[tuple[str, np.ndarray]]:
    """All-trans C_2nH_2n+2 with n double bonds, planar, angstrom."""
    half, chain = TRIGONAL / 2, [np.zeros(3)]
    for i in range(2 * n - 1):
        length = C_SINGLE if i % 2 else C_DOUBLE
        chain.append(chain[-1] + length * np.array([np.sin(half), (-1) ** i * np.cos(half), 0]))
    atoms = [("C", c) for c in chain]
    for i, c in enumerate(chain):
        atoms.append(("H", c + CH * np.array([0, 1.0 if i % 2 else -1.0, 0])))
    for c, step, side in ((chain[0], -1, 1), (chain[-1], 1, -1)):
        atoms.append(("H", c + CH * np.array([step * np.sin(half), side * np.cos(half), 0])))
    return atoms


def peptide(n: int) -> list[tuple[str, np.ndarray]]:
    """H-(NH-CH2-CO)_n-OH with a fully extended, planar backbone, angstrom."""
    chain, direction, side = [("N", np.zeros(3))], 0.0, 1
    for i in range(3 * n):  # the last N is where OH goes
        symbol, length, angle = BACKBONE[i % 3]
        step = length * np.array([np.cos(direction), np.sin(direction), 0])
        chain.append((symbol, chain[-1][1] + step))
        direction, side = direction + side * (np.pi - np.deg2rad(angle)), -side
    xyz = [position for _, position in chain]
    before = xyz[0] + np.array([np.cos(np.deg2rad(122.0)), -np.sin(np.deg2rad(122.0)), 0])
    xyz = [before, *xyz]  # a hydrogen in the place of the C before the first N
    atoms = [("H", before)]
    for i, (symbol, _) in enumerate(chain[:-1], start=1):
        here = xyz[i]
        to_neighbours = sum((x - here) / np.linalg.norm(x - here) for x in (xyz[i - 1], xyz[i + 1]))
        outward = -to_neighbours / np.linalg.norm(to_neighbours)
        atoms.append((symbol, here))
        if symbol == "N":
            atoms.append(("H", here + 1.01 * outward))
        elif i % 3 == 2:  # C_alpha
            for z in (1, -1):
                atoms.append(
                    ("H", here + CH * (np.cos(0.94) * outward + z * np.sin(0.94) * np.array([0, 0, 1])))
                )
        else:
            atoms.append(("O", here + 1.23 * outward))
    bond = xyz[-1] - xyz[-2]
    oxygen = xyz[-2] + 1.35 * bond / np.linalg.norm(bond)
    back = xyz[-2] - oxygen
    turn = np.deg2rad(108.0) * side
    rotation = np.array([[np.cos(turn), -np.sin(turn), 0], [np.sin(turn), np.cos(turn), 0], [0, 0, 1]])
    hydrogen = oxygen + 0.97 * rotation @ back / np.linalg.norm(back)
    return [*atoms, ("O", oxygen), ("H", hydrogen)]


def water(n: int) -> list[tuple[str, np.ndarray]]:
    """n molecules on a cubic lattice 3.1 angstrom wide, turned at random (fixed seed), angstrom."""
    rng, edge = np.random.default_rng(0), int(np.ceil(n ** (1 / 3) - 1e-9))
    one = [("O", np.zeros(3)), ("H", np.array([0.757, 0.586, 0])), ("H", np.array([-0.757, 0.586, 0]))]
    atoms: list[tuple[str, np.ndarray]] = []
    for site in list(product(range(edge), repeat=3))[:n]:
        turn = np.linalg.qr(rng.normal(size=(3, 3)))[0]
        atoms += [(symbol, turn @ xyz + 3.1 * np.array(site)) for symbol, xyz in one]
    return atoms


FAMILIES = {"alkane": alkane, "polyene": polyene, "peptide": peptide, "water": water}


def mean_field(mol, hybrid: str, level: int, integrals: str):
    """The hybrid with a built grid and the wanted kind of integrals."""
    mf = dft.RKS(mol, xc=hybrid)
    mf.grids.level, mf.small_rho_cutoff = level, 0
    mf.grids.build()
    if integrals == "df":
        return mf.density_fit()
    mf._is_mem_enough = lambda: integrals == "incore"
    return mf


def solve(mf, functional=None, **settings) -> dict:
    """Wall-clock, builds and energy of one SCF; of the accelerated one with a functional."""
    gc.collect()  # a mean field before, which refers to itself, would keep its integrals
    builds, start, cpu_start = FockBuildCounter(mf), time.perf_counter(), time.process_time()
    if functional is not None:
        mf = dixc.pyscf.accelerate(mf, xc=functional, **settings)
    mf.kernel()
    wall, cpu = time.perf_counter() - start, time.process_time() - cpu_start
    result = {
        "builds": builds.count,
        "wall_s": wall,
        "cpu_s": cpu,
        "hybrid_s": builds.seconds,
        "e_tot": mf.e_tot,
    }
    result["converged"] = bool(mf.converged)
    if functional is not None:
        result |= {"cheap_builds": mf.cheap_fock_builds, "cg_products": mf.cg_products}
        result |= {"cheap_scf_s": mf.cheap_scf_wall_s, "fell_back": mf.accelerated_by_diis}
    return result


def compare(family: str, size: int, integrals: str, arguments: argparse.Namespace, functional) -> dict:
    """One row: both SCFs of one molecule."""
    mol = gto.M(atom=FAMILIES[family](size), basis=arguments.basis, verbose=0, max_memory=arguments.memory)
    plain, fast = (
        solve(mean_field(mol, arguments.hybrid, arguments.grid_level, integrals), f, **settings)
        for f, settings in ((None, {}), (functional, arguments.set))
    )
    row = {"family": family, "size": size, "nao": mol.nao, "integrals": integrals}
    row |= {f"plain_{key}": plain[key] for key in ("builds", "wall_s", "converged")}
    row |= {
        key: fast[key]
        for key in ("builds", "wall_s", "converged", "fell_back", "cheap_builds", "cg_products")
    }
    row["hybrid_build_s"] = (plain["hybrid_s"] + fast["hybrid_s"]) / (plain["builds"] + fast["builds"])
    row["cheap_scf_s"] = fast["cheap_scf_s"]
    row["step_s"] = (fast["wall_s"] - fast["hybrid_s"] - fast["cheap_scf_s"]) / max(1, fast["builds"] - 1)
    row["speedup"] = plain["wall_s"] / fast["wall_s"]
    row["e_diff_Eh"] = fast["e_tot"] - plain["e_tot"]
    return row | {"plain_cpu_s": plain["cpu_s"], "cpu_s": fast["cpu_s"]}


def exponents(table: pd.DataFrame) -> pd.DataFrame:
    """Power laws in nao of a hybrid build, a cheap step and the cheap SCF for each family and kind of integrals."""
    rows = []
    for (family, integrals), part in table.groupby(["family", "integrals"], sort=False):
        row = {
            "family": family,
            "integrals": integrals,
            "nao_from": part["nao"].min(),
            "nao_to": part["nao"].max(),
        }
        if len(part) > 1:
            for key in ("hybrid_build_s", "step_s", "cheap_scf_s"):
                row[f"p_{key}"] = np.polyfit(np.log(part["nao"]), np.log(part[key]), 1)[0]
        rows.append(row)
    return pd.DataFrame(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--families", nargs="+", default=list(FAMILIES), choices=list(FAMILIES))
    parser.add_argument("--sizes", nargs="+", type=int, default=[1, 2, 4])
    parser.add_argument(
        "--integrals", nargs="+", default=["direct", "df"], choices=["incore", "direct", "df"]
    )
    parser.add_argument("--xc", default="r2scan", help="cheap functional: registry name or model file")
    parser.add_argument("--hybrid", default="b3lyp")
    parser.add_argument("--basis", default="def2-svp")
    parser.add_argument("--grid-level", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--memory", type=float, default=8000, help="MB")
    parser.add_argument(
        "--set",
        nargs="+",
        type=lambda text: (text.partition("=")[0], json.loads(text.partition("=")[2])),
        default=[],
        metavar="KEY=VALUE",
        help="settings of dixc.pyscf.Acceleration, such as max_builds=1",
    )
    arguments = parser.parse_args()
    arguments.set = dict(arguments.set)
    torch.set_num_threads(arguments.threads)
    lib.num_threads(arguments.threads)
    functional, rows = files.resolve(arguments.xc), []
    warm_up = gto.M(atom="He 0 0 0; H 0 0 2; H 0 0 2.7", basis="sto-3g", verbose=0)
    solve(mean_field(warm_up, arguments.hybrid, 0, "direct"), functional)
    for family, size, integrals in product(arguments.families, arguments.sizes, arguments.integrals):
        rows.append(compare(family, size, integrals, arguments, functional))
        print(rows[-1], file=sys.stderr, flush=True)
    table = pd.DataFrame(rows)
    table.to_csv(sys.stdout, index=False, float_format="%.3g")
    exponents(table).to_csv(sys.stdout, index=False, float_format="%.2f")


if __name__ == "__main__":
    main()

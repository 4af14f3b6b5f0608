"""What limits the energy from one exact Fock build: each part of the model changed alone, on development molecules.

    python benchmarks/one_build_ablation.py --hybrids b3lyp pbe0 hf --models r2scan xcdiff-b3lyp --molecules 4

Errors in microhartree against a run converged to 1e-12 hartree, all from the same exact build at the orbitals of the
cheap functional's SCF (grid level 0, fitted Coulomb). Columns:

build            energy of the build
functional,R     less 1/2 g . H^-1 g with the functional's Hessian, conjugate gradients to R
functional,L1    the same with orbitals and Hessian on a grid of level 1
third            energy of the functional along that step beyond second order (its sign is that of an addition)
own,X            less 1/2 g . H^-1 g with the hybrid's own Fock matrix and semilocal kernel (level 0) and an exchange
                 response: none, monopole approximation, or fitted in the Coulomb basis
fitted,B,L       minimum of the fitted surrogate: basis B (coulomb, jk: def2-universal-jkfit, etb: even-tempered), grid
                 level L or own
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from pyscf import df, dft, lib, scf
from pyscf.df import df_jk

import dixc.pyscf
from dixc.config import load
from dixc.core.hamiltonian import FixedKernel, ResponseHamiltonian
from dixc.core.newton import truncated_cg
from dixc.core.orbitals import rotate
from dixc.core.state import LEAST_DIAGONAL, State
from dixc.core.two_electron import TwoElectron
from dixc.excitations.matrices import xc_kernel
from dixc.functionals import files
from dixc.molecules import read_xyz
from dixc.pyscf.cheap_model import CheapModel
from dixc.pyscf.exchange import full_range_exchange
from dixc.pyscf.hybrid_steps import HybridSteps
from dixc.pyscf.surrogates import FittedSurrogate
from dixc.reference.method import is_hartree_fock

CONFIG = Path(__file__).parents[1] / "config" / "development.yaml"
RTOL = 3e-3


def mean_field(mol, hybrid: str, like=None):
    """The hybrid, on the integrals and the grid of another one if there is one."""
    mf = scf.RHF(mol) if is_hartree_fock(hybrid) else dft.RKS(mol, xc=hybrid)
    if hasattr(mf, "grids"):
        mf.grids.level = 1
    if like is not None:
        mf._eri = like._eri
        if hasattr(mf, "grids"):
            mf.grids = like.grids
    return mf


def development_molecules(count: int) -> Iterator:
    """The first development molecules."""
    config = load(CONFIG)
    wanted = set(config.molecules.test.names[:count])
    for file in config.molecules.files:
        yield from (
            molecule for molecule in read_xyz(CONFIG.parents[1] / file.path) if molecule.name in wanted
        )


def newton_energy(point: State, hessian: State, rtol: float = RTOL) -> tuple[float, NDArray]:
    """E - 1/2 g . H^-1 g, hartree, and the step."""
    diagonal = np.maximum(hessian.diagonal(), LEAST_DIAGONAL)
    kappa = truncated_cg(hessian.hvp, point.gradient(), diagonal, rtol, 100).kappa
    return point.energy + 0.5 * float(np.vdot(point.gradient(), kappa)), kappa


def third_order(model: CheapModel, point: State, kappa: NDArray) -> float:
    """The functional's energy along a step less its expansion to second order, hartree."""
    plain = model.state(point.orbo, point.orbv)
    energies = [
        model.mf.energy_tot(2 * orbo @ orbo.T)
        for orbo in (rotate(point.orbo, point.orbv, kappa)[0], point.orbo)
    ]
    expansion = float(np.vdot(plain.gradient(), kappa)) + 0.5 * float(np.vdot(kappa, plain.hvp(kappa)))
    return float(energies[0] - energies[1]) - expansion


def own_hessian(mf, model: CheapModel, point: State, exchange: Callable | None) -> State:
    """The hybrid's own Hessian with an approximate exchange response."""
    xc = None
    if hasattr(mf, "grids"):
        coarse = mf.copy()
        coarse.grids = model.mf.grids
        coarse.mo_coeff = np.hstack([point.orbo, point.orbv])
        coarse.mo_occ = np.repeat([2.0, 0.0], [point.orbo.shape[1], point.orbv.shape[1]])
        xc = FixedKernel(*xc_kernel(coarse), point.orbo)

    def get_jk(dm, hermi, with_k):
        return model.mf.get_jk(dm=dm, hermi=hermi, with_k=False)[0], exchange(dm) if with_k else None

    two_electron = TwoElectron(get_jk, full_range_exchange(mf) if exchange else 0.0)
    return State(ResponseHamiltonian(two_electron, xc, fock=point.fock), point.orbo, point.orbv)


def errors(mf, functional, reference: float) -> dict[str, float]:
    """A row of the table."""

    def error(energy: float) -> float:
        return 1e6 * (energy - reference)

    row = {}
    for level in (1, 0):
        model = CheapModel(mf, functional, level, True, True)
        steps = HybridSteps(mf, model, RTOL, False)
        point = steps.build(*model.orbitals(mf.get_init_guess()))
        hessian = model.hessian(point.orbo, point.orbv, point.fock)
        if level:
            row["functional,L1"] = error(newton_energy(point, hessian)[0])
    row["build"] = error(point.energy)
    for rtol in (3e-2, 1e-2, RTOL):
        energy, kappa = newton_energy(point, hessian, rtol)
        row[f"functional,{rtol:g}"] = error(energy)
    row["third"] = 1e6 * third_order(model, point, kappa)
    coulomb = model.mf.with_df
    responses = {
        "none": None,
        "monopole": model.exchange.get_k,
        "fitted": lambda dm: df_jk.get_jk(coulomb, dm, hermi=1, with_j=False)[1],
    }
    for name, exchange in responses.items():
        row[f"own,{name}"] = error(newton_energy(point, own_hessian(mf, model, point, exchange))[0])
    bases = {"coulomb": coulomb}
    for name, basis in (("jk", "def2-universal-jkfit"), ("etb", df.aug_etb(mf.mol))):
        bases[name] = df.DF(mf.mol, auxbasis=basis).build()
    for name, fitting in bases.items():
        for level in (0, None) if hasattr(mf, "grids") else (0,):
            minimum = FittedSurrogate(mf, fitting, level).minimum(point)
            row[f"fitted,{name},{'own' if level is None else level}"] = error(minimum.energy)
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--hybrids", nargs="+", default=["b3lyp", "pbe0", "hf"])
    parser.add_argument("--models", nargs="+", default=["r2scan", "xcdiff-b3lyp"])
    parser.add_argument("--molecules", type=int, default=4, help="number of development molecules")
    parser.add_argument("--basis", default="def2-svp")
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    lib.num_threads(arguments.threads)
    torch.set_num_threads(arguments.threads)
    rows = []
    for molecule in development_molecules(arguments.molecules):
        mol = molecule.to_pyscf(arguments.basis)
        for hybrid in arguments.hybrids:
            tight = dixc.pyscf.accelerate(mean_field(mol, hybrid), xc="r2scan", surrogate="fitted")
            reference = tight.run(conv_tol=1e-12, conv_tol_grad=1e-7).e_tot
            for name in arguments.models:
                row = {"molecule": molecule.name, "hybrid": hybrid, "model": name}
                rows.append(row | errors(mean_field(mol, hybrid, tight), files.resolve(name), reference))
                print(rows[-1], file=sys.stderr, flush=True)
    table = pd.DataFrame(rows)
    table.to_csv(sys.stdout, index=False, float_format="%.4g")
    columns = [name for name in table if name not in ("molecule", "hybrid", "model")]
    means = table[columns].abs().groupby([table["hybrid"], table["model"]]).mean()
    means.to_csv(sys.stdout, float_format="%.3g")


if __name__ == "__main__":
    main()

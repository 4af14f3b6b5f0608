"""Molecules to test and calibrate a hybrid's energy from one Fock build on: writes both xyz files.

    pip install rdkit
    python benchmarks/one_build_molecules.py

`one_build_test.xyz` has forty molecules of 3 to 20 heavy atoms, `one_build_calibration.xyz`
twenty-four others of 3 to 7. No molecule is in both, not even as another conformer. The two files
are kept in the repository, so RDKit, which is no dependency of dixc, is needed only to make them
anew. The script was run with RDKit 2026.09.1: another version may find other conformers.

Geometries come from four sources, named in each comment line:

- QM9: unchanged from config/molecules. Those for the test have 5 heavy atoms or more, so that no
  shipped config trains on them (but config/paper.yaml, which draws from all of QM9). Those for the
  calibration are development molecules (config/development.yaml), and smaller ones that the default
  config neither trains on nor validates with.
- RDKit: conformer of lowest MMFF94s energy out of ten (ETKDGv3, fixed seed).
- experiment: bond lengths and angles near measured ones, to some 0.01 angstrom. Ozone 1.272, 116.8
  degrees; sulfur dioxide 1.431, 119.3 degrees; cubane C-C 1.575, C-H 1.10; [1.1.1]propellane C-C
  1.596 between the bridgeheads and 1.525 to the others, C-H 1.106, H-C-H 116 degrees.
- distorted: RDKit's, with one bond stretched and all beyond it moved along, or each atom moved at
  random.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rdkit import Chem
from rdkit.Chem import AllChem

from dixc.molecules import Molecule, read_xyz, write_xyz

ROOT = Path(__file__).parents[1]
OUT = ROOT / "benchmarks/molecules"
SEED, CONFORMERS, MMFF_STEPS = 0xD1C, 10, 5000


@dataclass(frozen=True)
class Distorted:
    """A molecule out of its minimum.

    Attributes:
        smiles: of the molecule.
        bond: elements of the bond to stretch, of which the first found is taken; the side of the second moves.
        factor: new length of the bond over the old one.
        noise: standard deviation of each coordinate's random change, angstrom.
    """

    smiles: str
    bond: tuple[str, str] | None = None
    factor: float = 1.0
    noise: float = 0.0


def _bent(end: str, centre: str, length: float, angle: float) -> tuple[tuple[str, ...], NDArray]:
    half = np.deg2rad(angle) / 2
    x, y = length * np.sin(half), length * np.cos(half)
    return (centre, end, end), np.array([[0, 0, 0], [x, y, 0], [-x, y, 0]])


def _cubane() -> tuple[tuple[str, ...], NDArray]:
    corners = np.array(list(product((1, -1), repeat=3)), dtype=float)
    carbon, hydrogen = corners * 1.575 / 2, corners * (1.575 / 2 + 1.10 / np.sqrt(3))
    return ("C",) * 8 + ("H",) * 8, np.vstack([carbon, hydrogen])


def _propellane() -> tuple[tuple[str, ...], NDArray]:
    half, radius = 1.596 / 2, np.sqrt(1.525**2 - (1.596 / 2) ** 2)
    out, aside = 1.106 * np.cos(np.deg2rad(58)), 1.106 * np.sin(np.deg2rad(58))
    coords = [[0, 0, half], [0, 0, -half]]
    hydrogens = []
    for angle in np.deg2rad([0, 120, 240]):
        radial, tangent = (
            np.array([np.cos(angle), np.sin(angle), 0]),
            np.array([-np.sin(angle), np.cos(angle), 0]),
        )
        coords.append(radius * radial)
        hydrogens += [(radius + out) * radial + sign * aside * tangent for sign in (1, -1)]
    return ("C",) * 5 + ("H",) * 6, np.array(coords + hydrogens)


EXPERIMENT = {
    "ozone": ("[O-][O+]=O", _bent("O", "O", 1.272, 116.8)),
    "sulfur_dioxide": ("O=S=O", _bent("O", "S", 1.431, 119.3)),
    "cubane": ("C12C3C4C1C5C2C3C45", _cubane()),
    "propellane": ("C1C23CC2(C1)C3", _propellane()),
}
TEST = {
    # QM9: name of the file, and the molecule
    "dsgdb9nsd_000052": 5,  # furan
    "dsgdb9nsd_000105": 5,  # bicyclo[1.1.1]pentane
    "dsgdb9nsd_000109": 5,  # malononitrile
    "dsgdb9nsd_000279": 6,  # butanedione
    "dsgdb9nsd_000710": 6,  # C1C2C1N1CC21
    "dsgdb9nsd_000725": 6,  # tetrazine, C1=NN=NN=C1
    "dsgdb9nsd_000935": 7,  # 2-methylpyridine
    "dsgdb9nsd_003897": 7,  # O=C1C=NON=C1
    "dsgdb9nsd_024698": 9,  # C1CC2=NC=CN=C2C1
    "dsgdb9nsd_032388": 9,  # COC1=CNC(=C1)C#C
    "dsgdb9nsd_111507": 9,  # COC1C2CN2CC1C
    "dsgdb9nsd_116639": 9,  # a zwitterion, CNC=[NH+][C-](C#N)C#N
    # of drug size, and what they are made of
    "fluorouracil": "O=c1[nH]cc(F)c(=O)[nH]1",
    "adenine": "Nc1ncnc2[nH]cnc12",
    "naphthalene": "c1ccc2ccccc2c1",
    "alanine_dipeptide": "CC(=O)N[C@@H](C)C(=O)NC",
    "paracetamol": "CC(=O)Nc1ccc(O)cc1",
    "nicotine": "CN1CCC[C@H]1c1cccnc1",
    "aspirin": "CC(=O)Oc1ccccc1C(=O)O",
    "caffeine": "Cn1cnc2c1c(=O)n(C)c(=O)n2C",
    "ibuprofen": "CC(C)Cc1ccc(cc1)[C@H](C)C(=O)O",
    "sulfamethoxazole": "Cc1cc(NS(=O)(=O)c2ccc(N)cc2)no1",
    "diclofenac": "OC(=O)Cc1ccccc1Nc1c(Cl)cccc1Cl",
    "diazepam": "CN1C(=O)CN=C(c2ccccc2)c2cc(Cl)ccc12",
    # ions
    "acetate": "CC(=O)[O-]",
    "guanidinium": "NC(=[NH2+])N",
    "trimethylammonium": "C[NH+](C)C",
    "imidazolium": "c1c[nH+]c[nH]1",
    "dihydrogen_phosphate": "OP(=O)(O)[O-]",
    "phenolate": "[O-]c1ccccc1",
    "acetylcholine": "CC(=O)OCC[N+](C)(C)C",
    # more charge within
    "glycine_zwitterion": "[NH3+]CC(=O)[O-]",
    "ozone": None,
    "sulfur_dioxide": None,
    # strained
    "cyclopropenone": "O=C1C=C1",
    "propellane": None,
    "cubane": None,
    # distorted
    "fluoroethane_stretched": Distorted("CCF", ("C", "F"), 1.3),
    "vinyl_chloride_stretched": Distorted("C=CCl", ("C", "Cl"), 1.25),
    "pyridine_rattled": Distorted("c1ccncc1", noise=0.05),
}
CALIBRATION = {
    # QM9
    "dsgdb9nsd_000019": 4,  # acetamide
    "dsgdb9nsd_000023": 4,  # butadiyne
    "dsgdb9nsd_000028": 4,  # glyoxal
    "dsgdb9nsd_000127": 5,  # 3-hydroxypropionitrile
    "dsgdb9nsd_000171": 5,  # 1,2,3-oxadiazole
    "dsgdb9nsd_000227": 6,  # CC(C)(O)CO
    "dsgdb9nsd_000497": 6,  # O=CNCC#C
    "dsgdb9nsd_000912": 7,  # O=C1C=COC=N1
    "dsgdb9nsd_001059": 7,  # OCC1=NC=CN1
    "dsgdb9nsd_002827": 7,  # O=CC1NC1C=O
    "dsgdb9nsd_003476": 7,  # CC12C3CN1CC23
    # ions
    "formate": "[O-]C=O",
    "dimethylammonium": "C[NH2+]C",
    "acetamidinium": "CC(=[NH2+])N",
    "nitrate": "[O-][N+](=O)[O-]",
    # more charge within
    "trimethylamine_oxide": "C[N+](C)(C)[O-]",
    "beta_alanine_zwitterion": "[NH3+]CCC(=O)[O-]",
    # strained
    "bicyclobutane": "C1C2CC12",
    "spiropentane": "C1CC12CC2",
    # elements that QM9 does not have
    "dichloromethane": "ClCCl",
    "dimethylphosphine": "CPC",
    "thiophene": "c1ccsc1",
    # distorted
    "dimethyl_sulfide_stretched": Distorted("CSC", ("S", "C"), 1.25),
    "fluoroethene_rattled": Distorted("C=CF", noise=0.05),
}


def molecules(wanted: dict[str, int | str | Distorted | None]) -> list[Molecule]:
    """The molecules of a file, sorted by number of heavy atoms and name."""
    files: dict[str, dict[str, Molecule]] = {}
    made = []
    for name, recipe in wanted.items():
        if isinstance(recipe, int):
            file = f"config/molecules/qm9_heavy{'1-4' if recipe < 5 else recipe}.xyz"
            if file not in files:
                files[file] = {molecule.name: molecule for molecule in read_xyz(ROOT / file)}
            molecule = files[file][name]
            smiles, source = molecule.info["smiles"], "QM9"
        elif recipe is None:
            smiles, (symbols, coords) = EXPERIMENT[name]
            molecule, source = Molecule(name, symbols, coords), "experiment"
        elif isinstance(recipe, Distorted):
            smiles, source = recipe.smiles, "distorted"
            molecule = distort(*conformer(name, smiles), recipe)
        else:
            smiles, source = recipe, "RDKit"
            molecule = conformer(name, smiles)[0]
        info = {"smiles": Chem.CanonSmiles(smiles, useChiral=0), "source": source}
        made.append(replace(molecule, info=info))
    return sorted(made, key=lambda m: (m.n_heavy, m.name))


def conformer(name: str, smiles: str) -> tuple[Molecule, Chem.Mol]:
    """The best of ten conformers, and RDKit's molecule with the same order of atoms."""
    mol = Chem.AddHs(Chem.MolFromSmiles(smiles))
    parameters = AllChem.ETKDGv3()
    parameters.randomSeed = SEED
    AllChem.EmbedMultipleConfs(mol, CONFORMERS, parameters)
    results = AllChem.MMFFOptimizeMoleculeConfs(mol, maxIters=MMFF_STEPS, mmffVariant="MMFF94s")
    if not results or any(left for left, _ in results):
        raise SystemExit(f"{name}: no conformer, or not minimised: {results}")
    best = int(np.argmin([energy for _, energy in results]))
    symbols = tuple(atom.GetSymbol() for atom in mol.GetAtoms())
    coords = mol.GetConformers()[best].GetPositions()
    return Molecule(name, symbols, coords, Chem.GetFormalCharge(mol)), mol


def distort(molecule: Molecule, mol: Chem.Mol, how: Distorted) -> Molecule:
    """The molecule with a bond stretched, or its atoms moved."""
    coords = molecule.coords_angstrom + how.noise * np.random.default_rng(SEED).normal(
        size=molecule.coords_angstrom.shape
    )
    if how.bond is not None:
        still, moving = next(
            (i, j)
            for bond in mol.GetBonds()
            for i, j in (
                (bond.GetBeginAtomIdx(), bond.GetEndAtomIdx()),
                (bond.GetEndAtomIdx(), bond.GetBeginAtomIdx()),
            )
            if (molecule.symbols[i], molecule.symbols[j]) == how.bond
        )
        cut = Chem.RWMol(mol)
        cut.RemoveBond(still, moving)
        side = next(list(part) for part in Chem.GetMolFrags(cut) if moving in part)
        coords[side] += (how.factor - 1) * (coords[moving] - coords[still])
    return replace(molecule, coords_angstrom=coords)


def main() -> None:
    for name, wanted in (("test", TEST), ("calibration", CALIBRATION)):
        made = molecules(wanted)
        write_xyz(OUT / f"one_build_{name}.xyz", made)
        print(f"{name}: {len(made)} molecules, {made[0].n_heavy} to {made[-1].n_heavy} heavy atoms")


if __name__ == "__main__":
    main()

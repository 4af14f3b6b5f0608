"""Molecules and small reference records shared by the tests."""

from __future__ import annotations

from pathlib import Path

import pytest

REFERENCE = {
    "functional": "b3lyp",
    "basis": "def2-svp",
    "grid_level": 0,
    "conv_tol": 1e-11,
    "conv_tol_grad": 1e-7,
    "max_cycle": 100,
    "max_failed_fraction": 0.0,
}
GEOMETRIES = {
    "water": "O 0 0 0.1178; H 0 0.7555 -0.4712; H 0 -0.7555 -0.4712",
    "methane": "C 0 0 0; H .629 .629 .629; H -.629 -.629 .629; H -.629 .629 -.629; H .629 -.629 -.629",
    "ammonia": "N 0 0 .1; H 0 .94 -.23; H .814 -.47 -.23; H -.814 -.47 -.23",
    "lithium fluoride": "Li 0 0 0; F 0 0 1.5639",
    "hydrogen sulfide": "S 0 0 .1; H 0 .97 -.82; H 0 -.97 -.82",
    "methyl chloride": "C 0 0 -1.12; Cl 0 0 .66; H 0 1.03 -1.45; H .89 -.51 -1.45; H -.89 -.51 -1.45",
}


def molecule(name: str, basis: str = "def2-svp", shift: float = 0.0):
    """A PySCF molecule of `GEOMETRIES`; `shift` moves its first atom along x, in angstrom."""
    from pyscf import gto

    mol = gto.M(atom=GEOMETRIES[name], basis=basis, verbose=0)
    coords = mol.atom_coords(unit="Angstrom")
    coords[0, 0] += shift
    return mol.set_geom_(coords, unit="Angstrom", inplace=False)


def reference_record(name: str, split: str = "train", **changes):
    """A converged reference of one molecule, and its derivative datasets."""
    from dixc.config.sections import Derivatives, Reference
    from dixc.core.integrals import FittedIntegrals
    from dixc.reference.derivatives import compute
    from dixc.reference.method import reference_mean_field
    from dixc.reference.record import ReferenceRecord

    settings = Reference(**REFERENCE | changes)
    mol = molecule(name)
    mf = reference_mean_field(mol, settings)
    mf.kernel()
    assert mf.converged
    record = ReferenceRecord(
        name=name,
        split=split,
        charge=0,
        atomic_numbers=mol.atom_charges(),
        coords=mol.atom_coords(),
        mo_coeff=mf.mo_coeff,
        mo_occ=mf.mo_occ,
        mo_energy=mf.mo_energy,
        dipole=mf.dip_moment(unit="Debye", verbose=0),
        e_tot=float(mf.e_tot),
        settings=settings,
        **FittedIntegrals(mol).errors(mf.make_rdm1(), *mf.get_jk()),
    )
    derivatives = compute(record, Derivatives(max_dense_pairs=1500, n_probes=4, n_states=3))
    return record, derivatives


@pytest.fixture(scope="session")
def water():
    """Reference record of water and its derivatives."""
    return reference_record("water")


@pytest.fixture(scope="session")
def miniature(tmp_path_factory) -> Path:
    """Folder in which the workflow has run on a miniature config, mini.yaml; tests leave it as it is."""
    from miniature import MINIATURE, prepare, snakemake

    folder = tmp_path_factory.mktemp("miniature")
    prepare(folder, MINIATURE)
    done = snakemake(folder, "--cores", "2", "--configfile", "mini.yaml")
    assert done.returncode == 0, done.stdout[-6000:]
    return folder


@pytest.fixture(scope="session")
def finished(tmp_path_factory):
    """A workflow with a fake `dixc` that has run; tests change its config, put it back, and look at dry runs only."""
    from fake_workflow import Workflow

    workflow = Workflow(tmp_path_factory.mktemp("finished"))
    done = workflow.snakemake()
    assert done.returncode == 0, done.stdout
    assert "the report is results/tiny/report.html" in done.stdout
    return workflow

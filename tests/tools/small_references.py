"""Converged references of small molecules, as the stages before a training make them."""

from __future__ import annotations

from small_molecules import molecule

REFERENCE = {
    "functional": "b3lyp",
    "basis": "def2-svp",
    "grid_level": 0,
    "conv_tol": 1e-11,
    "conv_tol_grad": 1e-7,
    "max_cycle": 100,
    "max_failed_fraction": 0.0,
}


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

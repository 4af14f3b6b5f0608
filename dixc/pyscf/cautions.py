"""What a mean field on a dixc functional refuses, and what it warns of."""

from __future__ import annotations

from pyscf.gto.mole import MoleBase

from dixc.elements import NUMBERS
from dixc.errors import InputError, warn
from dixc.functionals.base import Functional
from dixc.functionals.identity import display_name, is_untrained


def is_periodic(mol) -> bool:
    """Whether a PySCF molecule is a unit cell of `pyscf.pbc`."""
    return hasattr(mol, "lattice_vectors")


def require_molecule(mol) -> None:
    """Refuses what has no density of a molecule.

    Raises:
        InputError: no molecule of PySCF's, or one that is not built; a periodic cell, a model without atoms, or more
            electrons than orbitals hold.
    """
    if not isinstance(mol, MoleBase):
        raise InputError(f"a molecule of PySCF is needed (pyscf.gto.M), not {mol!r:.60}")
    if not mol._built:
        raise InputError("the molecule is not built yet: mol.build()")
    if is_periodic(mol):
        raise InputError("a periodic cell: dixc is for molecules (pyscf.gto.M, not pyscf.pbc)")
    if mol.natm == 0:
        raise InputError("a model without atoms has no grid, which a dixc functional needs")
    require_room(mol)


def require_room(mol) -> None:
    """Refuses more electrons than orbitals hold.

    Raises:
        InputError: so it is.
    """
    if max(mol.nelec) > mol.nao:
        raise InputError(f"{mol.nelectron} electrons do not fit into the {mol.nao} orbitals of this basis")


def require_closed_shell(mol) -> None:
    """Refuses open shells, and what `require_molecule` refuses.

    Raises:
        InputError: so it is.
    """
    require_molecule(mol)
    if mol.spin != 0:
        raise InputError(
            f"dixc.pyscf.RKS needs a closed shell, this molecule has spin {mol.spin}: use dixc.pyscf.UKS"
        )


def warn_of(functional: Functional, mol) -> None:
    """Warns once a functional of untrained weights, and once an element of those that its training did not see."""
    _warn_of_no_training(functional)
    warn_of_elements(functional, mol)


def _warn_of_no_training(functional: Functional) -> None:
    if functional.warned_of_no_training or not is_untrained(functional):
        return
    functional.warned_of_no_training = True
    warn(
        f"{display_name(functional)}: its weights are untrained, so its energies mean nothing; "
        "train it, or take a trained one (`dixc models` lists them)"
    )


def warn_of_elements(functional: Functional, mol) -> None:
    """Warns once of each element that the training of a functional did not see."""
    trained = functional.metadata.get("elements")
    if not isinstance(trained, list):
        return
    said = {*trained, *functional.warned_of}
    # PySCF calls a ghost GHOST-O: no element, and no density of its own
    present = {mol.atom_pure_symbol(i) for i in range(mol.natm)} & NUMBERS.keys()
    new = sorted(present - said)
    if new:
        functional.warned_of = (*functional.warned_of, *new)
        warn(
            f"{display_name(functional)}: trained on {', '.join(map(str, trained))} only, used for "
            f"{', '.join(new)}: its results for such molecules are an extrapolation, check some"
        )

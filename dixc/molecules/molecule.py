"""A molecule, and what dixc can say about it before any quantum chemistry."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dixc.elements import NUMBERS
from dixc.errors import InputError

if TYPE_CHECKING:
    from pyscf.gto import Mole

# bases for a potential that PySCF has under another name, if at all
CORELESS_BASES = ("bfd", "ccecp", "gth")


@dataclass(frozen=True, eq=False)
class Molecule:
    """A molecule in its geometry.

    Attributes:
        name: unique in a run; ends up in tables and HDF5 groups.
        symbols: elements, one an atom.
        coords_angstrom: nuclei (natm, 3), angstrom; read-only.
        charge: total charge, e.
        split: train, validation or test; empty before the division.
        info: other entries of the comment line of its xyz file, as text (such as smiles).
    """

    name: str
    symbols: tuple[str, ...]
    coords_angstrom: NDArray[np.float64]
    charge: int = 0
    split: str = ""
    info: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        coords = np.array(self.coords_angstrom, dtype=float)
        if coords.shape != (len(self.symbols), 3):
            raise ValueError(f"{self.name}: {len(self.symbols)} atoms, coordinates of shape {coords.shape}")
        coords.flags.writeable = False
        object.__setattr__(self, "symbols", tuple(self.symbols))
        object.__setattr__(self, "coords_angstrom", coords)

    @property
    def n_heavy(self) -> int:
        """Number of atoms other than hydrogen."""
        return sum(symbol != "H" for symbol in self.symbols)

    @property
    def atomic_numbers(self) -> tuple[int, ...]:
        """Nuclear charges, e."""
        return tuple(NUMBERS[symbol] for symbol in self.symbols)

    @property
    def n_electrons(self) -> int:
        """Number of electrons."""
        return sum(self.atomic_numbers) - self.charge

    @property
    def formula(self) -> str:
        """Hill formula, see `hill_formula`."""
        return hill_formula(self.symbols, self.charge)

    def to_pyscf(self, basis: str, **options: Any) -> Mole:
        """PySCF molecule, a closed shell.

        Args:
            basis: orbital basis, as PySCF names it.
            **options: more keywords of `pyscf.gto.M`.

        Raises:
            InputError: PySCF has no such basis, or one that needs effective core potentials.
        """
        from pyscf import gto
        from pyscf.lib.exceptions import BasisNotFoundError

        if not basis.strip():  # PySCF would go on without any function
            raise InputError(f"{self.name}: no basis is named")
        with_core = sorted({symbol for symbol in self.symbols if _has_core_potential(basis, symbol)})
        if with_core and "ecp" not in options:
            raise InputError(
                f"{self.name}: {basis} of {', '.join(with_core)} goes with an effective core potential, "
                "which dixc does not have"
            )
        settings = {"unit": "angstrom", "charge": self.charge, "spin": 0, "verbose": 0} | options
        atoms = list(zip(self.symbols, self.coords_angstrom.tolist(), strict=True))
        try:
            with warnings.catch_warnings():
                # its hint at another package would stand before our one line
                warnings.filterwarnings("ignore", message="Basis may be available in basis-set-exchange")
                return gto.M(atom=atoms, basis=basis, **settings)
        except (BasisNotFoundError, KeyError) as error:
            reason = " ".join(str(error).split())
            raise InputError(f"{self.name}: PySCF has no basis {basis!r} for it ({reason})") from None


@cache
def _has_core_potential(basis: str, symbol: str) -> bool:
    """Whether a basis leaves out the core electrons of an element, and needs a potential."""
    from pyscf import gto
    from pyscf.lib.exceptions import BasisNotFoundError

    if basis.lower().startswith(CORELESS_BASES):
        return True
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # hints at another package that may have a potential
            return bool(gto.basis.load_ecp(basis, symbol))
    except (BasisNotFoundError, RuntimeError, KeyError):
        return False


def hill_formula(symbols: Sequence[str], charge: int) -> str:
    """Hill formula: C, H, then by alphabet; all by alphabet without C; the charge if any."""
    counts = Counter(symbols)
    first = ["C", "H"] if "C" in counts else []
    order = [s for s in first if s in counts] + sorted(counts.keys() - set(first))
    formula = "".join(s + (str(counts[s]) if counts[s] > 1 else "") for s in order)
    if not charge:
        return formula
    size = abs(charge)
    return formula + ("+" if charge > 0 else "-") + (str(size) if size > 1 else "")


# what a comment line may call the spin, in small letters, and what it then says of a singlet
SINGLETS = {
    "multiplicity": ("1",),
    "spin_multiplicity": ("1",),
    "mult": ("1",),
    "uhf": ("0",),  # unpaired electrons
    "spin": ("0", "1"),  # 2S for some programs and 2S+1 for others: with even electrons both mean a singlet
}


def open_shell_reason(molecule: Molecule) -> str | None:
    """Why a molecule is no closed shell, by its electrons or its file; None if it is one."""
    electrons = molecule.n_electrons
    if electrons < 1:
        return f"{electrons} electrons with charge {molecule.charge}"
    if electrons % 2:
        return f"{electrons} electrons, an odd number: only closed shells are supported"
    for key, stated in molecule.info.items():
        singlets = SINGLETS.get(key.lower())
        if singlets is not None and stated.strip().removesuffix(".0") not in singlets:
            return f"{key}={stated}: only closed shells are supported"
    return None

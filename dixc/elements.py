"""Chemical symbols and nuclear charges."""

from __future__ import annotations

# fmt: off
SYMBOLS = (
    "H", "He",
    "Li", "Be", "B", "C", "N", "O", "F", "Ne",
    "Na", "Mg", "Al", "Si", "P", "S", "Cl", "Ar",
    "K", "Ca", "Sc", "Ti", "V", "Cr", "Mn", "Fe", "Co", "Ni", "Cu", "Zn", "Ga", "Ge", "As", "Se", "Br", "Kr",
    "Rb", "Sr", "Y", "Zr", "Nb", "Mo", "Tc", "Ru", "Rh", "Pd", "Ag", "Cd", "In", "Sn", "Sb", "Te", "I", "Xe",
    "Cs", "Ba", "La", "Ce", "Pr", "Nd", "Pm", "Sm", "Eu", "Gd", "Tb", "Dy", "Ho", "Er", "Tm", "Yb", "Lu",
    "Hf", "Ta", "W", "Re", "Os", "Ir", "Pt", "Au", "Hg", "Tl", "Pb", "Bi", "Po", "At", "Rn",
    "Fr", "Ra", "Ac", "Th", "Pa", "U", "Np", "Pu", "Am", "Cm", "Bk", "Cf", "Es", "Fm", "Md", "No", "Lr",
    "Rf", "Db", "Sg", "Bh", "Hs", "Mt", "Ds", "Rg", "Cn", "Nh", "Fl", "Mc", "Lv", "Ts", "Og",
)
# fmt: on
MAX_DIGITS = 3
NUMBERS = {symbol: number for number, symbol in enumerate(SYMBOLS, start=1)}


def symbol_of(word: str) -> str | None:
    """The symbol that a word of a file stands for: in any case, or as an atomic number; None if it is no element."""
    if word.isdecimal():
        number = int(word) if len(word) <= MAX_DIGITS else 0  # Python refuses thousands of digits
        return SYMBOLS[number - 1] if 1 <= number <= len(SYMBOLS) else None
    symbol = word.capitalize()
    return symbol if symbol in NUMBERS else None

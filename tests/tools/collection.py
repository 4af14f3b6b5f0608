"""A collection of molecules as large as QM9, in the format of the package qm9pack.

Compositions are real by size, geometries are not: nobody reads them.
"""

from __future__ import annotations

import random
from pathlib import Path

# QM9 without fluorine by number of heavy atoms; the largest fill up the rest
BY_SIZE = {1: 3, 2: 5, 3: 9, 4: 31, 5: 126, 6: 602, 7: 3108, 8: 17607}


def write_collection(path: Path, count: int) -> None:
    """Writes a table of `count` molecules of up to 9 heavy atoms."""
    draw = random.Random(0)
    heavy = [size for size, number in BY_SIZE.items() for _ in range(number)]
    heavy += [9] * (count - len(heavy))
    with open(path, "w") as file:
        file.write("Index,XYZ_file,SMILES,Elements,XYZ_Ang\n")
        for index, n in enumerate(heavy, 1):
            elements = draw.choices("CNO", (7, 1, 1), k=n) + ["H"] * 2 * draw.randint(1, n)
            if elements.count("N") % 2:  # an even number of electrons
                elements.append("H")
            names = "', '".join(elements)
            places = ", ".join(f"[{1.4 * i:.10f}, 0.0, {index % 7:.10f}]" for i in range(len(elements)))
            file.write(f'{index},dsgdb9nsd_{index:06d}.xyz,{"C" * n},"[\'{names}\']","[{places}]"\n')

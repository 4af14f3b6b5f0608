"""Files in the formats of QM9, its package and QM40."""

from __future__ import annotations

import io
import tarfile

QM9_WATER = (
    "3\ngdb 3\t799.58812\t437.90386\t282.94545\t1.8511\t6.31\t-0.2928\t0.0687\t0.3615\t19.0002\t0.021375\t-76.404702"
    "\t-76.401867\t-76.400922\t-76.422349\t6.002\t\n"
    "O\t-0.0343604951\t 0.9775395708\t 0.0076015923\t-0.589706\nH\t 0.0647664923\t 0.0205721989\t 1.5346341*^-3\t0.3\n"
    "H\t 0.8717903737\t 1.3007924048\t 6.931336*^-4\t 0.294\n1671.4222\t3803.6305\t3907.698\nO\tO\n"
    "InChI=1S/H2O/h1H2\tInChI=1S/H2O/h1H2\n"
)
# head, foot and columns as in QM9's own list; the molecules in it are others
LIST = "a head line\n\n  Index   SMILES\n-----\n      {}   O   reason\n-----\nmolecules in total\n"
QM9PACK_HEADER = "XYZ_file,Index,SMILES,Elements,XYZ_Ang\n"
QM40_HEADER = "Zinc_id,smile,atom,init_x,init_y,init_z,final_x,final_y,final_z,charge\n"


def qm9_file(index, molecule=QM9_WATER):
    return molecule.replace("gdb 3\t", f"gdb {index}\t")


def qm9pack_rows(*names):
    rows = [
        f'"{name}.xyz",{i},"O","[\'O\',\'H\',\'H\']","[[0.,0.,0.119],[0.,0.763,-0.477],[{i / 10},-0.763,-0.477]]"\n'
        for i, name in enumerate(names)
    ]
    return QM9PACK_HEADER + "".join(rows)


def qm40_rows(name, smiles, atoms):
    return "".join(
        f"{name},{smiles},{s},9,9,9,{x},{y},{z},-0.1\n" for s, x, y, z in map(str.split, atoms.splitlines())
    )


def archive_of(path, members):
    with tarfile.open(path, "w:bz2") as archive:
        for name, text in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(text.encode())
            archive.addfile(member, io.BytesIO(text.encode()))
    return path

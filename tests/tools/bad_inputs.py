"""Bad inputs of the commands, the files that hold them, and the one line that each gets."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple


class Case(NamedTuple):
    """A bad input.

    Attributes:
        what: in words.
        command: what is typed, in a folder with the files of `FILES`.
        line: all that appears on stderr, after "dixc: error: " (or "dixc: warning: ").
        how: "call" in this process, "shell" in a shell of its own, "nobody" as a user without rights.
        warning: the work goes on and the exit code is 0.
    """

    what: str
    command: str
    line: str
    how: str = "call"
    warning: bool = False


WATER = "O 0 0 0.1178\nH 0 0.7555 -0.4712\nH 0 -0.7555 -0.4712\n"
HYDROGEN = "2\nname=hydrogen\nH 0 0 0\nH 0 0 0.74\n"
MOLECULES = f"3\nname=water\n{WATER}2\nname=fluoride\nF 0 0 0\nH 0 0 0.92\n{HYDROGEN}"
CONFIG = """\
run: small
molecules:
  files: [three.xyz]
  train: {count: 1, min_heavy: 1, max_heavy: 1}
  validation: {count: 1, min_heavy: 0, max_heavy: 0}
  test: {names: [fluoride]}
reference: {basis: sto-3g, grid_level: 0}
"""
TEXTS = {
    "three.xyz": MOLECULES,
    "good.yaml": CONFIG,
    # all molecules of the same element
    "same.yaml": CONFIG.replace("three.xyz", "same.xyz").replace("fluoride", "h2").replace("heavy: 1", "heavy: 0"),
    "same.xyz": "".join(f"2\nname=h{i}\nH 0 0 0\nH 0 0 {0.7 + i / 20}\n" for i in range(3)),
    # molecules
    "element.xyz": "2\nname=odd\nXq 0 0 0\nH 0 0 1\n",
    "methyl.xyz": "4\nname=methyl\nC 0 0 0\nH 1 0 0\nH -.5 .8 0\nH -.5 -.8 0\n",
    "overlap.xyz": "3\nname=close\nO 0 0 0\nH 0 0 .96\nH 0 0 .97\n",
    "cut.xyz": "3\nname=water\nO 0 0 0.1178\nH 0 0.7555",
    "short.xyz": "3\nname=water\nO 0 0 0.1178\n",
    "empty.xyz": "",
    "words.xyz": "hello\n",
    "number.xyz": "2\nname=hf\nF 0 0 zero\nH 0 0 .92\n",
    "nan.xyz": "2\nname=hf\nF 0 0 nan\nH 0 0 .92\n",
    "crystal.xyz": '1\nname=neon Lattice="4 0 0 0 4 0 0 0 4"\nNe 0 0 0\n',
    "inbohr.xyz": "2\nname=hydrogen units=bohr\nH 0 0 0\nH 0 0 1.4\n",
    "twice.xyz": "1\nname=neon\nNe 0 0 0\n" * 2,
    "nameless.xyz": "1\n\nNe 0 0 0\n" * 2,
    "charge.xyz": "1\nname=ion charge=half\nLi 0 0 0\n",
    "iodine.xyz": "2\nname=iodine\nI 0 0 0\nI 0 0 2.67\n",
    "hbohr.xyz": "2\nname=hydrogen\nH 0 0 0\nH 0 0 1.4\n",
    "close.xyz": "2\nname=oh charge=-1\nO 0 0 0\nH 0 0 0.6\n",
    "label.xyz": "2\nname=co\nC1 0 0 0\nO1 0 0 1.13\n",
    "some.xyz": f"{HYDROGEN}4\nname=methyl\nC 0 0 0\nH 1 0 0\nH -.5 .8 0\nH -.5 -.8 0\n",
    "electrons.xyz": "1\nname=ion charge=-3\nH 0 0 0\n",
    "other.jsonl": '{"name": "something else"}\n',
    "bohr.xyz": "3\nname=water\nO 0 0 0.2226\nH 0 1.4277 -0.8904\nH 0 -1.4277 -0.8904\n",
    # configs
    "misspelt.yaml": CONFIG + "traning: {}\n",
    "type.yaml": CONFIG + "training: {steps: many}\n",
    "range.yaml": CONFIG + "training: {steps: 0}\n",
    "huge.yaml": CONFIG + "training: {seeds: [1000000000000000000000000000000]}\n",
    "device.yaml": CONFIG + "training: {device: tpu}\n",
    "long.yaml": CONFIG.replace("run: small", "run: " + 300 * "r"),
    "nomodel.yaml": CONFIG + "models: [{name: xcdif}]\n",
    "classical.yaml": CONFIG + "models: [{name: pbe}]\n",
    "large.yaml": CONFIG + "models: [{name: xcdiff, hyperparameters: {n_hidden: 50000}}]\n",
    "baseline.yaml": CONFIG + "evaluation: {baselines: [scan]}\n",
    "target.yaml": CONFIG + "prefit: {target: xcdiff}\n",
    "broken.yaml": "run: [\n",
    "twice.yaml": CONFIG + "run: again\n",
    "empty.yaml": "",
    "outside.yaml": CONFIG.replace("run: small", "run: ../../x"),
    "model.yaml": CONFIG + "models: [{name: ../x}]\n",
    "self.yaml": "a: &a [*a]\n",
    "unsame.yaml": CONFIG.replace("[fluoride]", "[flouride]"),
    "many.yaml": CONFIG.replace("count: 1, min_heavy: 1", "count: 5, min_heavy: 1"),
    "nofile.yaml": CONFIG.replace("three.xyz", "four.xyz"),
    "basis.yaml": CONFIG.replace("sto-3g", "sto-4711g"),
    "functional.yaml": CONFIG.replace("{basis", "{functional: b3lpy, basis"),
    "hyper.yaml": CONFIG + "models: [{name: xcdiff, hyperparameters: {depth: 3}}]\n",
    # files of other kinds
    "words.h5": "not a chunk",
    "words.pt": "not a model",
    "words.csv": "a,b\n1,2\n",
    "empty.csv": "",
    "notes.txt": "notes",
    "file": "",
}  # fmt: skip


def _cut(path: Path) -> None:
    path.write_bytes(path.with_name("reference.h5").read_bytes()[:-100])


def _flipped(path: Path) -> None:
    data = bytearray(path.with_name("reference.h5").read_bytes())
    data[2000] ^= 1
    path.write_bytes(data)


def _newer_chunk(path: Path) -> None:
    path.write_bytes(path.with_name("reference.h5").read_bytes().replace(b"format=1", b"format=2", 1))


def _foreign_hdf5(path: Path) -> None:
    import h5py

    with h5py.File(path, "w") as file:
        file["x"] = 1


def _reference(path: Path) -> None:
    from fuzz import make_chunk

    make_chunk(path)


def _linked(path: Path) -> None:
    import h5py

    from dixc.store.files import write_chunk

    link = h5py.ExternalLink("other.h5", "molecule")
    write_chunk(path, "reference", {}, lambda file: file.__setitem__("water", link))


def _derivatives(path: Path) -> None:
    from dixc.store import ChunkWriter

    ChunkWriter(path, "derivatives", {}, key="k").finish(0.0)


def _scf(path: Path) -> None:
    from dixc.store import ChunkWriter

    tags = {"model": "pbe", "loss": "none", "seed": 0}
    ChunkWriter(path, "scf", {}, key="k", attributes=tags).finish(0.0)


def _model(path: Path) -> None:
    from dixc.functionals import files, registry

    metadata = {"model": "xcdiff", "loss": "hess", "seed": 0, "elements": ["H", "C", "N", "O"]}
    files.save(registry.create("xcdiff", n_hidden=3, n_layers=1), path, metadata)


def _model_with(**changes: object) -> Callable[[Path], None]:
    def make(path: Path) -> None:
        import torch

        torch.save(torch.load(path.with_name("model.pt"), weights_only=True) | changes, path)

    return make


def _model_cut(path: Path) -> None:
    path.write_bytes(path.with_name("model.pt").read_bytes()[:3000])


def _model_flipped(path: Path) -> None:
    data = bytearray(path.with_name("model.pt").read_bytes())
    data[data.index(b"xcdiff")] ^= 1
    path.write_bytes(data)


class _Code:
    def __reduce__(self):
        return print, ("run from a model file",)


def _model_with_code(path: Path) -> None:
    _model_with(metadata={"x": _Code()})(path)


BINARIES: dict[str, Callable[[Path], None]] = {
    "binary.xyz": lambda path: path.write_bytes(b"\xff\xfe\x00") and None,
    "reference.h5": _reference, "derivatives.h5": _derivatives, "scf.h5": _scf, "cut.h5": _cut,
    "flipped.h5": _flipped, "newer.h5": _newer_chunk, "foreign.h5": _foreign_hdf5, "model.pt": _model,
    "newer.pt": _model_with(version=2, dixc="9.9"), "incomplete.pt": _model_with(metadata=None),
    "other.pt": _model_with(format="other"), "size.pt": _model_with(hyperparameters={"n_hidden": 9, "n_layers": 1}),
    "cut.pt": _model_cut, "flipped.pt": _model_flipped, "code.pt": _model_with_code,
    "folder": lambda path: path.mkdir(), "pipe": os.mkfifo, "linked.h5": _linked,
    "utf16.xyz": lambda path: path.write_bytes("1\nname=neon\nNe 0 0 0\n".encode("utf-16")) and None,
}  # fmt: skip

TABLES: dict[str, list[Case]] = {
    "Molecules": [
        Case(
            "unknown element",
            "dixc scf element.xyz --xc pbe --basis sto-3g --grid-level 0",
            "element.xyz: frame 1 (line 3, odd): unknown element 'Xq'",
        ),
        Case(
            "odd number of electrons",
            "dixc scf methyl.xyz --xc pbe --basis sto-3g --grid-level 0",
            "methyl.xyz: frame 1 (line 1, methyl): 9 electrons, an odd number: only closed shells are supported",
        ),
        Case(
            "odd number of electrons, by `--charge`",
            "dixc scf three.xyz --xc pbe --basis sto-3g --grid-level 0 --charge 1",
            "three.xyz: frame 1 (line 1, water): 9 electrons, an odd number: only closed shells are supported",
        ),
        Case(
            "atoms on top of each other",
            "dixc scf overlap.xyz --xc pbe --basis sto-3g --grid-level 0",
            "overlap.xyz: frame 1 (line 1, close): atoms 2 (H) and 3 (H) are 0.010 angstrom apart, less than 0.4",
        ),
        Case(
            "file cut off in the middle of a line",
            "dixc scf cut.xyz --xc pbe --basis sto-3g --grid-level 0",
            "cut.xyz: frame 1 (line 1, water): truncated: 2 of 3 atoms are there",
        ),
        Case(
            "file cut off between lines",
            "dixc scf short.xyz --xc pbe --basis sto-3g --grid-level 0",
            "short.xyz: frame 1 (line 1, water): truncated: 1 of 3 atoms are there",
        ),
        Case(
            "empty file",
            "dixc scf empty.xyz --xc pbe --basis sto-3g --grid-level 0",
            "empty.xyz: no molecules in it",
        ),
        Case(
            "not an xyz file",
            "dixc scf words.xyz --xc pbe --basis sto-3g --grid-level 0",
            "words.xyz: frame 1 (line 1): 'hello' where the number of atoms should be",
        ),
        Case(
            "not a text file",
            "dixc scf binary.xyz --xc pbe --basis sto-3g --grid-level 0",
            "binary.xyz: not a text file",
        ),
        Case(
            "no such file",
            "dixc scf none.xyz --xc pbe --basis sto-3g --grid-level 0",
            "none.xyz: no such file",
        ),
        Case(
            "a folder",
            "dixc scf folder --xc pbe --basis sto-3g --grid-level 0",
            "folder: cannot read: Is a directory",
        ),
        Case(
            "a pipe",
            "dixc scf pipe --xc pbe --basis sto-3g --grid-level 0",
            "pipe: cannot read: it is a pipe, not a file",
        ),
        Case(
            "a device",
            "dixc scf /dev/zero --xc pbe --basis sto-3g --grid-level 0",
            "/dev/zero: cannot read: it is a device, not a file",
        ),
        Case(
            "text in UTF-16",
            "dixc scf utf16.xyz --xc pbe --basis sto-3g --grid-level 0",
            "utf16.xyz: text in UTF-16: save it as UTF-8",
        ),
        Case(
            "label of an atom",
            "dixc scf label.xyz --xc pbe --basis sto-3g --grid-level 0",
            "label.xyz: frame 1 (line 3, co): unknown element 'C1' (a label? the element alone belongs there: C)",
        ),
        Case(
            "more electrons than orbitals",
            "dixc scf electrons.xyz --xc pbe --basis sto-3g --grid-level 0",
            "electrons.xyz, ion: 4 electrons need 2 orbitals, sto-3g has 1",
        ),
        Case(
            "one molecule of several that fails",
            "dixc scf some.xyz --xc pbe --basis sto-3g --grid-level 0",
            "some.xyz: 1 of 2 molecules failed: methyl (the first: frame 2 (line 5, methyl): 9 electrons, an odd "
            "number: only closed shells are supported)",
        ),
        Case(
            "atoms closer than any bond",
            "dixc scf close.xyz --xc pbe --basis sto-3g --grid-level 0",
            "close.xyz: the molecule (first oh: O1 and H2 0.60 angstrom apart): closer than any bond, check the "
            "geometry",
            warning=True,
        ),
        Case(
            "coordinate that is no number",
            "dixc scf number.xyz --xc pbe --basis sto-3g --grid-level 0",
            "number.xyz: frame 1 (line 3, hf): coordinate 'zero' is not a number",
        ),
        Case(
            "coordinate that is not finite",
            "dixc scf nan.xyz --xc pbe --basis sto-3g --grid-level 0",
            "nan.xyz: frame 1 (line 3, hf): coordinate is not finite",
        ),
        Case(
            "charge that is no whole number",
            "dixc scf charge.xyz --xc pbe --basis sto-3g --grid-level 0",
            "charge.xyz: frame 1 (line 2, ion): charge=half: must be a whole number",
        ),
        Case(
            "periodic cell",
            "dixc scf crystal.xyz --xc pbe --basis sto-3g --grid-level 0",
            "crystal.xyz: frame 1 (line 2, neon): a periodic cell: dixc is for molecules",
        ),
        Case(
            "coordinates in another unit",
            "dixc scf inbohr.xyz --xc pbe --basis sto-3g --grid-level 0",
            "inbohr.xyz: frame 1 (line 2, hydrogen): coordinates in 'bohr': dixc reads angstrom",
        ),
        Case(
            "two molecules of one name",
            "dixc scf twice.xyz --xc pbe --basis sto-3g --grid-level 0",
            "twice.xyz: frame 2 (line 4, neon): a molecule of this name is at line 1 already",
        ),
        Case(
            "several molecules without names",
            "dixc scf nameless.xyz --xc pbe --basis sto-3g --grid-level 0",
            "nameless.xyz: frame 1 (line 2): no name=... in the comment line",
        ),
        Case(
            "coordinates in bohr",
            "dixc scf hbohr.xyz --xc pbe --basis sto-3g --grid-level 0",
            "hbohr.xyz: the molecule (first hydrogen) with all atoms some 1.9 times too far apart: coordinates in"
            " bohr? dixc reads angstrom; if they are bohr, multiply them by 0.529177",
            warning=True,
        ),
        Case(
            "no such basis",
            "dixc scf three.xyz --xc pbe --basis sto-4711g",
            "three.xyz, water: PySCF has no basis 'sto-4711g' for it (Unknown basis format or basis name sto-4711g)",
        ),
        Case(
            "element that needs a core potential",
            "dixc scf iodine.xyz --xc pbe",
            "iodine.xyz, iodine: def2-svp of I goes with an effective core potential, which dixc does not have",
        ),
    ],
    "Settings": [
        Case(
            "no such config",
            "dixc molecules --config none.yaml --out out",
            "none.yaml: no such config file",
        ),
        Case(
            "misspelt key",
            "dixc molecules --config misspelt.yaml --out out",
            "misspelt.yaml: traning: unknown key (did you mean training?)",
        ),
        Case(
            "value of the wrong type",
            "dixc molecules --config type.yaml --out out",
            "type.yaml: training.steps: must be a whole number, not 'many'",
        ),
        Case(
            "value out of range",
            "dixc molecules --config range.yaml --out out",
            "range.yaml: training.steps: must be greater than or equal to 1, not 0",
        ),
        Case(
            "value far too large",
            "dixc molecules --config huge.yaml --out out",
            "huge.yaml: training.seeds[0]: must be less than or equal to 9223372036854775807, not "
            "1000000000000000000000000000000 (allowed: 0 to 9223372036854775807)",
        ),
        Case(
            "unknown device",
            "dixc molecules --config device.yaml --out out",
            "device.yaml: training.device: must be auto, cpu, cuda or cuda:N, the GPU of number N from 0 to 99, not "
            "'tpu'",
        ),
        Case(
            "name too long for a folder",
            "dixc molecules --config long.yaml --out out",
            "long.yaml: run: must have at most 200 characters, not 300",
        ),
        Case(
            "broken YAML",
            "dixc molecules --config broken.yaml --out out",
            "broken.yaml: line 2: not valid YAML: expected the node content, but found '<stream end>'",
        ),
        Case(
            "key given twice",
            "dixc molecules --config twice.yaml --out out",
            "twice.yaml: line 8: not valid YAML: key 'run' is given twice",
        ),
        Case(
            "empty config",
            "dixc molecules --config empty.yaml --out out",
            "empty.yaml: must be a mapping of keys to values, found nothing",
        ),
        Case(
            "run that would be written elsewhere",
            "dixc molecules --config outside.yaml --out out",
            "outside.yaml: run: must start with a letter or digit and have letters, digits, - and _ only, not "
            "'../../x'",
        ),
        Case(
            "model that would be written elsewhere",
            "dixc molecules --config model.yaml --out out",
            "model.yaml: models[0].name: must start with a letter or digit and have letters, digits, - and _ "
            "only, not '../x'",
        ),
        Case(
            "YAML alias of itself",
            "dixc molecules --config self.yaml --out out",
            "self.yaml: nested too deeply (more than 30 levels; an alias of itself?)",
        ),
        Case(
            "missing file of molecules",
            "dixc molecules --config nofile.yaml --out out",
            "four.xyz: no such file",
        ),
        Case(
            "unknown name of a molecule",
            "dixc molecules --config unsame.yaml --out out",
            "molecules.test.names: no flouride in three.xyz (did you mean fluoride?)",
        ),
        Case(
            "more molecules than there are",
            "dixc molecules --config many.yaml --out out",
            "molecules.train: 5 molecules with 1 to 1 heavy atoms wanted, only 1 left in three.xyz (test is taken"
            " first, then validation, then train)",
        ),
        Case(
            "missing basis",
            "dixc reference three.xyz --config basis.yaml --out out/r.h5",
            "reference.basis: hydrogen: PySCF has no basis 'sto-4711g' for it (Unknown basis format or basis name"
            " sto-4711g) (nor for any other molecule of three.xyz)",
        ),
        Case(
            "unknown reference functional",
            "dixc reference three.xyz --config functional.yaml --out out/r.h5",
            "reference.functional: PySCF has no functional 'b3lpy' (\"LibXCFunctional: name 'B3LPY' not found.\")",
        ),
        Case(
            "the same, before anything is computed",
            "dixc molecules --config functional.yaml --out out",
            "reference.functional: PySCF has no functional 'b3lpy' (\"LibXCFunctional: name 'B3LPY' not found.\")",
        ),
        Case(
            "unknown model",
            "dixc molecules --config nomodel.yaml --out out",
            "models[0]: unknown functional 'xcdif'; available: lda, pbe, r2scan, b3lyp, xcdiff, nnmgga, skala-mgga, "
            "egxc, or package.module:Class",
        ),
        Case(
            "model without weights",
            "dixc plan --config classical.yaml",
            "models[0]: pbe has no weights to train",
        ),
        Case(
            "network too large",
            "dixc molecules --config large.yaml --out out",
            "models[0]: too large: more than 20000000 weights",
        ),
        Case(
            "unknown baseline",
            "dixc molecules --config baseline.yaml --out out",
            "evaluation.baselines[0]: scan: neither a functional (lda, pbe, r2scan, b3lyp, xcdiff, nnmgga, skala-mgga, "
            "egxc, xcdiff-b3lyp) nor a model file that exists",
        ),
        Case(
            "pre-fit to a network",
            "dixc molecules --config target.yaml --out out",
            "prefit.target: xcdiff is not classical: it has weights to be trained itself",
        ),
        Case(
            "hyperparameter that the model does not have",
            "dixc molecules --config hyper.yaml --out out",
            "models[0]: functional xcdiff: unknown hyperparameter 'depth'; known: n_hidden, n_layers, seed",
        ),
        Case(
            "test molecules of elements that training does not have",
            "dixc plan --config good.yaml",
            "molecules.test: 1 of 1 molecules have an element that no training molecule has: fluoride (F); trained "
            "functionals extrapolate there, and the fit of energies by element leaves them out",
            warning=True,
        ),
        Case(
            "unknown hyperparameter",
            "dixc prefit --config hyper.yaml --model xcdiff --seed 0 --reference reference.h5 --out out/m.pt",
            "functional xcdiff: unknown hyperparameter 'depth'; known: n_hidden, n_layers, seed",
        ),
        Case(
            "model that the config does not have",
            "dixc prefit --config good.yaml --model egxc --seed 0 --reference reference.h5 --out out/m.pt",
            "model egxc is not in the config's models: xcdiff",
        ),
        Case(
            "unknown loss",
            "dixc train --config good.yaml --model xcdiff --loss hessian --seed 0 --start model.pt --train-"
            "reference reference.h5 --train-derivatives derivatives.h5 --validation-reference reference.h5 --out "
            "out/m.pt --log out/l.csv --checkpoints out/c",
            "--loss hessian: no such loss; there are base, grad, hess",
        ),
        Case(
            "unknown option",
            "dixc scf three.xyz --xc pbe --nonsense",
            "No such option: --nonsense (see dixc scf --help)",
        ),
        Case(
            "wrong number of threads",
            "DIXC_THREADS=many dixc info three.xyz",
            "environment variable DIXC_THREADS=many: must be a whole number above zero",
            how="shell",
        ),
    ],
    "Chunks of results": [
        Case(
            "damaged",
            "dixc evaluate pbe --reference flipped.h5 --config good.yaml --out out",
            "flipped.h5: damaged (its checksum is wrong); delete it and run its stage again",
        ),
        Case(
            "cut off",
            "dixc evaluate pbe --reference cut.h5 --config good.yaml --out out",
            "cut.h5: damaged (its checksum is wrong); delete it and run its stage again",
        ),
        Case(
            "HDF5 of another program",
            "dixc evaluate pbe --reference foreign.h5 --config good.yaml --out out",
            "foreign.h5: not a chunk file of dixc",
        ),
        Case(
            "no HDF5",
            "dixc evaluate pbe --reference words.h5 --config good.yaml --out out",
            "words.h5: not a chunk file of dixc",
        ),
        Case(
            "with a link to another file",
            "dixc evaluate pbe --reference linked.h5 --config good.yaml --out out",
            "linked.h5: not as dixc writes it (water is a link to another place)",
        ),
        Case(
            "from a newer dixc",
            "dixc evaluate pbe --reference newer.h5 --config good.yaml --out out",
            "newer.h5: written by a newer dixc (format 2, this one knows 1)",
        ),
        Case(
            "of another stage",
            "dixc evaluate pbe --reference scf.h5 --config good.yaml --out out",
            "scf.h5: a file of the stage 'scf', where one of 'reference' is needed",
        ),
        Case(
            "missing",
            "dixc evaluate pbe --reference none.h5 --config good.yaml --out out",
            "none.h5: no such file",
        ),
        Case(
            "of other molecules",
            "dixc warmstart pbe --reference reference.h5 --scf scf.h5 --config good.yaml --out out",
            "scf.h5: no molecule hydrogen in it; is it of another file of molecules?",
        ),
        Case(
            "missing option",
            "dixc warmstart pbe --reference reference.h5 --config good.yaml --out out",
            "warmstart of pbe needs --scf, the file written by `dixc evaluate`",
        ),
        Case(
            "training data without derivatives",
            "dixc train --config good.yaml --model xcdiff --loss hess --seed 0 --start model.pt --train-reference"
            " reference.h5 --train-derivatives derivatives.h5 --validation-reference reference.h5 --out out/m.pt "
            "--log out/l.csv --checkpoints out/c",
            "reference.h5: molecule hydrogen has no Hessian in the derivative chunks given",
        ),
        Case(
            "table of another kind",
            "dixc tables --scf scf.h5 --warmstart words.csv --config good.yaml --out out",
            "words.csv: no column model, loss, seed, split, molecule, n_heavy, converged, guess, cycles, "
            "hybrid_fock_builds, cheap_fock_builds, wall_s, wall_total_s, e_diff_Eh (a warmstart table has model,"
            " loss, seed, split, molecule, n_heavy, converged, guess, cycles, hybrid_fock_builds, "
            "cheap_fock_builds, wall_s, wall_total_s, e_diff_Eh, one_build_error_uEh, two_build_error_uEh)",
        ),
        Case(
            "empty table",
            "dixc tables --scf scf.h5 --warmstart empty.csv --config good.yaml --out out",
            "empty.csv: not a CSV table (No columns to parse from file)",
        ),
        Case(
            "the same part twice",
            "dixc tables --scf scf.h5 --scf reference.h5 --config good.yaml --out out",
            "reference.h5: a file of the stage 'reference', where one of 'scf' is needed",
        ),
        Case(
            "no tables",
            "dixc report --config good.yaml --tables folder --out out/report.html",
            "folder/scf.csv: no such file",
        ),
    ],
    "Model files": [
        Case(
            "neither a name nor a file",
            "dixc scf three.xyz --xc pbee --basis sto-3g --grid-level 0",
            "pbee: neither a functional (lda, pbe, r2scan, b3lyp, xcdiff, nnmgga, skala-mgga, egxc, "
            "xcdiff-b3lyp) nor a model file that exists",
        ),
        Case(
            "not a model file",
            "dixc scf three.xyz --xc words.pt --basis sto-3g --grid-level 0",
            "words.pt: not a model file of dixc, or cut off",
        ),
        Case(
            "cut off",
            "dixc scf three.xyz --xc cut.pt --basis sto-3g --grid-level 0",
            "cut.pt: not a model file of dixc, or cut off",
        ),
        Case(
            "damaged",
            "dixc scf three.xyz --xc flipped.pt --basis sto-3g --grid-level 0",
            "flipped.pt: damaged (wrong checksum of archive/data.pkl)",
        ),
        Case(
            "from a newer dixc",
            "dixc scf three.xyz --xc newer.pt --basis sto-3g --grid-level 0",
            "newer.pt: model file of format 2, written by dixc 9.9; this dixc 0.1.0 reads up to format 1",
        ),
        Case(
            "of another program",
            "dixc scf three.xyz --xc other.pt --basis sto-3g --grid-level 0",
            "other.pt: not a model file of dixc",
        ),
        Case(
            "incomplete",
            "dixc scf three.xyz --xc incomplete.pt --basis sto-3g --grid-level 0",
            "incomplete.pt: incomplete model file (no metadata)",
        ),
        Case(
            "weights of another size",
            "dixc scf three.xyz --xc size.pt --basis sto-3g --grid-level 0",
            "size.pt: weights do not fit hyperparameters {'n_hidden': 9, 'n_layers': 1}",
        ),
        Case(
            "with code in it (which is not run)",
            "dixc scf three.xyz --xc code.pt --basis sto-3g --grid-level 0",
            "code.pt: not a model file of dixc (it holds more than numbers and text)",
        ),
        Case(
            "used for elements that training did not see",
            "dixc scf three.xyz --xc model.pt --basis sto-3g --grid-level 0",
            "xcdiff-hess-0: trained on H, C, N, O only, used for F: its results for such molecules are an "
            "extrapolation, check some",
            warning=True,
        ),
    ],
    "Places to write to": [
        Case(
            "a part of the path is a file",
            "dixc molecules --config same.yaml --out file/molecules",
            "file/molecules/train-000.xyz: cannot write: a part of its path is a file, not a folder",
        ),
        Case(
            "the same, for a chunk",
            "dixc reference three.xyz --config good.yaml --out file/r.h5",
            "file/r.h5: cannot write: a part of its path is a file, not a folder",
        ),
        Case(
            "the same, for a model",
            "dixc prefit --config good.yaml --model xcdiff --seed 0 --reference reference.h5 --out file/m.pt",
            "file/m.pt: cannot write: a part of its path is a file, not a folder",
        ),
        Case(
            "the same, for tables",
            "dixc tables --scf scf.h5 --config good.yaml --out file/tables",
            "file/tables: cannot write: a part of its path is a file, not a folder",
        ),
        Case(
            "a folder where the file should be",
            "dixc reference three.xyz --config good.yaml --out folder",
            "folder: cannot write: it is a folder",
        ),
        Case(
            "results of something else",
            "dixc scf three.xyz --xc pbe --basis sto-3g --grid-level 0 --out other.jsonl",
            "other.jsonl: holds something else than results of these molecules with these settings and this dixc; "
            "remove it, or name another file",
        ),
        Case(
            "a device where the file should be",
            "dixc scf three.xyz --xc pbe --basis sto-3g --grid-level 0 --out /dev/null",
            "/dev/null: cannot write: it is a device",
        ),
        Case(
            "no permission",
            "dixc molecules --config same.yaml --out folder/out",
            "folder/out/train-000.xyz: cannot write: Permission denied",
            how="nobody",
        ),
        Case(
            "file larger than the system allows",
            "ulimit -f 1; dixc tables --scf scf.h5 --config good.yaml --out out",
            "out: cannot write: File too large",
            how="shell",
        ),
        Case(
            "full disk behind standard output",
            "dixc info three.xyz > /dev/full",
            "No space left on device (is it standard output?)",
            how="shell",
        ),
    ],
    "Any file": [
        Case(
            "not written by dixc",
            "dixc info notes.txt",
            "notes.txt: not a file that dixc writes (or damaged)",
        ),
        Case(
            "a folder",
            "dixc info folder",
            "folder: a folder; name one of its files",
        ),
    ],
}


def prepared(folder: Path) -> Path:
    """The folder with all files that the commands of the table name."""
    for name, text in TEXTS.items():
        (folder / name).write_text(text)
    for name, make in BINARIES.items():
        make(folder / name)
    return folder


def flat() -> list[tuple[str, Case]]:
    """All cases with their headings."""
    return [(heading, case) for heading, cases in TABLES.items() for case in cases]

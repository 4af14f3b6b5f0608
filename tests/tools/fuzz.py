"""Fuzzing: thousands of broken inputs, none of which may end in a traceback, a crash, or a hang.

    python tests/tools/fuzz.py --mutants 5000 --seed 0

Files are changed at random, byte by byte or by their structure, and opened as dixc opens them. Allowed is that a
mutant is read, or refused with a `UserError` of one short line; anything else is printed as a finding, and the exit
code is 1. Mutants are opened in worker processes, which the parent replaces when they die or stand still. A mutant
is a function of kind, seed and number: `--only KIND NUMBER` repeats one and keeps its file.
"""

from __future__ import annotations

import argparse
import io
import math
import random
import select
import subprocess
import sys
import tempfile
import time
import warnings
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
HANG_S = 30
LONGEST_LINE = 1000
MEMORY = 8 << 30
SPECIAL = [b"", b"\0", b"\xff", b"-1", b"0", b"nan", b"1e999", b"9" * 30, b"9" * 5000, b"../../x", b"%s%n", b"\n",
           b"\r", b"\t", "\u0661\u2028\u202e".encode(), b"[" * 3000, b"{", b'"', b"'", b"None", b"true"]  # fmt: skip
TOKENS = {
    "xyz": [b"Properties=species:S:1:pos:R:3", b"Properties=species:pos:1", b"pos:R:1000000000", b"species:S:1", b":",
            b'Lattice="1 0 0 0 1 0 0 0 1"', b"pbc=F", b"name=", b"charge=", b"charge=1e300", b"=", b"H 0 0 0\n",
            b"Xx", b"Og", b"1e308", b"-1e308", b"1000000000000", b"spin=1", b"Z:I:1", b"inf", b"1_0"],
    "yaml": [b"&a ", b"*a", b"<<: *a", b"!!python/object:os.system ", b"!!binary ", b"!!int ", b"!!float ",
             b"2020-13-45",
             b"!!timestamp ", b"- ", b": ", b"? ", b"|", b">", b"---\n", b"...\n", b"%YAML 9.9\n", b"~", b"1:2:3",
             b"0x_", b"{a: &x [*x]}", b"[a]: b", b"1: 2", b"null: 1", b"run: ../../x", b"1e400", b"    "],
    "chunk": [b"dixc-chunk ", b"format=2 ", b"sha256=", b"\x89HDF\r\n"],
    "model": [b"PK\x03\x04", b"PK\x01\x02", b"PK\x05\x06"],
    "sidecar": [b'{"a": ', b"NaN", b"1e999", b'"format"', b"[]", b"{}", b"\\ud800"],
}  # fmt: skip
BOMB = b"".join(b"b%d: &b%d [%s]\n" % (i, i, b", ".join([b"*b%d" % (i - 1)] * 9)) for i in range(1, 12))


def mutate(data: bytes, rng: random.Random, tokens: list[bytes]) -> bytes:
    """One to eight random edits: bits, pieces cut, doubled or moved, and words that parsers stumble over."""
    out = bytearray(data)
    for _ in range(rng.choice([1, 1, 1, 2, 3, 8])):
        at, length = rng.randrange(len(out) + 1), int(2 ** rng.uniform(0, 9))
        edit = rng.randrange(7)
        if edit == 0 and at < len(out):
            out[at] ^= 1 << rng.randrange(8)
        elif edit == 1:
            del out[at : at + length]
        elif edit == 2:
            del out[at:]
        elif edit == 3:
            source = rng.randrange(len(out) + 1)
            out[at:at] = out[source : source + length]
        elif edit == 4:
            out[at:at] = rng.randbytes(min(length, 16))
        else:
            word = rng.choice(tokens if edit == 5 and tokens else SPECIAL)
            out[at : at + rng.choice([0, len(word)])] = word
    return bytes(out)


def mutate_words(data: bytes, rng: random.Random, tokens: list[bytes]) -> bytes:
    """As `mutate`, but half of the time a whole word is replaced, so that the syntax stays and the values do not."""
    if rng.random() < 0.5:
        return mutate(data, rng, tokens)
    words = data.replace(b"\n", b" \n ").split(b" ")
    for _ in range(rng.choice([1, 1, 2, 4])):
        words[rng.randrange(len(words))] = rng.choice(tokens + SPECIAL + words)
    return b" ".join(words).replace(b" \n ", b"\n")


# --- seeds: one good file of each kind -------------------------------------------------------------------------


def make_chunk(path: Path) -> None:
    import numpy as np

    from dixc.provenance import origin
    from dixc.reference.record import ENERGY_NAMES, UNITS
    from dixc.store import ChunkWriter

    settings = {"functional": "b3lyp", "basis": "sto-3g", "grid_level": 0}
    writer = ChunkWriter(path, "reference", settings, key="k", origin=origin(None, "0" * 16))
    for name in ("hydrogen", "fluoride"):
        arrays = {
            "atomic_numbers": np.array([1, 1]), "coords": np.arange(6.0).reshape(2, 3), "mo_coeff": np.eye(2),
            "mo_occ": np.array([2.0, 0.0]), "mo_energy": np.array([-0.5, 0.5]),
            "dipole": np.zeros(3), "energies": np.zeros(len(ENERGY_NAMES)),
        }  # fmt: skip
        writer.write(name, arrays, {"split": "train", "charge": 0, "n_heavy": 0}, UNITS)
    writer.fail("oxide", "SCF not converged", {"split": "train", "n_heavy": 1})
    writer.finish(1.0)


def make_model(path: Path) -> None:
    from dixc.functionals import files, registry

    metadata = {
        "model": "xcdiff",
        "loss": "hess",
        "seed": 0,
        "elements": ["H", "C"],
        "train_molecules": ["a"],
    }
    files.save(registry.create("xcdiff", n_hidden=3, n_layers=1), path, metadata)


def make_xyz(path: Path) -> None:
    path.write_text(
        '3\nname=water charge=0 smiles="O" Properties=species:S:1:pos:R:3\nO 0 0 .1178\nH 0 .7555 -.4712\n'
        "H 0 -.7555 -.4712\n\n2\nname=two split=train n_heavy=1\nF 0 0 0\nH 0 0 .92\n"
        '4\nname=nh3 charge=0 pbc="F F F" Properties=pos:R:3:Z:I:1:mass:R:1\n0 0 0 7 14\n0.6 .6 .6 1 1\n'
        "-0.6 -.6 .6 1 1\n0.6 -.6 -.6 1 1\n"
    )


def make_yaml(path: Path) -> None:
    path.write_bytes((ROOT / "config" / "config.yaml").read_bytes())


def make_sidecar(path: Path) -> None:
    from dixc.store import write_sidecar

    table = path.with_name("table.csv")
    table.write_text("a,b\n1,2\n")
    write_sidecar(path, {table.name: table.read_bytes()}, {"dixc": "0", "config": "0" * 16})


# --- mutants that a checksum does not catch --------------------------------------------------------------------


def sealed(data: bytes, rng: random.Random, path: Path) -> bytes:
    """A chunk with wrong content under a right checksum: parts missing, of another type, shape or value."""
    import h5py
    import numpy as np

    path.write_bytes(data)
    wrong = [0, -1, "text", b"\xff\xfe", np.nan, np.zeros((0, 3)), np.zeros(5), np.array(["a", "b"], dtype="S1"),
             np.full((2, 3), np.inf), h5py.Empty("f"), 1 << 62, "[1, 2", "{}", "[]",
             np.zeros((2, 2, 2)), 10**9]  # fmt: skip
    with h5py.File(path, "r+") as file:
        for _ in range(rng.choice([1, 1, 2, 4])):
            nodes = [file, *(node for node in file.values() if isinstance(node, h5py.Group))]
            node = rng.choice(nodes)
            if rng.random() < 0.5 and len(node.attrs):
                key = rng.choice(sorted(node.attrs))
                del node.attrs[key]
                if rng.random() < 0.7:
                    node.attrs[key] = rng.choice(wrong)
            elif len(node):
                key = rng.choice(sorted(node))
                del node[key]
                if rng.random() < 0.7:
                    node[key] = rng.choice(wrong)
    return reseal(path.read_bytes())


def forged(data: bytes, rng: random.Random, path: Path) -> bytes:
    """A chunk with random bytes changed under a right checksum: what only somebody who wants to can make."""
    from dixc.store.files import HEADER_BYTES

    return reseal(data[:HEADER_BYTES] + mutate(data[HEADER_BYTES:], rng, []))


def reseal(data: bytes) -> bytes:
    from dixc.store import files

    body = io.BytesIO(data[files.HEADER_BYTES :])
    return files._header(*files._digest(body)) + data[files.HEADER_BYTES :]


def repacked(data: bytes, rng: random.Random, path: Path) -> bytes:
    """A model file with changed members under right checksums, or with odd values in the right places."""
    import torch

    if rng.random() < 0.5:
        return _odd_model(data, rng, torch)
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as source, zipfile.ZipFile(out, "w") as target:
        names = source.namelist()
        chosen = next(n for n in names if n.endswith("data.pkl")) if rng.random() < 0.8 else rng.choice(names)
        packing = rng.choice([zipfile.ZIP_STORED] * 4 + [zipfile.ZIP_DEFLATED])
        for name in names:
            content = source.read(name)
            target.writestr(name, mutate(content, rng, []) if name == chosen else content, packing)
    return out.getvalue()


def _odd_model(data: bytes, rng: random.Random, torch) -> bytes:
    content = torch.load(io.BytesIO(data), weights_only=True)
    odd = [None, -1, 0, 10**6, 10**9, 10**30, 1.5, math.nan, "", "x" * 300, "../../x", [], [[]], {}, {"a": 1}, {1: 2},
           True, b"x", torch.zeros(0), torch.zeros(1).expand(10**12), torch.zeros(2, 2, dtype=torch.complex64),
           torch.ones(3, dtype=torch.bool), torch.full((1,), math.inf), torch.eye(3).to_sparse(), (1, 2)]  # fmt: skip
    for _ in range(rng.choice([1, 1, 2])):
        place = rng.choice([content, *[v for v in content.values() if isinstance(v, dict) and v]])
        key = rng.choice(sorted(place, key=str))
        if rng.random() < 0.2:
            del place[key]
        else:
            place[key if rng.random() < 0.9 else rng.choice(["n_hidden", "x", 3])] = rng.choice(odd)
    out = io.BytesIO()
    torch.save(content, out)
    return out.getvalue()


# --- opening ---------------------------------------------------------------------------------------------------


def open_chunk(path: Path) -> None:
    from dixc.commands import info
    from dixc.reference.record import read_failures, read_records

    for read in (read_records, read_failures, info.describe):
        read(path)


def open_model(path: Path) -> None:
    from dixc.commands import info
    from dixc.evaluation.scf import label
    from dixc.functionals import files

    functional = files.load(path)
    label(functional, "x")
    info.as_text(info.describe(path))


def open_xyz(path: Path) -> None:
    from dixc.molecules import read_xyz

    for molecule in read_xyz(path, closed_shells_only=False):
        assert molecule.n_heavy <= len(molecule.symbols) < 10**5
    read_xyz(path)


def open_yaml(path: Path) -> None:
    from dixc.config import SPLITS, load

    config = load(path)
    results = (path.parent / "results").resolve()
    names = [*config.functionals(), *[chunk for split in SPLITS for chunk in config.chunks(split)]]
    for name in names:
        written = (results / config.run / "scf" / f"{name}.h5").resolve()
        assert written.parent == results / config.run / "scf", f"{written} is outside of the run's folder"
    assert (results / config.run).parent == results


def open_sidecar(path: Path) -> None:
    from dixc.commands import info

    info.as_text(info.describe(path))
    info.as_text(info.describe(path.with_name("table.csv")))


def plain(kind: str) -> Callable[[bytes, random.Random, Path], bytes]:
    change = mutate_words if kind in ("xyz", "yaml", "sidecar") else mutate
    return lambda data, rng, path: change(data, rng, TOKENS[kind])


# kind -> file name, maker of the good file, mutation, opening
KINDS: dict[str, tuple[str, Callable, Callable, Callable]] = {
    "chunk": ("a.h5", make_chunk, plain("chunk"), open_chunk),
    "sealed chunk": ("a.h5", make_chunk, sealed, open_chunk),
    "forged chunk": ("a.h5", make_chunk, forged, open_chunk),
    "xyz": ("a.xyz", make_xyz, plain("xyz"), open_xyz),
    "yaml": ("a.yaml", make_yaml, plain("yaml"), open_yaml),
    "model": ("a.pt", make_model, plain("model"), open_model),
    "repacked model": ("a.pt", make_model, repacked, open_model),
    "sidecar": ("provenance.json", make_sidecar, plain("sidecar"), open_sidecar),
}


# on request only: a checksum is no signature, and nothing here can stop a loop inside the HDF5 library
FORGED = "forged chunk"


def mutant(kind: str, seed: int, number: int, good: bytes, path: Path) -> bytes:
    """The mutant of that number; the first few of YAML are known bombs."""
    if kind == "yaml" and number == 0:
        return b"b0: &b0 [1, 2]\n" + BOMB + good
    rng = random.Random(f"{kind}-{seed}-{number}")
    return KINDS[kind][2](good, rng, path)


def try_one(opening: Callable[[Path], None], path: Path) -> str:
    """read, refused, or what went wrong."""
    from dixc.errors import DixcWarning, UserError

    start = time.perf_counter()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            warnings.simplefilter("ignore", DixcWarning)
            opening(path)
        result = "read"
    except UserError as error:
        lines = str(error)
        result = "refused"
        if (
            "\n" in lines
            or len(lines) > LONGEST_LINE
            or (str(path.name) not in lines and "table.csv" not in lines)
        ):
            result = f"bad message: {lines[:300]!r}"
    except BaseException as error:  # whatever else comes is the finding
        result = f"{type(error).__name__}: {' '.join(str(error).split())[:200]} {_where(error)}"
    seconds = time.perf_counter() - start
    return result if seconds < HANG_S / 3 else f"slow: {seconds:.0f} s, then {result}"


def _where(error: BaseException) -> str:
    import traceback

    frames = [f for f in traceback.extract_tb(error.__traceback__) if "dixc" in f.filename]
    return f"at {frames[-1].filename}:{frames[-1].lineno}" if frames else ""


def work(kind: str, seed: int, start: int, stop: int, folder: Path) -> None:
    """The worker: opens mutants one after the other and tells of each before and after."""
    import resource

    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    name, make, _, opening = KINDS[kind]
    path = folder / name
    make(path)
    good = path.read_bytes()
    opening(path)  # the good file must be read, and imports are not to count as a hang
    for number in range(start, stop):
        path.write_bytes(mutant(kind, seed, number, good, path))
        print("try", number, flush=True)
        print("done", number, try_one(opening, path), flush=True)


def results(kind: str, seed: int, count: int) -> Iterator[tuple[int, str]]:
    """Number and result of each mutant, whatever happens to the workers."""
    number = 0
    while number < count:
        with tempfile.TemporaryDirectory() as folder:
            command = [sys.executable, __file__, "--worker", kind, str(number), "--mutants", str(count)]
            command += ["--seed", str(seed), "--folder", folder]
            with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as worker:
                started = False
                for line in _lines(worker):
                    words = line.split(" ", 2)
                    started = words[0] == "try"
                    number = int(words[1])
                    if not started:
                        yield number, words[2].strip()
                        number += 1
                code = worker.poll()
                worker.kill()
                worker.wait()
            if number < count:
                if not started and code not in (0, None):
                    raise RuntimeError(f"{kind}: a worker failed at its start (exit code {code})")
                yield number, "hang" if code is None else f"crash, exit code {code}"
                number += 1


def _lines(worker: subprocess.Popen) -> Iterator[str]:
    """Lines of a worker until it ends or says nothing for too long."""
    buffer = b""
    while select.select([worker.stdout], [], [], HANG_S)[0]:
        block = worker.stdout.read1()
        if not block:
            worker.wait()
            return
        *lines, buffer = (buffer + block).split(b"\n")
        yield from (line.decode(errors="replace") for line in lines)


def fuzz(kind: str, seed: int, count: int) -> tuple[Counter, list[str]]:
    """Opens mutants of a kind; returns how many were read and refused, and what was found."""
    counts, findings = Counter(), []
    for number, result in results(kind, seed, count):
        if result in ("read", "refused"):
            counts[result] += 1
        else:
            counts["findings"] += 1
            findings.append(f"{kind} {number} (seed {seed}): {result}")
    return counts, findings


def main() -> int:
    """Command line; see the module's first lines."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--mutants", type=int, default=2000, help="of each kind")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kinds", nargs="+", default=[k for k in KINDS if k != FORGED], choices=KINDS)
    parser.add_argument(
        "--only", nargs=2, metavar=("KIND", "NUMBER"), help="repeat one mutant, keep its file"
    )
    parser.add_argument("--worker", nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, default=Path(), help="of the kept file [default: here]")
    options = parser.parse_args()
    if options.worker:
        kind, start = options.worker
        work(kind, options.seed, int(start), options.mutants, options.folder)
        return 0
    if options.only:
        kind, number = options.only
        work(kind, options.seed, int(number), int(number) + 1, options.folder)
        return 0
    found = []
    for kind in options.kinds:
        start = time.perf_counter()
        counts, findings = fuzz(kind, options.seed, options.mutants)
        print(f"{kind:15s} {dict(counts)} in {time.perf_counter() - start:.0f} s", flush=True)
        print(*findings, sep="\n", end="\n" if findings else "", flush=True)
        found += findings
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())

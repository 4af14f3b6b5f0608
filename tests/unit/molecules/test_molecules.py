import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from molecule_files import WATER, chain, config, frame, prepare, refusal, table

from dixc.elements import covalent_radius
from dixc.errors import UserError
from dixc.molecules import Molecule, open_shell_reason, read_xyz, write_xyz

SHIPPED = Path(__file__).parents[3] / "config" / "molecules"


def problem(path, text, **kwargs):
    path.write_text(text)
    with pytest.raises(UserError) as caught:
        read_xyz(path, **kwargs)
    assert "\n" not in str(caught.value)
    return str(caught.value).removeprefix(f"{path}: ")


@pytest.fixture
def path(tmp_path):
    return tmp_path / "a.xyz"


def test_import_is_cheap():
    code = "import sys, dixc.molecules; print([m for m in ('ase', 'pyscf', 'torch') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


# --- one molecule


def test_properties(path):
    path.write_text(
        frame("ammonium", "N 0 0 0\nH 1 0 0\nH -1 0 0\nH 0 1 0\nH 0 -1 0\n", "charge=+1 smiles=[NH4+]")
    )
    (molecule,) = read_xyz(path)
    assert (molecule.formula, molecule.n_heavy, molecule.n_electrons, molecule.charge) == ("H4N+", 1, 10, 1)
    assert molecule.info == {"smiles": "[NH4+]"}
    assert molecule.symbols == ("N", "H", "H", "H", "H")
    with pytest.raises(ValueError, match="read-only"):
        molecule.coords_angstrom[0] = 1


@pytest.mark.parametrize(
    ("symbols", "charge", "formula"),
    [("OCHCHHHH", 0, "C2H5O"), ("HO", -1, "HO-"), ("OSOOO", -2, "O4S-2"), ("C", 0, "C")],
)
def test_formula_in_hill_order(symbols, charge, formula):
    assert Molecule("m", tuple(symbols), np.zeros((len(symbols), 3)), charge).formula == formula


def test_to_pyscf(path):
    path.write_text(frame("water"))
    mol = read_xyz(path)[0].to_pyscf("sto-3g", max_memory=1234)
    assert (mol.nelectron, mol.spin, mol.verbose, mol.max_memory, mol.nao) == (10, 0, 0, 1234, 7)
    np.testing.assert_allclose(
        mol.atom_coords(unit="angstrom"), read_xyz(path)[0].coords_angstrom, atol=1e-12
    )
    with pytest.raises(UserError, match=r"^water: PySCF has no basis 'no-such-basis'"):
        read_xyz(path)[0].to_pyscf("no-such-basis")
    path.write_text(frame("hydrogen-iodide", "H 0 0 0\nI 0 0 1.6\n"))
    with pytest.raises(UserError, match="def2-svp of I goes with an effective core potential"):
        read_xyz(path)[0].to_pyscf("def2-svp")


# --- files


def test_round_trip(path):
    rng = np.random.default_rng(1)
    info = {"smiles": "C/C=C\\C#N", "note": 'two words = "quoted"', "energy": "-1.5"}
    coords = rng.normal(scale=100, size=(4, 3))
    written = [
        Molecule("m-1", ("O", "H", "Cl", "H"), coords, 1, "test", info),
        Molecule("1e5", ("He",), [[0, 0, 0]]),
    ]
    write_xyz(path, written[:1] + written[1:])
    read = read_xyz(path, closed_shells_only=False)
    for before, after in zip(written, read, strict=True):
        np.testing.assert_allclose(after.coords_angstrom, before.coords_angstrom, atol=1e-8, rtol=0)
        for key in ("name", "symbols", "charge", "split"):
            assert getattr(before, key) == getattr(after, key)
    assert read[0].info == {**info, "note": "two words = 'quoted'"}
    first = path.read_bytes()
    write_xyz(path, read)
    assert path.read_bytes() == first
    assert [p.name for p in path.parent.iterdir()] == ["a.xyz"]


def test_other_programs_read_what_is_written(path):
    import ase.io

    read = ase.io.read(SHIPPED / "qm9_heavy9.xyz", index=":")
    ours = read_xyz(SHIPPED / "qm9_heavy9.xyz")
    assert [a.info["name"] for a in read] == [m.name for m in ours]
    assert [a.info["smiles"] for a in read] == [m.info["smiles"] for m in ours]
    np.testing.assert_array_equal(read[3].positions, ours[3].coords_angstrom)


def test_covalent_radii_are_those_of_another_program():
    from ase.data import covalent_radii

    assert [covalent_radius(number) for number in range(1, 119)] == covalent_radii[1:].tolist()


def test_columns_blank_lines_and_a_file_without_names(tmp_path):
    path = tmp_path / "my water.xyz"
    path.write_text('\n3\nProperties=pos:R:3:mass:R:1:species:S:1 pbc="F F F" Lattice="9 0 0 0 9 0 0 0 9"\n'
                    "0 0 0.119 16 O\n0 0.763 -0.477 1 H\n0 -0.763 -0.477 1 H\n\n\n")  # fmt: skip
    (molecule,) = read_xyz(path)
    assert (molecule.name, molecule.symbols) == ("my_water", ("O", "H", "H"))
    for stem, name in (("-x", "_x"), ("Wasser, heiß", "Wasser__hei_"), ("n" * 200, "n" * 100)):
        other = tmp_path / f"{stem}.xyz"
        other.write_text(f"3\n\n{WATER}")
        assert [m.name for m in read_xyz(other)] == [name]
    path.write_text(f"3\nwater, from somewhere\n{WATER}")
    assert read_xyz(path)[0].coords_angstrom[1].tolist() == [0, 0.763, -0.477]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no molecules in it"),
        ("\n \n", "no molecules in it"),
        ("three\n", "frame 1 (line 1): 'three' where the number of atoms should be"),
        (frame("w") + frame("v", "H 0 0 0\nXx 0 0 1\n"), "frame 2 (line 9, v): unknown element 'Xx'"),
        (frame("w", "X 0 0 0\n"), "frame 1 (line 3, w): unknown element 'X'"),
        (frame("w", "H 0 0 0\nH 0 0 1_0\n"), "frame 1 (line 4, w): coordinate '1_0' is not a number"),
        (frame("w", "H 0 0 0\nH 0 0 0,74\n"), "frame 1 (line 4, w): coordinate '0,74' is not a number"),
        (frame("w", "C1 0 0 0\nO 0 0 1.1\n"),
         "frame 1 (line 3, w): unknown element 'C1' (a label? the element alone belongs there: C)"),
        (frame("w", "13C 0 0 0\nO 0 0 1.1\n"),
         "frame 1 (line 3, w): unknown element '13C' (a label? the element alone belongs there: C)"),
        (frame("w", "D 0 0 0\nD 0 0 0.74\n"),
         "frame 1 (line 3, w): unknown element 'D' (an isotope? its electrons are those of H)"),
        (frame("w", f"{'1' * 5000} 0 0 0\n"), f"frame 1 (line 3, w): unknown element '{'1' * 57}...'"),
        (frame("w", extra="charge=1e300"), "frame 1 (line 2, w): charge=1e300: must be a whole number"),
        (frame("w", "H 0 0 0\nH 0 0\n"),
         "frame 1 (line 4, w): 'H 0 0' where an element and three coordinates should be"),
        (frame("w", "H 0 0 0\nH 0 nan 1\n"), "frame 1 (line 4, w): coordinate is not finite"),
        (frame("w") + "3\nname=v\nO 0 0 0\n", "frame 2 (line 6, v): truncated: 1 of 3 atoms are there"),
        ("3\n", "frame 1 (line 1): truncated: 0 of 3 atoms are there"),
        (frame("w", "H 0 0 0\nH 0 0 0.39\n"),
         "frame 1 (line 1, w): atoms 1 (H) and 2 (H) are 0.390 angstrom apart, less than 0.4"),
        (frame("w") + frame("w"), "frame 2 (line 6, w): a molecule of this name is at line 1 already"),
        (frame("w") + "1\n\nHe 0 0 0\n", "frame 2 (line 7): no name=... in the comment line"),
        (frame("a/b"), "frame 1 (line 2, a/b): name 'a/b': letters, digits and _.,:+@#()~*- only, "
         "the first no sign but _, at most 100"),
        (frame("w", extra="charge=half"), "frame 1 (line 2, w): charge=half: must be a whole number"),
        (frame("w", extra="charge=nan"), "frame 1 (line 2, w): charge=nan: must be a whole number"),
        (frame("w", extra='Lattice="9 0 0 0 9 0 0 0 9"'),
         "frame 1 (line 2, w): a periodic cell: dixc is for molecules"),
        (frame("w", extra="Properties=species:S:1"),
         "frame 1 (line 2, w): Properties=species:S:1: needs species:S:1 and pos:R:3"),
        (frame("methyl", "C 0 0 0\nH 1 0 0\nH 0 1 0\nH 0 0 1\n"),
         "frame 1 (line 1, methyl): 9 electrons, an odd number: only closed shells are supported"),
        (frame("oxygen", "O 0 0 0\nO 0 0 1.2\n", "multiplicity=3"),
         "frame 1 (line 1, oxygen): multiplicity=3: only closed shells are supported"),
        (frame("oxygen", "O 0 0 0\nO 0 0 1.2\n", "Mult=3.0"),
         "frame 1 (line 1, oxygen): Mult=3.0: only closed shells are supported"),
        (frame("oxygen", "O 0 0 0\nO 0 0 1.2\n", "uhf=2"),
         "frame 1 (line 1, oxygen): uhf=2: only closed shells are supported"),
        (frame("proton", "H 0 0 0\n", "charge=1"), "frame 1 (line 1, proton): 0 electrons with charge 1"),
        (frame("w", extra="total_charge=two"), "frame 1 (line 2, w): total_charge=two: must be a whole number"),
        (frame("w", extra="charge=0 total_charge=2"),
         "frame 1 (line 2, w): two charges: charge=0, total_charge=2"),
    ],
)  # fmt: skip
def test_refusals_say_where_and_what(path, text, message):
    assert problem(path, text) == message


@pytest.mark.parametrize("key", ["charge", "Charge", "total_charge", "NET_CHARGE"])
def test_charge_by_its_other_names(path, key):
    path.write_text(frame("w", extra=f"{key}=2 multiplicity=1.0 spin=0"))
    (molecule,) = read_xyz(path)
    assert molecule.charge == 2
    write_xyz(path, [molecule])
    assert [again.charge for again in read_xyz(path)] == [2]


def test_files_that_cannot_be_read(tmp_path, path):
    for target, message in ((path, "no such file"), (tmp_path, "cannot read: Is a directory")):
        with pytest.raises(UserError, match=message):
            read_xyz(target)
    for content in (
        b"\xff\xfe\x00",
        b"1\nname=w\0\nHe 0 0 0\n",
        frame("w").encode("utf-16-le"),
        b"1\n" + b"n" * 2**21,
    ):
        path.write_bytes(content)
        with pytest.raises(UserError, match="not a text file"):
            read_xyz(path)
    path.write_bytes(frame("w").encode("utf-16"))
    with pytest.raises(UserError, match="text in UTF-16: save it as UTF-8"):
        read_xyz(path)


@pytest.mark.parametrize("change", [
    lambda text: b"\xef\xbb\xbf" + text.encode(),
    lambda text: b"\xef\xbb\xbf\r\n" + text.encode(),
    lambda text: text.replace("name=w", 'name=w note="5 \xc5, 20 \xb0C"').encode("latin-1"),
    lambda text: text.replace("name=w", 'name=w note="5 \xc5, 20 \xb0C"').encode(),
    lambda text: text.replace("\n", "\r\n").encode(),
    lambda text: text.replace(" ", "\t").encode(),
    lambda text: text.replace("0.763", "7.63D-1").replace("-0.477", "-0.477d+00").encode(),
    lambda text: text.replace("0.763", ".763E0").encode(),
], ids=["mark", "mark and blank line", "latin-1", "utf-8", "crlf", "tabs", "fortran", "exponent"])  # fmt: skip
def test_one_geometry_in_the_manners_of_many_programs(path, change):
    path.write_bytes(change(frame("w")))
    (molecule,) = read_xyz(path)
    assert molecule.name == "w"
    assert molecule.coords_angstrom.tolist() == [[0, 0, 0.119], [0, 0.763, -0.477], [0, -0.763, -0.477]]
    assert molecule.info.get("note", "5 \xc5, 20 \xb0C") == "5 \xc5, 20 \xb0C"


def test_open_shells_can_be_let_in_and_charges_overruled(path):
    path.write_text(frame("hydroxyl", "O 0 0 0\nH 0 0 0.97\n"))
    (radical,) = read_xyz(path, closed_shells_only=False)
    assert "9 electrons" in open_shell_reason(radical)
    assert read_xyz(path, charge=-1)[0].n_electrons == 10
    assert open_shell_reason(Molecule("w", ("He",), [[0, 0, 0]], info={"spin": "1"})) is None


def test_writing_where_one_cannot(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="a part of its path is a file"):
        write_xyz(tmp_path / "file" / "a.xyz", [])


# --- shipped molecules


def test_shipped_molecules():
    counts, names = {}, []
    for file in sorted(SHIPPED.glob("*.xyz")):
        for molecule in read_xyz(file):
            counts[molecule.n_heavy] = counts.get(molecule.n_heavy, 0) + 1
            names.append(molecule.name)
            assert set(molecule.symbols) <= set("CHNO")
            assert molecule.info["smiles"]
    assert counts == {1: 3, 2: 5, 3: 9, 4: 31, 5: 126, 6: 60, 7: 60, 9: 40}
    assert len(set(names)) == len(names) == 334
    assert sum(file.stat().st_size for file in SHIPPED.iterdir()) < 1e6


def test_shipped_methane_is_that_of_qm9():
    methane = read_xyz(SHIPPED / "qm9_heavy1-4.xyz")[0]
    assert (methane.name, methane.formula, methane.info["smiles"]) == ("dsgdb9nsd_000001", "CH4", "C")
    assert methane.coords_angstrom[0].tolist() == [-0.0126981359, 1.0858041578, 0.0080009958]


# --- the stage


@pytest.fixture
def shipped():
    return [SHIPPED / "qm9_heavy1-4.xyz", SHIPPED / "qm9_heavy5.xyz"]


def test_prepare_writes_chunks_and_table(tmp_path, shipped, capsys):
    settings = config(shipped, train=(7, 1, 4), chunk_size=3)
    prepare(settings, tmp_path)
    rows = table(tmp_path)
    chunks = [c for split in ("train", "validation", "test") for c in settings.chunks(split)]
    assert chunks == ["train-000", "train-001", "train-002", "validation-000", "test-000"]
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(
        [f"{c}.xyz" for c in chunks] + ["molecules.csv", "provenance.json"]
    )
    read = [(m, chunk) for chunk in chunks for m in read_xyz(tmp_path / f"{chunk}.xyz")]
    assert [(m.name, chunk, m.split) for m, chunk in read] == [
        (r["name"], r["chunk"], r["split"]) for r in rows
    ]
    assert len({r["name"] for r in rows}) == 11
    for chunk in chunks:
        sizes = [(int(r["n_heavy"]), r["name"]) for r in rows if r["chunk"] == chunk]
        assert sizes == sorted(sizes)
    assert rows[-1]["source"] == str(shipped[1])
    first = read[0][0]
    assert (rows[0]["formula"], rows[0]["n_electrons"], rows[0]["smiles"]) == (
        first.formula, str(first.n_electrons), first.info["smiles"],
    )  # fmt: skip
    assert "test: 2 molecules with 5 to 5 heavy atoms" in capsys.readouterr().out


def test_draws_follow_the_seed_and_grow_with_the_count(tmp_path, shipped):
    def chosen(folder, split, **kwargs):
        prepare(config(shipped, **kwargs), tmp_path / folder)
        return {r["name"] for r in table(tmp_path / folder) if r["split"] == split}

    few = chosen("a", "train", train=(10, 1, 4))
    assert chosen("b", "train", train=(10, 1, 4)) == few
    assert chosen("c", "train", train=(10, 1, 4), seed=1) != few
    assert chosen("d", "train", train=(20, 1, 4)) > few
    assert (tmp_path / "a" / "train-000.xyz").read_bytes() == (tmp_path / "b" / "train-000.xyz").read_bytes()


def test_larger_training_molecules_leave_test_and_validation_alone(tmp_path, shipped):
    """What config/benchmark.yaml promises of its `max_heavy`."""
    splits = {}
    for largest in (4, 5):
        out = tmp_path / str(largest)
        prepare(config(shipped, train=(20, 1, largest), validation=(2, 3, 4)), out)
        splits[largest] = {
            s: {r["name"] for r in table(out) if r["split"] == s} for s in ("test", "validation", "train")
        }
        sizes = {int(r["n_heavy"]) for r in table(out) if r["split"] == "train"}
        assert max(sizes) == largest
    assert splits[4]["test"] == splits[5]["test"]
    assert splits[4]["validation"] == splits[5]["validation"]
    assert splits[4]["train"] != splits[5]["train"]


def test_more_molecules_leave_full_files_as_they_are(tmp_path, shipped):
    prepare(config(shipped, train=(7, 1, 4), chunk_size=3), tmp_path / "few")
    prepare(config(shipped, train=(13, 1, 4), chunk_size=3), tmp_path / "more")
    few, more = ({p.name: p.read_bytes() for p in (tmp_path / f).glob("*.xyz")} for f in ("few", "more"))
    assert sorted(more.keys() - few.keys()) == ["train-003.xyz", "train-004.xyz"]
    assert [name for name in few if few[name] != more[name]] == ["train-002.xyz"], "it had one molecule only"


def test_all_molecules_can_be_used_once(tmp_path, shipped):
    prepare(
        config(shipped[:1], train=(40, 1, 4), test={"count": 6, "min_heavy": 4, "max_heavy": 4}), tmp_path
    )
    assert len({r["name"] for r in table(tmp_path)}) == 48


def test_test_molecules_by_name_are_in_no_other_split(tmp_path, shipped):
    names = ["dsgdb9nsd_000016", "dsgdb9nsd_000001"]
    prepare(config(shipped[:1], train=(44, 1, 4), test={"names": names}), tmp_path)
    rows = table(tmp_path)
    assert [r["name"] for r in rows if r["split"] == "test"] == sorted(names)
    assert len({r["name"] for r in rows}) == 48


def test_prepare_refusals(tmp_path, shipped):
    out, small = tmp_path / "out", shipped[:1]
    test = {"count": 6, "min_heavy": 4, "max_heavy": 4}
    assert refusal(config(small, train=(41, 1, 4), test=test), out) == (
        f"molecules.train: 41 molecules with 1 to 4 heavy atoms wanted, only 40 left in {small[0]} "
        "(test is taken first, then validation, then train)"
    )
    assert refusal(config(small, test={"names": ["dsgdb9nsd_00048"]}), out) == (
        f"molecules.test.names: no dsgdb9nsd_00048 in {small[0]} (did you mean dsgdb9nsd_000048?)"
    )
    assert (
        refusal(config(small * 2), out) == f"{small[0]}: a molecule dsgdb9nsd_000001 is in {small[0]} already"
    )
    assert refusal(config([tmp_path / "none.xyz"]), out) == f"{tmp_path / 'none.xyz'}: no such file"


def test_open_shells_are_passed_over_in_a_draw_but_refused_by_name(tmp_path, path, capsys):
    radicals = "".join(chain(f"radical{i}", 1, end="F") for i in range(100))
    path.write_text(radicals + "".join(chain(f"m{i}", i) for i in range(1, 6)))
    prepare(config([path], train=(2, 1, 4), validation=(2, 1, 4), test={"names": ["m5"]}), tmp_path / "out")
    printed = capsys.readouterr().out.splitlines()
    assert {r["name"] for r in table(tmp_path / "out")} == {f"m{i}" for i in range(1, 6)}
    skipped = [line for line in printed if line.startswith("skipped radical")]
    assert len(skipped) == 10
    assert skipped[0].endswith(f"({path}): 17 electrons, an odd number: only closed shells are supported")
    assert any(re.fullmatch(r"skipped \d+ more molecules", line) for line in printed)
    assert refusal(config([path], test={"names": ["radical3"]}), tmp_path / "new") == (
        f"molecules.test.names: radical3 of {path}: "
        "17 electrons, an odd number: only closed shells are supported"
    )


def test_the_same_geometry_is_not_in_two_splits(tmp_path, path, capsys):
    twin = "".join(f"{line}\n" for line in reversed(chain("x", 3).splitlines()[2:]))
    moved = "".join(
        f"{s} {-float(y)} {float(x) + 5} {z}\n" for s, x, y, z in map(str.split, twin.splitlines())
    )
    other = chain("other", 3, stretch=0.01)
    path.write_text(chain("a", 3) + frame("twin", moved) + other + chain("b", 2) + chain("c", 1))
    settings = config([path], train=(2, 1, 3), validation=(1, 1, 3), test={"names": ["a"]})
    prepare(settings, tmp_path / "out")
    assert {r["name"] for r in table(tmp_path / "out")} == {"a", "other", "b", "c"}
    settings = config([path], train=(3, 1, 3), validation=(1, 1, 3), test={"names": ["a"]})
    assert "only 2 left" in refusal(settings, tmp_path / "more")
    assert f"skipped twin ({path}): the same molecule, under another name" in capsys.readouterr().out

"""Sources of molecules: what each kind of `molecules.files` gives, what it refuses, and what choosing makes of it."""

from __future__ import annotations

import json

import numpy as np
import pytest
import yaml
from data_sets import (
    LIST,
    QM9_WATER,
    QM40_HEADER,
    archive_of,
    qm9_file,
    qm9pack_rows,
    qm40_rows,
)
from molecule_files import WATER, chain, config, frame, prepare, refusal, table

from dixc.config import load, validate, write
from dixc.config.sections import MoleculeFile
from dixc.display import logged_lines
from dixc.errors import DixcWarning, UserError
from dixc.molecules import frames, read_xyz, source_files, source_versions, sources
from dixc.molecules.csvfile import rows


def found(path, **options):
    with logged_lines():
        return list(sources.entries(MoleculeFile(path=str(path), **options)))


def problem(path, **options):
    with pytest.raises(UserError) as caught:
        [entry.load() for entry in found(path, **options)]
    assert "\n" not in str(caught.value)
    return str(caught.value)


# --- the QM9 release


def test_a_file_of_the_qm9_release(tmp_path):
    path = tmp_path / "dsgdb9nsd_000003.xyz"
    path.write_text(QM9_WATER)
    (molecule,) = read_xyz(path)
    assert (molecule.name, molecule.formula, molecule.charge, molecule.info) == (
        "dsgdb9nsd_000003", "H2O", 0, {"smiles": "O"},
    )  # fmt: skip
    assert molecule.coords_angstrom[:, 2].tolist() == [0.0076015923, 0.0015346341, 0.0006931336]
    (entry,) = found(path)
    np.testing.assert_array_equal(entry.load().coords_angstrom, molecule.coords_angstrom)
    path.write_text(QM9_WATER.rsplit("\n", 2)[0] + "\n")
    assert problem(path) == (
        f"{path}: frame 1 (line 1, dsgdb9nsd_000003): truncated: a file of QM9 ends with lines of frequencies, "
        "SMILES and InChI"
    )


def test_exponents_of_qm9_are_no_numbers_elsewhere(tmp_path):
    (tmp_path / "a.xyz").write_text(frame("w", "H 0 0 0\nH 0 0 1.2*^-1\n"))
    assert problem(tmp_path / "a.xyz").endswith("(line 4, w): coordinate '1.2*^-1' is not a number")


def test_the_qm9_archive_without_its_uncharacterised_molecules(tmp_path, capsys):
    members = {f"dsgdb9nsd_{i:06d}.xyz": qm9_file(i) for i in (1, 2, 3)} | {
        "._x.xyz": "mac",
        "readme.txt": "hello",
    }
    path = archive_of(tmp_path / "dsgdb9nsd.xyz.tar.bz2", members)
    entries = found(path)
    assert "no uncharacterized.txt there, so the 3054 molecules" in capsys.readouterr().out
    # in any order, and while others are still being read
    assert [e.load().name for e in reversed(entries)] == [f"dsgdb9nsd_00000{i}" for i in (3, 2, 1)]
    reading = sources.entries(MoleculeFile(path=str(path)))
    assert [entry.load().formula for entry in reading] == ["H2O"] * 3
    capsys.readouterr()
    (tmp_path / "uncharacterized.txt").write_text(LIST.format(2))
    assert [e.name for e in found(path)] == ["dsgdb9nsd_000001", "dsgdb9nsd_000003"]
    assert (
        capsys.readouterr().out
        == f"{path}: 1 molecules left out, as {tmp_path / 'uncharacterized.txt'} says\n"
    )


def test_damaged_and_empty_archives(tmp_path):
    path = archive_of(tmp_path / "a.tar.bz2", {"readme.txt": "hello"})
    assert problem(path) == f"{path}: no .xyz files in this archive"
    whole = archive_of(path, {f"{i}.xyz": qm9_file(i) + 5000 * "0.123\n" for i in range(9)}).read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    assert "a.tar.bz2: " in problem(path)


# --- folders


def test_a_folder_is_read_with_its_subfolders(tmp_path):
    for name, text in {
        "b/two.xyz": chain("two", 2), "a.xyz": f"3\nplain\n{WATER}", ".hidden.xyz": "no", "notes.txt": "no",
        "q/dsgdb9nsd_000003.xyz": QM9_WATER,
    }.items():  # fmt: skip
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    entries = found(tmp_path)
    assert [e.name for e in entries] == ["a", "two", "dsgdb9nsd_000003"]
    assert [e.load().n_heavy for e in entries] == [e.composition.n_heavy for e in entries] == [1, 2, 1]
    assert entries[1].source == str(tmp_path / "b" / "two.xyz")
    files = [str(tmp_path / name) for name in ("a.xyz", "b/two.xyz", "q/dsgdb9nsd_000003.xyz")]
    assert source_files([MoleculeFile(path=str(tmp_path))]) == files
    (tmp_path / "uncharacterized.txt").write_text(LIST.format(3))
    assert [e.name for e in found(tmp_path)] == ["a", "two"]
    assert source_files([MoleculeFile(path=str(tmp_path))]) == [*files, str(tmp_path / "uncharacterized.txt")]


def test_large_folders_are_watched_as_a_whole(tmp_path, monkeypatch):
    monkeypatch.setattr(sources, "MOST_WATCHED", 2)
    for i in range(3):
        (tmp_path / f"{i}.xyz").write_text(chain(f"m{i}", 1))
    assert source_files([MoleculeFile(path=str(tmp_path))]) == [str(tmp_path)]


def test_an_empty_folder_and_an_unknown_path(tmp_path):
    assert problem(tmp_path).startswith(f"{tmp_path}: no .xyz files in this folder")
    assert problem(tmp_path / "none") == f"{tmp_path / 'none'}: no such file"


def test_own_files_are_checked_whole_and_data_sets_when_taken(tmp_path):
    overlapping = "O 0 0 0\nH 0 0 0.1\nH 0 0 1\n"
    (tmp_path / "own.xyz").write_text(frame("w", overlapping))
    with pytest.raises(UserError, match=r"own\.xyz: frame 1 .* apart"):
        found(tmp_path / "own.xyz")
    (tmp_path / "qm9.xyz").write_text(
        QM9_WATER.replace("0.8717903737", "0.0647664923").replace("1.3007924048", "0.02")
    )
    (entry,) = found(tmp_path / "qm9.xyz")
    with pytest.raises(UserError, match=r"qm9\.xyz: frame 1 .* apart"):
        entry.load()


# --- tables


def test_own_tables_name_files_and_may_say_more(tmp_path):
    (tmp_path / "xyz").mkdir()
    (tmp_path / "xyz/a.xyz").write_text(f"3\nwater\n{WATER}")
    (tmp_path / "xyz/b.xyz").write_text(frame("hydroxide", "O 0 0 0\nH 0 0 0.97\n", "charge=-1 split=train"))
    path = tmp_path / "list.csv"
    path.write_text(
        '\ufefffile,dipole,name,charge,split,smiles\nxyz/a.xyz,1.8,water-1,,test,O\n"xyz/b.xyz",2,,,,\n'
    )
    entries = found(path)
    assert [(e.name, e.charge, e.split) for e in entries] == [
        ("water-1", 0, "test"),
        ("hydroxide", -1, "train"),
    ]
    assert [e.load().info for e in entries] == [{"smiles": "O"}, {}]
    assert source_files([MoleculeFile(path=str(path))]) == [
        str(path),
        *(str(tmp_path / f"xyz/{x}.xyz") for x in "ab"),
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "an empty table, without a header line"),
        ("path,name\na.xyz,a\n", "needs a column file (of xyz files; name, charge, split and smiles may stand beside "
         "it), or the columns of qm9pack or QM40; it has 'name, path'"),
        ("file,charge\na.xyz,half\n", "line 2: charge 'half': must be a whole number"),
        ("file,split\n\na.xyz,train\na.xyz,dev\n", "line 4: split 'dev': must be train, validation, test or empty"),
        ("file,name\na.xyz,a b\n", "line 2: name 'a b': letters, digits and _.,:+@#()~*- only, "
         "the first no sign but _, at most 100"),
        ("file,name\nb.xyz,a\n", "line 2: b.xyz has 2 molecules; a file named in a table must have one"),
        ("file,name\na.xyz\n", "line 2: 1 of 2 columns are there"),
        ('file,name\n"a.xyz,a\n', "line 2: not a CSV table (unexpected end of data)"),
    ],
)  # fmt: skip
def test_wrong_tables(tmp_path, text, message):
    (tmp_path / "a.xyz").write_text(f"3\n\n{WATER}")
    (tmp_path / "b.xyz").write_text(chain("a", 1) + chain("b", 1))
    path = tmp_path / "t.csv"
    path.write_text(text)
    assert problem(path) == f"{path}: {message}"


def test_a_missing_file_of_a_table_is_named(tmp_path):
    (tmp_path / "t.csv").write_text("file\nnone.xyz\n")
    assert problem(tmp_path / "t.csv") == f"{tmp_path / 'none.xyz'}: no such file"


def test_rows_can_be_read_again_alone(tmp_path):
    path = tmp_path / "t.csv"
    path.write_bytes('a,b\r\n1,"two\r\nlines, ü"\r\n\r\n3,4\r\n'.encode())
    first, second = rows(path, ["b", "c"])
    assert (first.values, first.place.line) == (["two\r\nlines, ü", ""], 2)
    assert (second.values, second.place.line) == (["4", ""], 5)
    assert list(rows(path, ["a"], second.place)) == [second._replace(values=["3"])]


# --- qm9pack and QM40


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """A package like qm9pack that fails when it is imported."""
    package, record = tmp_path / "site/qm9pack", tmp_path / "site/qm9pack-1.0.3.dist-info"
    for folder in (package / "data", record):
        folder.mkdir(parents=True)
    (package / "__init__.py").write_text("raise ImportError")
    (package / "data/qm9_part1.csv").write_text(qm9pack_rows("dsgdb9nsd_000003"))
    (package / "data/qm9_part2.csv").write_text(qm9pack_rows("dsgdb9nsd_000010", "dsgdb9nsd_000011"))
    (record / "METADATA").write_text("Metadata-Version: 2.1\nName: qm9pack\nVersion: 1.0.3\n")
    files = [f"qm9pack/data/qm9_{name}.csv" for name in ("polarizability", "part2", "part1")]
    (record / "RECORD").write_text("".join(f"{file},,\n" for file in files))
    monkeypatch.syspath_prepend(tmp_path / "site")


def test_qm9pack_is_read_without_an_import(installed):
    entries = found("qm9pack")
    assert [e.name for e in entries] == ["dsgdb9nsd_000003", "dsgdb9nsd_000010", "dsgdb9nsd_000011"]
    molecule = entries[2].load()
    assert (molecule.name, molecule.symbols, molecule.info) == (
        "dsgdb9nsd_000011",
        ("O", "H", "H"),
        {"smiles": "O"},
    )
    assert molecule.coords_angstrom.tolist() == [[0, 0, 0.119], [0, 0.763, -0.477], [0.1, -0.763, -0.477]]
    file = MoleculeFile(path="qm9pack")
    assert (source_files([file]), source_versions([file])) == ([], "qm9pack 1.0.3")
    assert source_versions([MoleculeFile(path="a.xyz")]) == ""


def test_without_qm9pack_one_is_told_how_to_get_it(monkeypatch):
    def missing(name):
        raise sources.importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(sources.importlib.metadata, "distribution", missing)
    message = "molecules.files: qm9pack is not installed: pip install 'dixc[qm9]'"
    assert problem("qm9pack") == message
    with pytest.raises(UserError, match="qm9pack is not installed"):
        source_files([MoleculeFile(path="qm9pack")])


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("'H'", "'Hx'", "line 2 (dsgdb9nsd_000003): unknown element 'Hx'"),
        (
            ",'H'",
            "",
            "line 2 (dsgdb9nsd_000003): XYZ_Ang does not have three coordinates for each of Elements",
        ),
        ("0.763", "x", "line 2 (dsgdb9nsd_000003): coordinate 'x' is not a number"),
        ("0.119", "-0.477", "line 2 (dsgdb9nsd_000003): atoms 1 (O) and 2 (H) are 0.100 angstrom apart"),
    ],
)
def test_wrong_rows_of_qm9pack(tmp_path, old, new, message):
    path = tmp_path / "qm9_part1.csv"
    text = qm9pack_rows("dsgdb9nsd_000003").replace(
        "[0.,0.763", "[0.,0.100" if new == "-0.477" else "[0.,0.763"
    )
    path.write_text(text.replace(old, new))
    assert problem(path).startswith(f"{path}: {message}")


def test_qm40(tmp_path):
    methanol = "C 0 0 0\nO 0 0 1.43\nH 0 0.9 1.7\nH 1 0 -0.4\nH -0.5 0.9 -0.4\nH -0.5 -0.9 -0.4\n"
    text = QM40_HEADER + qm40_rows("ZINC1", "O", WATER) + qm40_rows("ZINC2", "CO", methanol)
    (tmp_path / "QM40_xyz.csv").write_text(text)
    (tmp_path / "QM40_main.csv").write_text("Zinc_id,smile\nZINC2,CO\nZINC1,O\n")
    for path in (tmp_path, tmp_path / "QM40_xyz.csv"):
        entries = found(path)
        assert [(e.name, e.charge, e.composition.n_heavy) for e in entries] == [
            ("ZINC1", 0, 1),
            ("ZINC2", 0, 2),
        ]
        molecule = entries[1].load()
        assert (molecule.formula, molecule.info) == ("CH4O", {"smiles": "CO"})
        assert molecule.coords_angstrom[1].tolist() == [0, 0, 1.43]
    path = tmp_path / "QM40_xyz.csv"
    path.write_text(text + qm40_rows("ZINC1", "O", WATER))
    assert problem(path) == f"{path}: line 11 (ZINC1): its atoms are not all in consecutive rows"
    path.write_text(text.replace("1.43", ""))
    assert "line 5 (ZINC2): " in problem(path)


# --- options and filters


def test_options_of_a_file_in_the_config(tmp_path):
    files = ["a.xyz", {"path": "ions", "charge": -1, "exclude": "no.txt"}, {"path": "b.xyz"}]
    sized = {"train": (1, 1, 4), "validation": (1, 1, 4)}
    settings = config(["x"], **sized).model_dump() | {}
    settings["molecules"]["files"] = files
    settings = validate({k: settings[k] for k in ("molecules",)})
    assert [(f.path, f.charge, f.exclude) for f in settings.molecules.files] == [
        ("a.xyz", None, None), ("ions", -1, "no.txt"), ("b.xyz", None, None),
    ]  # fmt: skip
    assert settings.model_dump()["molecules"]["files"] == [*files[:2], "b.xyz"]
    write(settings, tmp_path / "c.yaml")
    assert yaml.safe_load((tmp_path / "c.yaml").read_text())["molecules"]["files"] == [*files[:2], "b.xyz"]
    assert load(tmp_path / "c.yaml") == settings
    assert json.loads(settings.model_dump_json())["molecules"]["files"][0] == "a.xyz"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"files": [{"pth": "a"}]}, "molecules.files[0].pth: unknown key (did you mean path?)"),
        ({"files": [3]}, "molecules.files[0]: must be a mapping of keys to values, not 3"),
        ({"files": [""]}, "molecules.files[0].path: must not be empty"),
        (
            {"files": [{"path": "a", "charge": "x"}]},
            "molecules.files[0].charge: must be a whole number, not 'x'",
        ),
        ({"elements": ["H", "c"]}, "molecules: elements: no element 'c' (did you mean C?)"),
        ({"elements": []}, "molecules.elements: must not be empty"),
        ({"charges": [0.5]}, "molecules.charges[0]: must be a whole number"),
    ],
)
def test_wrong_settings(change, message):
    molecules = {"files": ["a"], "train": {"count": 1, "max_heavy": 1}, "validation": {"count": 1, "max_heavy": 1},
                 "test": {"names": ["a"]}}  # fmt: skip
    with pytest.raises(UserError) as caught:
        validate({"molecules": molecules | change})
    assert str(caught.value).startswith(f"config: {message}")


def test_charge_and_exclude_of_a_file(tmp_path):
    (tmp_path / "a.xyz").write_text(frame("x", "O 0 0 0\nH 0 0 0.97\n") + frame("y", "O 0 0 0\nH 0 0 0.98\n"))
    (tmp_path / "no.txt").write_text("y  # stretched\n")
    (entry,) = found(tmp_path / "a.xyz", charge=-1, exclude=str(tmp_path / "no.txt"))
    assert (entry.name, entry.charge, entry.load().n_electrons) == ("x", -1, 10)
    (tmp_path / "no.txt").write_text("\n")
    assert problem(tmp_path / "a.xyz", exclude=str(tmp_path / "no.txt")).endswith(
        "no molecules to leave out in it"
    )
    assert problem(tmp_path / "a.xyz", exclude="none.txt") == "none.txt: no such file"


def test_filters_by_element_and_charge(tmp_path, capsys):
    path = tmp_path / "a.xyz"
    ion = frame("ion", "N 0 0 0\nH 1 0 0\nH -1 0 0\nH 0 1 0\nH 0 -1 0\n", "charge=1")
    path.write_text(
        "".join(chain(f"m{i}", i) for i in range(1, 6)) + ion + frame("hf", "H 0 0 0\nF 0 0 0.9\n")
    )
    sized = dict(train=(2, 1, 5), validation=(1, 1, 5), elements=["H", "C", "N"])
    prepare(config([path], test={"names": ["m5"]}, charges=[0], **sized), tmp_path / "out")
    assert "5 of 7 molecules pass molecules.elements and molecules.charges" in capsys.readouterr().out
    assert {r["name"] for r in table(tmp_path / "out")} <= {f"m{i}" for i in range(1, 6)}
    with pytest.warns(DixcWarning, match=r"no training molecule has: ion \(N\)"):
        prepare(config([path], test={"names": ["ion"]}, **sized), tmp_path / "ions")
    for name, reason in {"hf": "has F, which is not in molecules.elements",
                         "ion": "has charge 1, which is not in molecules.charges"}.items():  # fmt: skip
        message = refusal(config([path], test={"names": [name]}, charges=[0], **sized), tmp_path / "no")
        assert message == f"molecules.test.names: {name} of {path}: {reason}"


def test_a_split_stated_in_a_file_binds(tmp_path):
    path = tmp_path / "a.xyz"
    path.write_text("".join(chain(f"m{i}", i, extra="split=test" if i < 4 else "") for i in range(1, 7)))
    sized = dict(train=(2, 1, 6), validation=(1, 1, 6))
    prepare(config([path], test={"names": ["m1"]}, **sized), tmp_path / "out")
    assert {r["name"] for r in table(tmp_path / "out") if r["split"] != "test"} == {"m4", "m5", "m6"}
    message = refusal(
        config([path], train=(3, 1, 6), validation=(1, 1, 6), test={"names": ["m1"]}), tmp_path / "no"
    )
    assert message.endswith("then train; 2 more are for another split, say their files)")
    path.write_text(chain("m1", 1, extra="split=train") + path.read_text()[0:0])
    assert "m1 of" in refusal(config([path], test={"names": ["m1"]}, **sized), tmp_path / "no")


def test_doubles_are_counted_and_named_with_their_like(tmp_path, capsys):
    path = tmp_path / "a.xyz"
    shifted = [chain(f"m{i}", 3, stretch=0.01 * (i % 4)) for i in range(12)]
    path.write_text("".join(shifted) + chain("t", 2))
    prepare(config([path], train=(3, 3, 3), validation=(1, 3, 3), test={"names": ["t"]}), tmp_path / "out")
    printed = capsys.readouterr().out
    chosen = [r["name"] for r in table(tmp_path / "out") if r["name"] != "t"]
    assert {int(name[1:]) % 4 for name in chosen} == {0, 1, 2, 3}
    count = printed.count("is taken already: m")
    assert f"passed over: {count} twice" in printed


def test_frames_can_be_read_again_alone(tmp_path):
    path = tmp_path / "a.xyz"
    path.write_text("\n" + chain("a", 2) + "\n\n" + chain("b", 3) + chain("c", 1))
    whole = list(frames.frames(path))
    assert [f.where for f in whole] == [f"{path}: frame {i}" for i in (1, 2, 3)]
    for one in whole:
        assert next(frames.frames(path, one.place)) == one

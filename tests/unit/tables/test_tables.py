"""Tables: merging of parts, the per-element energy fit and the summary against hand computation."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scf_chunks import SCF, history_chunk, linear_error, write_chunk

from dixc.errors import UserError
from dixc.stages import tables as tables_stage
from dixc.store import ChunkWriter
from dixc.tables.element_fit import element_counts, fit_elements, fitted_errors
from dixc.tables.frames import as_types, empty_table, read_table
from dixc.tables.merge import merge
from dixc.tables.metrics import BY_NAME, METRICS
from dixc.tables.samples import samples
from dixc.tables.schema import TABLES
from dixc.tables.summary import summarise

BUILD_ERRORS = ("one_build_error_uEh", "two_build_error_uEh")


def part(path, name, rows):
    """A CSV part."""
    pd.DataFrame(rows, columns=TABLES[name].columns).to_csv(path, index=False)
    return path


def warm_row(model, loss, seed, molecule, guess, builds, converged=True):
    return dict(model=model, loss=loss, seed=seed, split="test", molecule=molecule, n_heavy=2, converged=converged,
                guess=guess, cycles=builds - 1, hybrid_fock_builds=builds, cheap_fock_builds=0, wall_s=1.0,
                wall_total_s=1.5, e_diff_Eh=1e-10)  # fmt: skip


def state_row(seed, molecule, state, error, converged=True, method="tddft"):
    return dict(model="xcdiff", loss="hess", seed=seed, split="test", molecule=molecule, n_heavy=2, converged=converged,
                method=method, state=state, excitation_eV=6 + error, reference_eV=6.0, error_eV=error,
                overlap_error_eV=error / 2)  # fmt: skip


def scf_table(rows):
    """An scf table from (seed, split, molecule, converged, e_tot_error_mEh, e_rho_mEh)."""
    full = [
        dict(model="xcdiff", loss="base", seed=seed, split=split, molecule=molecule, n_heavy=2, converged=converged,
             e_tot_error_mEh=error, e_tot_error_fit_mEh=error / 2, e_rho_mEh=e_rho, dipole_error_debye=0.1,
             l2_density=0.01, cycles=9, wall_s=1.0)
        for seed, split, molecule, converged, error, e_rho in rows
    ]  # fmt: skip
    return as_types(pd.DataFrame(full, columns=TABLES["scf"].columns), "scf")


def with_empty(**given):
    """Tables, those not given without rows."""
    return {name: given.get(name, empty_table(name)) for name in ("scf", "warmstart", "tddft")}


def value_of(summary, metric, **keys):
    """The one summary row of a metric."""
    rows = summary[summary["metric"] == metric]
    for key, value in keys.items():
        rows = rows[rows[key] == value]
    assert len(rows) == 1
    return rows.iloc[0]


def test_fit_recovers_per_element_energies():
    counts = np.array([[2, 1], [4, 0], [1, 3]])
    assert fit_elements(counts @ np.array([0.5, -3.0]), counts) == pytest.approx([0.5, -3.0])


def test_rank_deficient_fit_has_least_norm():
    # one molecule with one H and two C, error 10: c = 10 (1, 2) / 5
    assert fit_elements(np.array([10.0]), np.array([[1, 2]])) == pytest.approx([2.0, 4.0])


def test_fit_uses_converged_training_molecules_only():
    table = scf_table([(0, "train", "a", True, 4.0, 1), (0, "train", "b", False, 1000.0, 1),
                       (0, "train", "c", True, 6.0, 1), (0, "test", "d", True, 21.0, 1)])  # fmt: skip
    counts = element_counts(pd.Series([(1,), (1,), (1, 1), (1, 1, 1)]))
    # least squares through the origin: (1*4 + 2*6) / (1 + 4) = 3.2 a hydrogen
    assert fitted_errors(table, counts).to_numpy() == pytest.approx([0.8, 1000 - 3.2, -0.4, 21 - 9.6])


def test_seeds_are_fitted_apart():
    train = [(seed, "train", "a", True, error, 1) for seed, error in ((0, 4.0), (1, 8.0))]
    table = scf_table([*train, (1, "test", "b", True, 9.0, 1)])
    counts = element_counts(pd.Series([(1,), (1,), (1,)]))
    assert fitted_errors(table, counts).to_numpy() == pytest.approx([0.0, 0.0, 1.0])


def test_no_training_molecules_give_nan():
    table = scf_table([(0, "test", "a", True, 4.0, 1), (0, "train", "b", False, 4.0, 1)])
    assert fitted_errors(table, element_counts(pd.Series([(1,), (1,)]))).isna().all()


def test_run_merges_chunks(tmp_path):
    tags = {"model": "xcdiff", "loss": "hess", "seed": 2}
    chunks = [
        write_chunk(tmp_path / "test.h5", tags, ["ethanol", "hydrogen fluoride"]),
        write_chunk(
            tmp_path / "train.h5",
            tags,
            ["water", "methane", "methanol", "formaldehyde"],
            unconverged=["water"],
        ),
    ]
    warm = part(tmp_path / "w.csv", "warmstart", [warm_row("b3lyp", "none", 0, "ethanol", "minao", 12)])
    states = part(tmp_path / "t.csv", "tddft", [state_row(2, "ethanol", 1, 0.1)])
    tables_stage.run(chunks, [warm], [states], tmp_path / "tables")
    assert sorted(path.name for path in (tmp_path / "tables").iterdir()) == [
        "convergence.csv", "provenance.json", "scf.csv", "spectra.csv", "summary.csv", "tddft.csv", "warmstart.csv",
    ]  # fmt: skip
    scf = pd.read_csv(tmp_path / "tables" / "scf.csv")
    assert list(scf) == TABLES["scf"].columns
    # by split, then heavy atoms, then name
    assert scf["molecule"].tolist() == [
        "methane", "water", "formaldehyde", "methanol", "hydrogen fluoride", "ethanol",
    ]  # fmt: skip
    rows = scf.set_index("molecule")
    assert rows.loc["ethanol", "e_tot_error_fit_mEh"] == pytest.approx(0.0, abs=1e-9)
    assert np.isnan(rows.loc["hydrogen fluoride", "e_tot_error_fit_mEh"])
    assert rows.loc["hydrogen fluoride", "e_tot_error_mEh"] == pytest.approx(
        linear_error("hydrogen fluoride")
    )
    assert not rows.loc["water", "converged"]
    summary = pd.read_csv(tmp_path / "tables" / "summary.csv")
    assert list(summary) == TABLES["summary"].columns
    fit = value_of(summary, "e_tot_mae_fit_mEh", split="test")
    # the molecule with the unknown element has no fitted energy, which is no failure, and is said in a row of its own
    assert (fit["n"], fit["n_failed"]) == (1, 0)
    unseen = value_of(summary, "unseen_element_molecules", split="test")
    assert (unseen["value"], unseen["n"], unseen["n_failed"]) == (1, 2, 0)


def test_order_does_not_depend_on_parts(tmp_path):
    tags = {"model": "xcdiff", "loss": "base", "seed": 0}
    first = write_chunk(tmp_path / "a.h5", tags, ["water", "methanol"])
    second = write_chunk(tmp_path / "b.h5", tags | {"loss": "hess"}, ["water", "ethanol"])
    third = write_chunk(tmp_path / "c.h5", {"model": "pbe", "loss": "none", "seed": 0}, ["ethanol"])
    forth, back = (merge(paths, [], [])["scf"] for paths in ([first, second, third], [third, second, first]))
    pd.testing.assert_frame_equal(forth, back)
    assert forth["model"].tolist() == ["pbe"] + ["xcdiff"] * 4
    assert forth["loss"].tolist() == ["none", "base", "base", "hess", "hess"]


def test_failed_molecules_keep_their_row(tmp_path):
    tags = {"model": "xcdiff", "loss": "base", "seed": 0}
    chunk = write_chunk(tmp_path / "a.h5", tags, ["water", "ethanol"], failed=["ethanol"])
    merged = merge([chunk], [], [])
    row = merged["scf"].set_index("molecule").loc["ethanol"]
    assert not row["converged"]
    assert np.isnan(row["e_rho_mEh"])
    found = value_of(summarise(merged), "e_rho_mEh", split="test")
    assert np.isnan(found["value"])
    assert (found["n"], found["n_failed"]) == (0, 1)


def test_the_same_molecule_twice_is_refused(tmp_path):
    tags = {"model": "xcdiff", "loss": "base", "seed": 0}
    chunks = [write_chunk(tmp_path / f"{name}.h5", tags, ["water"]) for name in "ab"]
    with pytest.raises(UserError, match=r"a\.h5 and .*b\.h5: the same row twice.*water"):
        tables_stage.run(chunks, [], [], tmp_path / "tables")
    assert not (tmp_path / "tables").exists()


@pytest.mark.parametrize("lacking", ["seed", "e_rho_mEh"])
def test_a_missing_attribute_is_named(tmp_path, lacking):
    tags = {"model": "xcdiff", "loss": "base", "seed": 0}
    metrics = SCF | {"e_tot_error_mEh": 1.0, "converged": True, "n_heavy": 1, "split": "test"}
    tags.pop(lacking, None)
    metrics.pop(lacking, None)
    writer = ChunkWriter(tmp_path / "a.h5", stage="scf", settings={}, key="k", attributes=tags)
    writer.write("water", {"atomic_numbers": np.array([8, 1, 1])}, metrics)
    writer.finish(1.0)
    with pytest.raises(UserError, match=rf"a\.h5.*no attribute {lacking}"):
        tables_stage.run([tmp_path / "a.h5"], [], [], tmp_path / "tables")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "not a CSV table"),
        ("model,loss\nxcdiff,base\n", "no column seed, split, molecule"),
        (",".join(TABLES["warmstart"].columns) + ",extra\n", "unknown column extra"),
        (",".join(TABLES["warmstart"].columns) + "\nm,base,zero" + ",1" * 11 + "\n", "column seed"),
        (
            ",".join(TABLES["warmstart"].columns) + "\nm,base,0,test,a,1,maybe" + ",1" * 7 + "\n",
            "column converged",
        ),
    ],
)
def test_a_bad_part_is_refused(tmp_path, text, message):
    path = tmp_path / "part.csv"
    path.write_text(text)
    with pytest.raises(UserError, match=message) as caught:
        tables_stage.run([], [path], [], tmp_path / "tables")
    assert "\n" not in str(caught.value)
    assert "part.csv" in str(caught.value)
    assert not (tmp_path / "tables").exists()


def test_an_absent_part_is_refused(tmp_path):
    with pytest.raises(UserError, match="no such file"):
        tables_stage.run([], [tmp_path / "none.csv"], [], tmp_path / "tables")


def test_odd_names_survive_the_way_through_a_file(tmp_path):
    rows = [warm_row("b3lyp", "none", 0, name, "minao", 12) for name in ("None", "NA", "1e5", "")]
    path = part(tmp_path / "w.csv", "warmstart", rows)
    tables_stage.run([], [path], [], tmp_path / "tables")
    again = read_table(tmp_path / "tables" / "warmstart.csv", "warmstart")
    assert sorted(again["molecule"]) == ["", "1e5", "NA", "None"]
    assert again["converged"].dtype == bool
    assert set(again["loss"]) == {"none"}


def test_no_parts_give_tables_with_headings(tmp_path):
    tables_stage.run([], [], [], tmp_path / "tables")
    for name, table in TABLES.items():
        read = read_table(tmp_path / "tables" / f"{name}.csv", name)
        assert list(read) == table.columns
        assert read.empty


def test_old_tables_stay_if_writing_fails(tmp_path, monkeypatch):
    tables_stage.run([], [], [], tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    def full(*args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pd.DataFrame, "to_csv", full)
    with pytest.raises(UserError, match="No space left"):
        tables_stage.run([], [], [], tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_summary_of_seeds_by_hand():
    scf = scf_table([
        (0, "test", "a", True, -2.0, 0.4), (0, "test", "b", True, 4.0, 0.6),
        (1, "test", "a", True, -6.0, 0.8), (1, "test", "b", False, 999.0, 99.0),
        (0, "train", "c", True, 1.0, 0.1),
    ])  # fmt: skip
    summary = summarise(with_empty(scf=scf))
    row = value_of(summary, "e_tot_mae_mEh", split="test")
    # seed 0: (2 + 4) / 2 = 3; seed 1: 6 (b did not converge); mean 4.5, standard deviation 3 / sqrt 2
    assert row["value"] == pytest.approx(4.5)
    assert row["spread"] == pytest.approx(3 / np.sqrt(2))
    assert (row["n"], row["n_failed"]) == (1, 1)
    assert value_of(summary, "e_rho_mEh", split="test")["value"] == pytest.approx((0.5 + 0.8) / 2)
    alone = value_of(summary, "e_rho_mEh", split="train")
    assert np.isnan(alone["spread"])
    assert (alone["n"], alone["n_failed"]) == (1, 0)


def test_warm_start_savings_by_hand():
    rows = [
        warm_row("b3lyp", "none", 0, "a", "minao", 10), warm_row("b3lyp", "none", 0, "b", "minao", 20),
        warm_row("b3lyp", "none", 0, "c", "minao", 99, converged=False),
        warm_row("xcdiff", "hess", 3, "a", "density", 8), warm_row("xcdiff", "hess", 3, "b", "density", 12),
        warm_row("xcdiff", "hess", 3, "c", "density", 11), warm_row("xcdiff", "hess", 3, "a", "accelerate", 4),
    ]  # fmt: skip
    table = as_types(pd.DataFrame(rows), "warmstart")
    summary = summarise(with_empty(warmstart=table))
    minao = value_of(summary, "warmstart_fock_builds_minao")
    assert (minao["model"], minao["value"], minao["n"], minao["n_failed"]) == ("b3lyp", 15.0, 2, 1)
    density = value_of(summary, "warmstart_fock_builds_density")
    assert (density["value"], density["n"]) == (pytest.approx(31 / 3), 3)
    saved = value_of(summary, "warmstart_builds_saved_percent")
    assert saved["value"] == pytest.approx((20 + 40) / 2)
    assert (saved["n"], saved["n_failed"]) == (2, 1)  # c has no converged default guess to compare with
    assert value_of(summary, "accelerate_builds_saved_percent")["value"] == pytest.approx(60)


def test_errors_after_builds_by_hand():
    rows = [
        warm_row("xcdiff", "hess", 0, molecule, guess, builds, converged) | dict(zip(BUILD_ERRORS, errors, strict=True))
        for molecule, guess, builds, converged, errors in (
            ("a", "accelerate", 3, True, (-4.0, 0.1)), ("b", "accelerate", 4, True, (2.0, -0.3)),
            ("c", "accelerate", 1, True, (0.0, np.nan)),  # no second build, and none was needed
            ("d", "accelerate", 9, True, (np.nan, np.nan)),  # the functional's own SCF failed
            ("e", "accelerate", 50, False, (7.0, 7.0)), ("a", "density", 8, True, (np.nan, np.nan)),
        )
    ]  # fmt: skip
    table = as_types(pd.DataFrame(rows, columns=TABLES["warmstart"].columns), "warmstart")
    summary = summarise(with_empty(warmstart=table))
    one, two = (value_of(summary, f"{name}_build_mae_uEh") for name in ("one", "two"))
    assert (one["value"], one["n"], one["n_failed"]) == (pytest.approx(2.0), 3, 2)
    assert (two["value"], two["n"], two["n_failed"]) == (pytest.approx(0.2), 2, 2)


def test_warm_start_files_of_earlier_releases_have_no_errors_after_builds(tmp_path):
    rows = [warm_row("xcdiff", loss, 0, "a", "accelerate", 3) for loss in ("grad", "hess")]
    old = part(tmp_path / "old.csv", "warmstart", rows[:1])
    pd.read_csv(old).drop(columns=list(BUILD_ERRORS)).to_csv(old, index=False)
    new = part(
        tmp_path / "new.csv", "warmstart", [rows[1] | dict(zip(BUILD_ERRORS, (-4.0, 0.1), strict=True))]
    )
    tables_stage.run([], [old, new], [], tmp_path / "tables")
    table = read_table(tmp_path / "tables" / "warmstart.csv", "warmstart").set_index("loss")
    assert list(table.columns[-2:]) == ["one_build_error_uEh", "two_build_error_uEh"]
    assert table.loc["grad", list(BUILD_ERRORS)].isna().all()
    assert table.loc["hess", list(BUILD_ERRORS)].tolist() == [-4.0, 0.1]
    summary = pd.read_csv(tmp_path / "tables" / "summary.csv")
    found = summary[summary["metric"] == "one_build_mae_uEh"]
    assert found[["loss", "value", "n_failed"]].to_numpy().tolist() == [["hess", 4.0, 0]]
    # a whole run's table of an earlier release, as its report reads it
    (tmp_path / "tables" / "warmstart.csv").write_bytes(old.read_bytes())
    assert read_table(tmp_path / "tables" / "warmstart.csv", "warmstart")["two_build_error_uEh"].isna().all()


def test_excitations_by_hand():
    rows = [
        state_row(0, "a", 1, -0.1), state_row(0, "a", 2, 0.3), state_row(0, "b", 1, 0.5),
        state_row(0, "b", 2, 9.0, converged=False), state_row(0, "a", 1, 0.2, method="tda"),
    ]  # fmt: skip
    summary = summarise(with_empty(tddft=as_types(pd.DataFrame(rows), "tddft")))
    row = value_of(summary, "tddft_mae_eV")
    assert row["value"] == pytest.approx((0.1 + 0.3 + 0.5) / 3)
    assert (row["n"], row["n_failed"]) == (3, 1)
    assert value_of(summary, "tddft_overlap_mae_eV")["value"] == pytest.approx(0.15)
    assert value_of(summary, "tda_mae_eV")["value"] == pytest.approx(0.2)


def test_values_that_are_not_finite_are_counted():
    values = {"a": np.inf, "b": np.nan, "c": 2.0}
    scf = scf_table([(0, "test", name, True, 1.0, e_rho) for name, e_rho in values.items()])
    row = value_of(summarise(with_empty(scf=scf)), "e_rho_mEh")
    assert (row["value"], row["n"], row["n_failed"]) == (2.0, 1, 2)


def test_every_metric_copes_with_empty_tables():
    for metric in METRICS:
        assert samples(metric, with_empty()).empty
    assert list(summarise(with_empty())) == TABLES["summary"].columns
    assert len(BY_NAME) == len(METRICS)


def test_cycles_of_test_molecules_and_of_failures_are_kept(tmp_path):
    chunks = [
        history_chunk(tmp_path / "train.h5", ["water", "methane"], unconverged=["methane"]),
        history_chunk(tmp_path / "test.h5", ["ethanol"]),
    ]
    rows = [
        warm_row("b3lyp", "none", 0, "ethanol", "minao", 12),
        warm_row("pbe", "none", 0, "ethanol", "density", 9),
    ]
    rows[0] |= {"scf_energies": "-2 -2.5", "scf_gradients": "0.5 0.25"}
    rows[1] |= {"scf_energies": "", "scf_gradients": ""}
    warm = tmp_path / "w.csv"
    pd.DataFrame(rows).to_csv(warm, index=False)
    tables_stage.run(chunks, [warm], [], tmp_path / "tables")
    cycles = read_table(tmp_path / "tables" / "convergence.csv", "convergence")
    own, reference = cycles[cycles["scf_of"] == "functional"], cycles[cycles["scf_of"] == "reference"]
    assert list(own["molecule"]) == ["methane"] * 3 + ["ethanol"] * 3, (
        "water converged and is no test molecule"
    )
    assert list(own["gradient_Eh"]) == [1e-1, 1e-2, 1e-3] * 2
    assert list(own["converged"]) == [False] * 3 + [True] * 3
    assert list(zip(reference["cycle"], reference["e_tot_Eh"], strict=True)) == [(1, -2.0), (2, -2.5)]
    assert list(reference["guess"]) == ["minao"] * 2
    # what is in the details is not in the public tables
    assert list(pd.read_csv(tmp_path / "tables" / "warmstart.csv")) == TABLES["warmstart"].columns


def test_cycles_that_are_no_numbers_are_an_error(tmp_path):
    row = warm_row("b3lyp", "none", 0, "ethanol", "minao", 12) | {
        "scf_energies": "1 x",
        "scf_gradients": "1 2",
    }
    pd.DataFrame([row]).to_csv(tmp_path / "w.csv", index=False)
    with pytest.raises(UserError, match=r"w.csv: cycles of ethanol: .*'x'"):
        tables_stage.run([], [tmp_path / "w.csv"], [], tmp_path / "tables")
    assert not (tmp_path / "tables").exists()


def test_intensities_of_parts(tmp_path):
    old = part(tmp_path / "old.csv", "tddft", [state_row(0, "methanol", 1, 0.1)])
    new = tmp_path / "new.csv"
    row = state_row(0, "ethanol", 1, 0.1) | {"oscillator_strength": 0.25, "reference_strength": 0.5}
    pd.DataFrame([row]).to_csv(new, index=False)
    tables_stage.run([], [], [old, new], tmp_path / "tables")
    spectra = read_table(tmp_path / "tables" / "spectra.csv", "spectra").set_index("molecule")
    assert spectra.loc["ethanol", ["oscillator_strength", "reference_strength"]].tolist() == [0.25, 0.5]
    assert spectra.loc["ethanol", "excitation_eV"] == pytest.approx(6.1)
    assert np.isnan(spectra.loc["methanol", "oscillator_strength"])
    assert list(pd.read_csv(tmp_path / "tables" / "tddft.csv")) == TABLES["tddft"].columns
    with pytest.raises(UserError, match="unknown column oscillator_strength"):
        read_table(new, "tddft")

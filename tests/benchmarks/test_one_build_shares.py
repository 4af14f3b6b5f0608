"""The table of shares: corrections from rows of one_build.py, and what is counted of them."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from benchmarks import one_build_shares


def rows(hybrid: str, settings: str = "-") -> pd.DataFrame:
    """One and two builds of two molecules; shares of 1 % and 2 % are left after the first, 10 % after the second."""
    shared = {"basis": "b", "grid_level": 1, "hybrid": hybrid, "model": "m", "settings": settings}
    columns = ["molecule", "max_builds", "energy_Eh", "correction_uEh", "error_uEh"]
    energies = [
        ["a", 1, -1.0, 100, -1.0],
        ["a", 2, -1.0, 1, -0.1],
        ["b", 1, -2.0, 200, 4.0],
        ["b", 2, -2.0, 4, -0.4],
    ]
    corrected = pd.DataFrame(energies, columns=columns).assign(method="corrected", **shared)
    builds = corrected.assign(method="build", error_uEh=np.nan)
    builds["energy_Eh"] += 1e-6 * builds["correction_uEh"]
    return pd.concat([corrected, builds], ignore_index=True).drop(columns="correction_uEh")


def test_shares_of_the_correction(tmp_path, capsys):
    rows("b3lyp").to_csv(tmp_path / "in.csv", index=False)
    one_build_shares.main([str(tmp_path / "in.csv"), "--out", str(tmp_path / "out.csv")])
    printed = capsys.readouterr().out
    table = pd.read_csv(tmp_path / "out.csv")
    assert list(table) == one_build_shares.COLUMNS
    np.testing.assert_allclose(table["correction_uEh"], [100, 1, 200, 4], rtol=1e-3)
    one, two = one_build_shares.shares(table).to_dict("records")
    assert (one["n"], one["share_median"], one["max_uEh"]) == (2, pytest.approx(0.015), 4)
    assert (two["n"], two["share_median"], two["max_uEh"]) == (2, pytest.approx(0.1), 0.4)
    one_build_shares.main([str(tmp_path / "out.csv")])
    assert capsys.readouterr().out == printed, "the table that was written tells the same"


def test_estimates_are_the_share_or_what_the_second_build_measured(monkeypatch):
    monkeypatch.setattr(one_build_shares, "SHARE_LEFT", {"fitted": {"full-range": 0.015}})
    table = one_build_shares.corrections(rows("pbe0")).assign(kind="full-range")
    # the first minima were wrong by 0.9 of 100 and by 4.4 of 200
    np.testing.assert_allclose(one_build_shares.estimates(table), [1.5, 0.015, 3.0, 0.088], rtol=1e-3)
    one, two = one_build_shares.shares(table).to_dict("records")
    assert (one["below"], two["below"]) == (1, 0)


@pytest.mark.parametrize(
    ("hybrid", "kind"), [("pbe0", "full-range"), ("wb97x", "range-separated"), ("hf", "hartree-fock")]
)
def test_rows_are_grouped_by_surrogate_and_kind(hybrid, kind):
    table = one_build_shares.corrections(rows(hybrid, "surrogate=functional"))
    found = one_build_shares.shares(table).iloc[0]
    assert found[["surrogate", "kind"]].tolist() == ["functional", kind]

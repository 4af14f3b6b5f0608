"""The table of shares: corrections from rows of one_build.py, and what is counted of them."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from benchmarks import one_build_shares


def rows(hybrid: str, settings: str = "-") -> pd.DataFrame:
    """Two molecules with corrections of 100 and 200 microhartree, of which 1 and 4 are left."""
    shared = {
        "basis": "b",
        "grid_level": 1,
        "hybrid": hybrid,
        "model": "m",
        "settings": settings,
        "max_builds": 1,
    }
    corrected = {"molecule": ["a", "b"], "method": "corrected", "energy_Eh": [-1.0, -2.0]}
    corrected |= {"error_uEh": [-1.0, 4.0], "estimate_uEh": [2.0, 2.0]}
    build = {"molecule": ["a", "b"], "method": "build", "energy_Eh": [-1.0 + 1e-4, -2.0 + 2e-4]}
    return pd.concat([pd.DataFrame(shared | corrected), pd.DataFrame(shared | build)], ignore_index=True)


def test_shares_of_the_correction(tmp_path, capsys):
    rows("b3lyp").to_csv(tmp_path / "in.csv", index=False)
    one_build_shares.main([str(tmp_path / "in.csv"), "--out", str(tmp_path / "out.csv")])
    printed = capsys.readouterr().out
    table = pd.read_csv(tmp_path / "out.csv")
    assert list(table) == one_build_shares.COLUMNS
    np.testing.assert_allclose(table["correction_uEh"], [100, 200], rtol=1e-3)
    found = one_build_shares.shares(table).iloc[0]
    assert found[["n", "below", "estimate_over_error", "max_uEh"]].tolist() == [2, 1, 1.25, 4]
    assert found["share_median"] == pytest.approx(0.015)
    assert found["n_above_floor"] == 2
    one_build_shares.main([str(tmp_path / "out.csv")])
    assert capsys.readouterr().out == printed, "the table that was written tells the same"


@pytest.mark.parametrize(
    ("hybrid", "kind"), [("pbe0", "full-range"), ("wb97x", "range-separated"), ("hf", "hartree-fock")]
)
def test_rows_are_grouped_by_surrogate_and_kind(hybrid, kind):
    table = one_build_shares.corrections(rows(hybrid, "surrogate=functional"))
    found = one_build_shares.shares(table).iloc[0]
    assert found[["surrogate", "kind"]].tolist() == ["functional", kind]

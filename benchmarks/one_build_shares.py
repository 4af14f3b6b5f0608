"""What share of the correction one or two builds leave, from results of one_build.py, and whether estimates held.

    python benchmarks/one_build_shares.py cal.csv cal_functional.csv --out calibration.csv
    python benchmarks/one_build_shares.py calibration.csv

The table that --out writes has one row for each molecule, hybrid, model, surrogate and number of builds. Estimates are
those that dixc.pyscf.few_builds makes with its present shares, from the corrections and errors of the table. Printed
are, by surrogate, kind of mean field (the keys of `SHARE_LEFT` there) and builds: n energies; median and 95 % quantile
of |error| over correction; `below`, the number of errors below their estimate; the median of estimate over |error|;
`n_above_floor`, how many estimates are more than the least, and their median of estimate over |error|; mean and largest
|error| in microhartree.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
from pyscf import dft, gto, scf

from dixc.pyscf.few_builds import LEAST_LEFT, SHARE_LEFT
from dixc.pyscf.surrogates import kind_of
from dixc.reference.method import is_hartree_fock

KEY = ["molecule", "basis", "grid_level", "hybrid", "model", "settings", "max_builds"]
SURROGATES = {"-": "fitted", "surrogate=functional": "functional"}  # by the settings of one_build.py
COLUMNS = ["molecule", "hybrid", "model", "surrogate", "max_builds", "correction_uEh", "error_uEh"]
SAME = ["molecule", "hybrid", "model", "surrogate"]
FLOOR = 1e6 * LEAST_LEFT  # microhartree


def corrections(table: pd.DataFrame) -> pd.DataFrame:
    """Rows `corrected` of one_build.py with the correction, the last build's energy less the corrected one."""
    energies = table.set_index(KEY).groupby("method")["energy_Eh"]
    correction = 1e6 * (energies.get_group("build") - energies.get_group("corrected"))
    rows = (
        table[table["method"] == "corrected"].set_index(KEY).assign(correction_uEh=correction).reset_index()
    )
    return rows.assign(surrogate=rows["settings"].map(SURROGATES))[COLUMNS]


def kind(hybrid: str) -> str:
    """Key of `SHARE_LEFT`."""
    mol = gto.M(atom="He", verbose=0)
    return kind_of(scf.RHF(mol) if is_hartree_fock(hybrid) else dft.RKS(mol, xc=hybrid))


def estimates(rows: pd.DataFrame) -> pd.Series:
    """Estimates of what is left, microhartree: as `FewBuilds` makes them of sound minima.

    The minima of two builds differ by the difference of their errors.
    """
    share = pd.Series([SHARE_LEFT[row.surrogate][row.kind] for row in rows.itertuples()], rows.index)
    first = rows[rows["max_builds"] == 1].set_index(SAME)
    later = rows[rows["max_builds"] == 2]
    before = first.loc[pd.MultiIndex.from_frame(later[SAME])]
    wrong = np.abs(later["error_uEh"].to_numpy() - before["error_uEh"].to_numpy())
    measured = pd.Series(wrong / np.abs(before["correction_uEh"].to_numpy()), later.index)
    share = np.maximum(share, measured.reindex(rows.index, fill_value=0.0))
    return np.maximum(FLOOR, share * rows["correction_uEh"].abs())


def shares(rows: pd.DataFrame) -> pd.DataFrame:
    """Shares and estimates by surrogate, kind of mean field and builds; columns as above."""
    rows = rows.assign(kind=rows["hybrid"].map({hybrid: kind(hybrid) for hybrid in rows["hybrid"].unique()}))
    error, estimate = rows["error_uEh"].abs(), estimates(rows)
    above_floor = estimate > FLOOR * (1 + 1e-6)
    rows = rows.assign(
        error=error,
        share=error / rows["correction_uEh"].abs(),
        below=error < estimate,
        ratio=estimate / error,
        ratio_above=(estimate / error).where(above_floor),
    )
    return (
        rows.groupby(["surrogate", "kind", "max_builds"])
        .agg(
            n=("error", "size"),
            share_median=("share", "median"),
            share_95=("share", lambda share: share.quantile(0.95)),
            below=("below", "sum"),
            estimate_over_error=("ratio", "median"),
            n_above_floor=("ratio_above", "count"),
            above_floor_over_error=("ratio_above", "median"),
            mean_uEh=("error", "mean"),
            max_uEh=("error", "max"),
        )
        .reset_index()
    )


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("tables", nargs="+", type=Path, help="CSVs of one_build.py, or one that --out wrote")
    parser.add_argument("--out", type=Path, help="CSV of the corrections and errors")
    arguments = parser.parse_args(argv)
    tables = [pd.read_csv(path, keep_default_na=False, na_values=[""]) for path in arguments.tables]
    rows = pd.concat(
        [table if "surrogate" in table else corrections(table) for table in tables], ignore_index=True
    )
    if arguments.out:
        rows.to_csv(arguments.out, index=False, float_format="%.5g")
    print(shares(rows).to_string(index=False, float_format="{:.3g}".format, na_rep="-"))


if __name__ == "__main__":
    main()

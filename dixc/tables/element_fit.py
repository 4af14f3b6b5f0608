"""Energy errors after a fit of one energy an element on the training molecules."""

from __future__ import annotations

import numpy as np
import pandas as pd

from dixc.tables.samples import Floats, floats


def element_counts(atomic_numbers: pd.Series) -> pd.DataFrame:
    """Atoms of each element: a row a molecule (index kept), a column an atomic number."""
    elements = sorted({z for numbers in atomic_numbers for z in numbers})
    counts = [[numbers.count(z) for z in elements] for numbers in atomic_numbers]
    return pd.DataFrame(counts, index=atomic_numbers.index, columns=elements, dtype=float)


def fit_elements(errors: Floats, counts: Floats) -> Floats:
    """Per-element energies c with errors ~ counts @ c, least squares of least norm, no intercept.

    Args:
        errors: (n_molecules,), mEh.
        counts: (n_molecules, n_elements).
    """
    energies, *_ = np.linalg.lstsq(counts, errors, rcond=None)
    return energies.astype(np.float64)


def fitted_errors(scf: pd.DataFrame, counts: pd.DataFrame) -> pd.Series:
    """Energy errors (mEh) less energies by element, fitted on the converged training molecules.

    One fit for each (model, loss, seed), used for all its splits. NaN for molecules with an element
    that no such training molecule has, and for all where there is none.

    Args:
        scf: rows with the keys, `converged` and `e_tot_error_mEh`.
        counts: as of `element_counts`, same index.
    """
    result = pd.Series(np.nan, index=scf.index)
    for _, rows in scf.groupby(["model", "loss", "seed"]):
        errors = pd.Series(floats(rows["e_tot_error_mEh"]), index=rows.index)
        train = rows.index[(rows["split"] == "train") & rows["converged"] & np.isfinite(errors)]
        if not len(train):
            continue
        present = counts.loc[train].sum() > 0
        used = counts.loc[rows.index, present]
        energies = fit_elements(errors[train].to_numpy(), used.loc[train].to_numpy())
        known = counts.loc[rows.index, ~present].sum(axis=1) == 0
        result[rows.index] = (errors - used.to_numpy() @ energies).where(known)
    return result

"""Oscillator strengths of singlet excitations, from amplitudes that are there already."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dixc.core.orbitals import split_orbitals
from dixc.excitations.casida import Excitations


def oscillator_strengths(mf, excitations: Excitations) -> NDArray:
    """f = 2/3 w |mu|^2 (length gauge) of each state, (n_states,), no unit.

    With X + Y scaled to X^2 - Y^2 = 1 over spatial orbitals (or X in the Tamm-Dancoff case) the transition dipole of a
    singlet is mu = sqrt(2) sum_ia (X + Y)_ia <i|r|a> (Casida 1995); it does not depend on the origin.

    Args:
        mf: mean field whose orbitals the amplitudes refer to.
        excitations: energies in hartree, amplitudes (n_states, n_vir, n_occ).
    """
    orbo, orbv = split_orbitals(np.asarray(mf.mo_coeff), mf.mo_occ)
    dipoles = orbv.T @ mf.mol.intor_symmetric("int1e_r", comp=3) @ orbo
    moments = np.sqrt(2) * np.einsum("sai,xai->sx", excitations.amplitudes, dipoles)
    return 2 / 3 * excitations.energies * (moments**2).sum(axis=1)

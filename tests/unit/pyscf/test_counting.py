"""Counting Fock builds, and integrals that two mean fields share."""

from __future__ import annotations

import numpy as np
import pytest
from pyscf import dft
from small_molecules import molecule

import dixc.pyscf
from dixc.pyscf.counting import FockBuildCounter, share_integrals


def mean_field(name="water", xc="pbe"):
    mf = dft.RKS(molecule(name, "6-31g"), xc=xc)
    mf.grids.level = 0
    return mf


def test_every_build_is_counted_also_those_outside_of_the_cycles():
    mf = mean_field()
    builds = FockBuildCounter(mf)
    mf.kernel()
    in_kernel = builds.count
    assert in_kernel >= mf.cycles + 1, "the first density is a build, and no cycle"
    mf.get_veff(mf.mol, mf.make_rdm1())
    assert builds.count == in_kernel + 1
    assert builds.seconds > 0


def test_counting_changes_nothing():
    plain, counted = mean_field(), mean_field()
    builds = FockBuildCounter(counted)
    assert counted.kernel() == pytest.approx(plain.kernel(), abs=1e-12)
    assert builds.count > 0


def test_an_accelerated_scf_goes_on_counting():
    mf = mean_field(xc="b3lyp")
    builds = FockBuildCounter(mf)
    accelerated = dixc.pyscf.accelerate(mf, xc="pbe").run()
    assert builds.count == accelerated.hybrid_fock_builds > 0


def test_shared_integrals_give_the_same_energy():
    first, second = (dixc.pyscf.RKS(molecule("water", "6-31g"), xc=xc) for xc in ("pbe", "lda"))
    for mf in (first, second):
        mf.grids.level = 0
    first.kernel()
    expected = second.energy_tot(dm=first.make_rdm1())
    other = dixc.pyscf.RKS(molecule("water", "6-31g"), xc="lda")
    share_integrals(other, first)
    assert other._eri is first._eri
    assert other.grids is first.grids
    np.testing.assert_allclose(other.energy_tot(dm=first.make_rdm1()), expected, atol=1e-10)

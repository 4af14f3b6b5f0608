"""A second kernel() of an accelerated mean field: no build if nothing changed, PySCF's answer if anything did."""

from __future__ import annotations

import functools
import pickle

import numpy as np
import pytest
from pyscf import ao2mo, dft, gto, lib, qmmm, scf

import dixc.pyscf
from dixc.errors import UserError
from dixc.pyscf.fingerprint import fingerprint

WATER = "O 0 0 0.1178; H 0 0.7555 -0.4712; H 0 -0.7555 -0.4712"


def mean_field(xc: str = "b3lyp", atom: str = WATER, **changes):
    mf = dft.RKS(gto.M(atom=atom, basis="6-31g", verbose=0, **changes), xc=xc)
    mf.grids.level = mf.nlcgrids.level = 0
    return mf


def accelerated(mf):
    return dixc.pyscf.accelerate(mf, xc="r2scan")


def _dispersion(mf):
    pytest.importorskip("pyscf.dispersion", reason="needs pyscf-dispersion")
    mf.disp = "d3bj"


def _omega(mf):
    mf.omega = 0.2


def _dielectric(mf):
    mf.with_solvent.eps = 4.7
    mf.with_solvent.build()


def _nonlocal(mf):
    mf.nlc = "vv10"


def _functional(mf):
    mf.xc = "pbe0"


def _grid(mf):
    mf.grids.level = 1
    mf.grids.build()


def _grid_prune(mf):
    mf.grids.weights = mf.grids.weights * 1.0001


def _nuclear_repulsion(mf):
    shifted = mf.mol.energy_nuc() + 1.0
    mf.energy_nuc = lambda *args: shifted


def _field(mf):
    hcore = scf.hf.get_hcore(mf.mol) + 0.01 * mf.mol.intor("int1e_r")[2]
    mf.get_hcore = lambda *args: hcore


def _integrals(mf):
    mf._eri = mf.mol.intor("int2e", aosym="s8") * 0.99


def _integrals_in_place(mf):
    if mf._eri is None:
        mf._eri = mf.mol.intor("int2e", aosym="s8")
    mf._eri *= 0.99


def _energy(mf):
    total = type(mf).energy_tot
    mf.energy_tot = lambda *args, **kwargs: total(mf, *args, **kwargs) + 0.5


def _charges(mf):
    mf.mm_mol.set_geom_(np.array([[0.0, 0.0, 4.0]]), unit="angstrom")


SHARED = {"field": 0.0}


def _shared_field(mol):
    return SHARED["field"] * mol.intor("int1e_r")[2]


def in_a_field(of_class: bool):
    """A mean field whose two-electron potential has a field in it, which its class or its module knows."""

    class InField(dft.rks.RKS):
        strength = 0.0

        def get_veff(self, *args, **kwargs):
            vhf = super().get_veff(*args, **kwargs)
            field = self.strength * self.mol.intor("int1e_r")[2] if of_class else _shared_field(self.mol)
            return lib.tag_array(vhf + field, ecoul=vhf.ecoul, exc=vhf.exc, vj=vhf.vj, vk=vhf.vk)

    SHARED["field"] = 0.0
    mf = InField(mean_field().mol, xc="b3lyp")
    mf.grids.level = 0
    return mf


def _class_attribute(mf):
    next(cls for cls in type(mf).__mro__ if cls.__name__ == "InField").strength = 0.01


def _global_of_a_helper(mf):
    SHARED["field"] = 0.01


CHANGES = [
    (mean_field, _dispersion),
    (lambda: mean_field("camb3lyp"), _omega),
    (lambda: mean_field().PCM(), _dielectric),
    (lambda: mean_field().ddCOSMO(), _dielectric),
    (mean_field, _nonlocal),
    (mean_field, _functional),
    (mean_field, _grid),
    (mean_field, _grid_prune),
    (mean_field, _nuclear_repulsion),
    (mean_field, _field),
    (mean_field, _integrals),
    (mean_field, _integrals_in_place),
    (mean_field, _energy),
    (functools.partial(in_a_field, of_class=True), _class_attribute),
    (functools.partial(in_a_field, of_class=False), _global_of_a_helper),
    (lambda: qmmm.mm_charge(mean_field(), np.array([[0.0, 0.0, 2.9]]), np.array([-0.8])), _charges),
]


@pytest.mark.slow
@pytest.mark.parametrize(("make", "change"), CHANGES, ids=[change.__name__ for _, change in CHANGES])
def test_a_change_is_solved_anew(make, change):
    mf = accelerated(make())
    before = mf.kernel()
    assert mf.kernel() == before
    change(mf)
    after = mf.kernel()
    assert mf.converged
    plain = make()
    plain.kernel()  # where PySCF's own object is after the first run: integrals in memory, grid built
    change(plain)
    assert after == pytest.approx(plain.run(conv_tol=1e-11).e_tot, abs=1e-8)
    assert abs(after - before) > 1e-6


@pytest.mark.slow
def test_what_is_no_change_costs_no_build():
    mf = accelerated(mean_field())
    energy = mf.kernel()
    mf.verbose, mf.max_cycle, mf.callback = 0, 40, print
    mf.TDDFT().set(nstates=1).kernel()
    mf.nuc_grad_method().kernel()
    mf.dip_moment(verbose=0)
    mf.stability()
    mf.get_fock()
    builds = mf._veff_calls
    mf.e_tot = -5.0
    assert mf.kernel() == energy == mf.e_tot
    assert mf._veff_calls == builds


def test_fingerprint_sees_what_functions_refer_to():
    class Holder:
        pass

    mf = Holder()
    data = {"array": np.arange(6.0), "count": 1}
    mf.direct = lambda: data["array"]
    mf.partial = functools.partial(np.add, 1.0)
    mf.itself = mf
    first = fingerprint(mf)
    assert fingerprint(mf) == first
    data["array"][3] += 1e-12
    assert fingerprint(mf) != first
    data["array"][3] = 3.0
    assert fingerprint(mf) == first
    without = fingerprint(mf, ignored=["partial"])
    mf.partial = functools.partial(np.add, 2.0)
    assert fingerprint(mf) != first
    assert fingerprint(mf, ignored=["partial"]) == without


def test_fingerprint_sees_every_element_of_a_large_array():
    class Holder:
        pass

    mf = Holder()
    mf.array = np.random.default_rng(0).normal(size=300_001)
    first = fingerprint(mf)
    for index in (0, 4096, 123_456, 300_000):
        kept = mf.array[index]
        mf.array[index] = np.nextafter(kept, np.inf)
        assert fingerprint(mf) != first
        mf.array[index] = kept
    mf.array[[5, 70_000]] = mf.array[[70_000, 5]]
    assert fingerprint(mf) != first


# --- occupations


@pytest.mark.slow
def test_occupations_that_are_not_the_lowest_are_refused_whenever_they_are_set():
    nitrogen = functools.partial(mean_field, atom="N 0 0 0; N 0 0 1.1", symmetry=True)
    mf = accelerated(nitrogen())
    mf.kernel()
    mf.irrep_nelec = {"A1g": 6, "A1u": 4, "E1ux": 4}
    with pytest.raises(UserError, match="lowest orbitals"):
        mf.kernel()
    mf.irrep_nelec = {}
    assert mf.kernel() == pytest.approx(nitrogen().kernel(), abs=1e-8)
    plain = mean_field().run()
    occupied = plain.mo_occ.copy()
    occupied[[4, 5]] = occupied[[5, 4]]
    for mf in (
        scf.addons.frac_occ(mean_field()),
        scf.addons.mom_occ(mean_field(), plain.mo_coeff, occupied),
    ):
        with pytest.raises(UserError, match="get_occ"):
            accelerated(mf)


# --- starts, and what is left to PySCF


@pytest.mark.slow
def test_start_from_a_checkpoint(tmp_path):
    small = mean_field()
    small.chkfile = str(tmp_path / "water.chk")
    small.kernel()
    mf = dft.RKS(gto.M(atom=WATER, basis="cc-pvdz", verbose=0), xc="b3lyp")
    mf.grids.level, mf.chkfile, mf.init_guess = 0, small.chkfile, "chkfile"
    accelerated_mf = accelerated(mf)
    guesses = []
    read = accelerated_mf.init_guess_by_chkfile
    accelerated_mf.init_guess_by_chkfile = lambda *args, **kwargs: guesses.append(1) or read(*args, **kwargs)
    energy = accelerated_mf.kernel()
    assert guesses == [1]
    assert accelerated_mf.hybrid_fock_builds <= 4
    plain = dft.RKS(mf.mol, xc="b3lyp")
    plain.grids.level = 0
    assert energy == pytest.approx(plain.run(conv_tol=1e-11).e_tot, abs=1e-8)


def test_the_hybrids_max_cycle_does_not_limit_the_cheap_functional():
    mf = accelerated(mean_field())
    mf.max_cycle = 4
    mf.kernel()
    assert mf.converged
    assert mf.cheap_fock_builds > 5


def test_no_line_on_stderr_of_pyscfs_own_checks(capfd):
    mf = mean_field()
    mf.mol.verbose = mf.verbose = 3
    mf.stdout = open("/dev/null", "w")  # noqa: SIM115
    accelerated(mf).kernel()
    assert capfd.readouterr().err == ""


def test_no_electrons_models_and_crowds():
    proton = accelerated(dft.RKS(gto.M(atom="H 0 0 0", charge=1, basis="6-31g", verbose=0), xc="b3lyp"))
    assert proton.kernel() == pytest.approx(0.0, abs=1e-12)
    crowd = dft.RKS(gto.M(atom="He 0 0 0", charge=-2, basis="sto-3g", verbose=0), xc="b3lyp")
    with pytest.raises(UserError, match="4 electrons do not fit into the 1 orbitals"):
        accelerated(crowd)
    model = gto.M(verbose=0)
    model.nelectron, model.incore_anyway = 2, True
    mf = scf.RHF(model)
    repulsion = np.zeros((2,) * 4)
    repulsion[0, 0, 0, 0] = repulsion[1, 1, 1, 1] = 1.0
    mf.get_hcore = lambda *args: np.array([[0.0, -1.0], [-1.0, 0.0]])
    mf.get_ovlp = lambda *args: np.eye(2)
    mf._eri, mf.init_guess = ao2mo.restore(8, repulsion, 2), "1e"
    solved = accelerated(mf)
    assert solved.kernel() == pytest.approx(-1.5, abs=1e-9)
    assert solved.accelerated_by_diis
    assert solved.hybrid_fock_builds > 0


@pytest.mark.slow
def test_conversions_and_pickle():
    mf = accelerated(mean_field())
    energy = mf.kernel()
    assert mf.to_uks().kernel() == pytest.approx(energy, abs=1e-8)
    assert mf.to_gks().mo_coeff.shape[0] == 2 * mf.mol.nao
    assert mf.to_ghf().kernel() == pytest.approx(scf.RHF(mf.mol).kernel(), abs=1e-7)
    assert not hasattr(mf.to_rks(), "acceleration")
    again = pickle.loads(pickle.dumps(mf))
    assert again.acceleration.rtol == mf.acceleration.rtol
    assert again.e_tot == energy
    assert again.kernel() == pytest.approx(energy, abs=1e-9)
    assert again.hybrid_fock_builds <= 2


def test_periodic_systems_are_refused_in_words_of_the_user():
    from pyscf.pbc import dft as pbc_dft
    from pyscf.pbc import gto as pbc_gto

    cell = pbc_gto.Cell(atom="He 0 0 0", a=np.eye(3) * 4, basis="gth-szv", pseudo="gth-pade", verbose=0)
    with pytest.raises(UserError, match="periodic cell"):
        accelerated(pbc_dft.RKS(cell.build(), xc="pbe0"))


class Counter:
    def __init__(self, mf):
        self.calls, self.log, original = 0, [], mf.get_veff

        def get_veff(*args, **kwargs):
            self.calls += 1
            self.log.append(self.calls)
            return original(*args, **kwargs)

        mf.get_veff = get_veff


def test_counting_builds_is_no_change(monkeypatch):
    """On the object or on PySCF's class, by an attribute, a list or a closed-over number, set back or not."""
    mf = mean_field()
    counter, calls, number = Counter(mf), [], 0
    original = dft.rks.RKS.get_veff

    def get_veff(self, *args, **kwargs):
        nonlocal number
        number += 1
        calls.append("build")
        return original(self, *args, **kwargs)

    monkeypatch.setattr(dft.rks.RKS, "get_veff", get_veff)
    mf = accelerated(mf)
    energy = mf.kernel()
    assert counter.calls == mf.hybrid_fock_builds
    counter.calls, number = 0, 0
    counter.log.clear()
    calls.clear()
    assert mf.kernel() == energy
    assert counter.calls == number == len(calls) == 0

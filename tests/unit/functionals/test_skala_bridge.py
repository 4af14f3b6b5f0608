"""Functionals with the interface of the skala package: a small one written here, and the package's classical ones."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from density_points import closed_shell, energy_density, open_shell, random_closed
from pyscf import dft, gto
from short_training import train
from small_molecules import molecule

import dixc.pyscf
from dixc import create
from dixc.core.xc.expansion import XCExpansion
from dixc.errors import UserError
from dixc.functionals import files
from dixc.functionals.base import GridPoints
from dixc.functionals.skala_bridge import SkalaBridge

LIBXC = {
    "lda": "LDA_X,",
    "spw92": "LDA_X,LDA_C_PW",
    "pbe": "PBE,PBE",
    "tpss": "TPSS,TPSS",
    "r2scan": "R2SCAN,R2SCAN",
}


class Learned(torch.nn.Module):
    """Meta-GGA on spin-resolved features, in the form that the package's functionals have."""

    features = ("density", "grad", "kin", "grid_weights")

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.tensor([0.3, 0.2, 0.1]))

    def get_exc_density(self, mol):
        n, total = mol["density"], mol["density"].sum(0)
        p, p_total = (
            (mol["grad"] ** 2).sum(1) / n ** (8 / 3),
            (mol["grad"].sum(0) ** 2).sum(0) / total ** (8 / 3),
        )
        kinetic = torch.log1p(mol["kin"] / n ** (5 / 3)).sum(0)
        features = [torch.log(n + 1e-3).sum(0), torch.log1p(p).sum(0) + torch.log1p(p_total), kinetic]
        factor = 1 + torch.tanh(self.weight @ torch.stack(features) / 10) / 2
        return -0.93 * factor * (n ** (4 / 3)).sum(0)


class OnTheGrid(Learned):
    """The same with a dependence on the nuclei."""

    features = (*Learned.features, "grid_coords", "coarse_0_atomic_coords")

    def get_exc(self, mol):
        distance = torch.cdist(mol["grid_coords"], mol["coarse_0_atomic_coords"]).amin(1)
        return (self.get_exc_density(mol) * mol["grid_weights"] * (1 + torch.exp(-distance))).sum()


class Bridge(SkalaBridge):
    """As its users would write it to keep trained weights."""

    def __init__(self):
        super().__init__(Learned())
        self.hyperparameters = {}


def direct(x):
    """Energies per volume of `Learned` for open-shell invariants, without gradient vectors."""
    n_a, n_b, s_aa, s_ab, s_bb, t_a, t_b = x
    grad = torch.stack([torch.stack([s.sqrt(), 0 * s, 0 * s]) for s in (s_aa, s_bb)])
    cosine = s_ab / (s_aa * s_bb).sqrt()
    grad[1, 1] = grad[1, 0] * (1 - cosine**2).clamp(min=0).sqrt()
    grad[1, 0] = grad[1, 0] * cosine
    return (
        Learned()
        .double()
        .get_exc_density({"density": torch.stack([n_a, n_b]), "grad": grad, "kin": torch.stack([t_a, t_b])})
    )


def test_values_and_spins():
    bridge = SkalaBridge(Learned())
    assert (bridge.xctype, bridge.pointwise) == ("MGGA", True)
    up, down = random_closed(n_min=1e-6, seed=1), random_closed(n_min=1e-6, seed=2)
    x = open_shell(up, down)
    torch.testing.assert_close(energy_density(bridge, x), direct(x).detach(), rtol=1e-7, atol=0)
    torch.testing.assert_close(
        energy_density(bridge, open_shell(down, up)), energy_density(bridge, x), rtol=1e-7, atol=0
    )
    equal = energy_density(bridge, open_shell(up, up, cosine=1.0))
    torch.testing.assert_close(energy_density(bridge, up), equal, rtol=1e-7, atol=0)


@pytest.mark.parametrize("cosine", [0.3, 1.0])
def test_second_derivatives(cosine):
    """Products with the second derivative by finite steps of the slope, also where gradients are parallel or zero."""
    bridge, n = SkalaBridge(Learned()), 10.0 ** torch.linspace(-4, 2, 60)
    s, alpha = 0.1 + 3 * torch.rand(2, 60, generator=torch.Generator().manual_seed(0))
    x = open_shell(closed_shell(n, s, alpha), closed_shell(n.flip(0), s.flip(0), alpha), cosine)
    x[2:5, :5] = 0.0
    direction = x * torch.tensor([0.3, -0.2, 0.1, 0.15, 0.2, -0.3, 0.1], dtype=x.dtype)[:, None]
    direction[3] = cosine * (direction[2] * x[4] + direction[4] * x[2]) / (2 * (x[2] * x[4]).sqrt() + 1e-30)

    def slope(h):
        y = (x + h * direction).requires_grad_()
        return y, torch.autograd.grad(energy_density(bridge, y).sum(), y, create_graph=True)[0]

    y, g = slope(0.0)
    (exact,) = torch.autograd.grad((g * direction).sum(), y)
    numeric = (slope(1e-5)[1] - slope(-1e-5)[1]) / 2e-5
    scale = x.abs() / energy_density(bridge, x).detach().abs()
    torch.testing.assert_close(exact * scale, numeric.detach() * scale, rtol=1e-4, atol=1e-5)


def test_scf_is_numbers_and_trains(tmp_path):
    bridge = Bridge()
    mf = dixc.pyscf.UKS(gto.M(atom="H 0 0 0", spin=1, basis="sto-3g", verbose=0), xc=bridge)
    mf.grids.level = 0
    mf.kernel()
    assert mf.converged
    response = mf.gen_response(hermi=1)(np.ones((2, 1, 1)))
    assert np.isfinite(response).all()
    rho = 0.5 + torch.rand(1, 5, 50, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    expansion = XCExpansion(bridge, rho, GridPoints(torch.ones(50, dtype=rho.dtype)), 2, trainable=True)
    x = expansion.x
    expansion.gradients.backward(1.0, slope=x, pairs=(x[None], x[None]))
    assert torch.isfinite(bridge.wrapped.weight.grad).all()
    assert bridge.wrapped.weight.grad.abs().max() > 0
    with torch.no_grad():
        bridge.wrapped.weight += 0.1
    files.save(bridge, tmp_path / "model.pt", {})
    name = f"{Bridge.__module__}:Bridge"
    assert torch.equal(
        energy_density(dixc.load(tmp_path / "model.pt", classes=[name]), x), energy_density(bridge, x)
    )


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["mixed", "double"])
@pytest.mark.parametrize("wrapped", [Learned, OnTheGrid])
def test_trains_with_all_terms(tmp_path, wrapped, precision):
    bridge = SkalaBridge(wrapped())
    before = bridge.wrapped.weight.detach().clone()
    run = train(bridge, tmp_path, precision=precision)
    assert bridge.wrapped.weight.dtype == torch.float64, (
        "only the object knows where single precision would do"
    )
    assert all(row["skipped"] == 0 for row in run.rows)
    assert run.rows[-1]["loss"] < run.rows[0]["loss"]
    assert not torch.allclose(bridge.wrapped.weight, before)


def test_not_pointwise():
    bridge, mol = SkalaBridge(OnTheGrid()), molecule("water", "sto-3g")
    assert not bridge.pointwise
    mf = dixc.pyscf.RKS(mol, xc=bridge)
    mf.grids.level = 0
    mf.kernel()
    assert mf.converged
    dm = mf.make_rdm1()
    change = 1e-4 * np.eye(mol.nao)
    fock = [np.asarray(mf.get_veff(mol, dm + s * change)) for s in (1, -1)]
    np.testing.assert_allclose(mf.gen_response(hermi=1)(change / 1e-4), (fock[0] - fock[1]) / 2e-4, atol=1e-5)


def test_refusals(tmp_path):
    class Wanting(Learned):
        features = ("density", "atomic_grid_sizes")

    with pytest.raises(UserError, match="Wanting wants atomic_grid_sizes; dixc's grids have no such feature"):
        SkalaBridge(Wanting())
    with pytest.raises(UserError, match="no list `features`"):
        create("skala-bridge", functional=torch.nn.Linear(1, 1))
    with pytest.raises(UserError, match="cannot hold a value of type Learned"):
        files.save(SkalaBridge(Learned()), tmp_path / "model.pt", {})
    assert not list(tmp_path.iterdir())


def classical(name):
    try:
        import skala.functional.traditional  # noqa: F401
    except ImportError as error:
        pytest.skip(f"the package skala cannot be imported (make test installs it where it can): {error}")
    return create("skala-bridge", functional=name)


def test_names():
    assert classical("TPSS").xctype == "MGGA"
    with pytest.raises(UserError, match="functional must be one of lda, spw92, pbe"):
        classical("/tmp/some/file.fun")


@pytest.mark.slow
@pytest.mark.parametrize("name", LIBXC)
def test_classical_functionals_in_scf_and_tddft(name):
    # their constants have fewer digits than libxc's: PBE's beta (1e-6), PW92's spin stiffness, single precision
    mol, results = molecule("water", "sto-3g"), []
    for mf in (dft.RKS(mol, xc=LIBXC[name]), dixc.pyscf.RKS(mol, xc=classical(name))):
        mf.grids.level, mf.conv_tol = 0, 1e-11
        mf.kernel()
        excitations = [mf.TDDFT().set(nstates=3, singlet=s, conv_tol=1e-6).kernel()[0] for s in (True, False)]
        results.append((mf.e_tot, np.array(excitations)))
    assert results[1][0] == pytest.approx(results[0][0], abs=1e-9 if name == "lda" else 1e-5)
    assert np.abs(results[1][1] - results[0][1]).max() < (1e-9 if name == "lda" else 3e-6)


def test_classical_functional_pointwise():
    ours, bridge = create("r2scan"), classical("r2scan")
    up, down = random_closed(n_min=1e-4, seed=1), random_closed(n_min=1e-4, seed=2)
    for x in (up, open_shell(up, down)):
        torch.testing.assert_close(energy_density(bridge, x), energy_density(ours, x), rtol=1e-6, atol=0)


@pytest.mark.slow
def test_classical_functional_of_an_open_shell():
    mol = gto.M(atom="Li 0 0 0", basis="sto-3g", spin=1, verbose=0)
    energies = []
    for mf in (dft.UKS(mol, xc="SCAN,SCAN"), dixc.pyscf.UKS(mol, xc=classical("scan"))):
        mf.grids.level, mf.conv_tol = 0, 1e-11
        energies.append(mf.kernel())
    assert energies[1] == pytest.approx(energies[0], abs=1e-6)

"""Loss terms against finite differences in the parameters, and the optimisation loop's promises."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import scipy.linalg
import torch
from small_references import reference_record

from dixc import create
from dixc.config.base import TERMS_OF_LOSS
from dixc.config.training import Training
from dixc.errors import UserError
from dixc.training import checkpoints, metropolis, model_scf, terms
from dixc.training.cache import MoleculeCache
from dixc.training.loop import Trainer
from dixc.training.molecule import TrainingMolecule
from dixc.training.sinks import GradientSink

TIGHT = {"scf_conv_tol_grad": 1e-9, "cg_tol": 1e-10}


def settings(**changes) -> Training:
    values = {"density": {"weight": 1e3, **TIGHT}, "hessian": {"weight": 10.0, "probes": 3, "grid_level": 0}}
    return Training.model_validate(values | {"grid_level": 0} | changes)


@pytest.fixture(scope="module")
def molecule(water) -> TrainingMolecule:
    return TrainingMolecule(*water, grid_level=0, hessian_grid_level=0)


@pytest.fixture
def functional():
    return create("xcdiff", n_hidden=6, n_layers=2, seed=3)


def term_value(term: str, molecule, functional, options: Training, backward: bool) -> float:
    names = TOGETHER.get(term, (term,))
    scf, sink = None, GradientSink() if backward else None
    if term in ("energy", "density"):
        scf = model_scf.solve(molecule, functional, None, options.density.scf_conv_tol_grad, max_steps=30)
        assert scf.converged
    values = terms.evaluate(names, molecule, functional, options, scf, np.random.default_rng(5), sink)
    return sum(v.weighted for v in values)


# terms that are evaluated at one place and share its expansion
TOGETHER = dict.fromkeys(("energy", "density"), ("energy", "density")) | dict.fromkeys(
    ("hessian", "excitation"), ("hessian", "excitation")
)
CASES = {
    "energy": settings(density={"weight": 0.0, **TIGHT}, energy={"method": "gradient"}),
    "density": settings(energy={"weight": 0.0}),
    "gradient": settings(),
    "gradient, diagonal": settings(gradient={"metric": "diagonal"}),
    "gradient, plain": settings(gradient={"metric": "plain"}),
    "hessian": settings(excitation={"weight": 0.0}),
    "hessian, plain": settings(
        hessian={"metric": "plain", "probes": 2, "grid_level": 0}, excitation={"weight": 0.0}
    ),
    "excitation": settings(hessian={"weight": 0.0, "grid_level": 0}),
    "hessian, excitation": settings(),
}


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_parameter_gradient_is_that_of_the_value(case, molecule, functional):
    """Directional derivative along a random direction, central differences with a step study."""
    options, term = CASES[case], case.split(",")[0]
    parameters = list(functional.parameters())
    generator = torch.Generator().manual_seed(1)
    direction = [torch.randn(p.shape, generator=generator, dtype=p.dtype) for p in parameters]
    term_value(term, molecule, functional, options, backward=True)
    analytic = sum(
        float((p.grad * d).sum()) for p, d in zip(parameters, direction, strict=True) if p.grad is not None
    )

    def at(step: float) -> float:
        moved = copy.deepcopy(functional)
        with torch.no_grad():
            for p, d in zip(moved.parameters(), direction, strict=True):
                p += step * d
        return term_value(term, molecule, moved, options, backward=False)

    errors = [abs((at(h) - at(-h)) / (2 * h) - analytic) / abs(analytic) for h in (1e-3, 1e-4)]
    assert errors[1] < 2e-5
    assert errors[1] < max(errors[0], 1e-6), "the error must fall with the step"


@pytest.fixture(scope="module")
def data():
    """Two training molecules and one for validation, rebuilt for each trainer as a new process would."""
    known = {name: reference_record(name) for name in ("water", "ammonia", "methane")}

    def build(names):
        return {name: TrainingMolecule(*known[name], grid_level=0, hessian_grid_level=0) for name in names}

    return lambda: (build(["water", "ammonia"]), build(["methane"]))


def trainer(data, folder, loss="hess", **changes) -> Trainer:
    values = {"steps": 6, "validate_every": 3, "checkpoint_every": 2, "grid_level": 0, "precision": "double"}
    options = Training.model_validate(values | changes)
    return Trainer(create("xcdiff", n_hidden=6, n_layers=2), loss, 0, options, *data(), folder / f"{loss}.pt")


@pytest.fixture
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.mark.slow
@pytest.mark.parametrize("optimizer", ["gauss_newton", "adam"])
@pytest.mark.parametrize(("loss", "rule"), [("base", False), ("hess", False), ("base", True)])
def test_resumed_run_repeats_the_uninterrupted_one(
    data, tmp_path, loss, rule, optimizer, one_thread, monkeypatch
):
    changes = {"optimizer": optimizer} | ({"metropolis": {"enabled": True}} if rule else {})
    monkeypatch.setattr(
        metropolis, "FREE", -10.0
    )  # a rule that hardly lets a step pass has something to undo
    whole = trainer(data, tmp_path, loss, **changes)
    whole.run()
    assert any(row.get("undone") for row in whole.rows) == rule
    (tmp_path / f"{loss}.pt").unlink()
    killed = trainer(data, tmp_path, loss, **changes)
    for _ in range(5):  # one step after the last checkpoint
        row = killed.train_step()
        if killed.step % 3 == 0:
            row |= killed.validate()
        killed.rows.append(row)
        if killed.step % 2 == 0:
            checkpoints.save(killed)
    resumed = trainer(data, tmp_path, loss, **changes)
    resumed.run()
    assert len(resumed.rows) == 6
    assert [row.get("undone") for row in resumed.rows] == [row.get("undone") for row in whole.rows]
    for a, b in zip(whole.functional.parameters(), resumed.functional.parameters(), strict=True):
        assert torch.equal(a, b)


@pytest.mark.slow
def test_losses_are_cumulative_and_base_knows_no_derivatives(data, tmp_path):
    columns = {}
    for loss in ("base", "grad", "hess"):
        columns[loss] = {
            key for key in trainer(data, tmp_path, loss).train_step() if key.endswith("_weighted")
        }
    assert columns["base"] == {"energy_weighted", "density_weighted"}
    assert columns["grad"] == columns["base"] | {"gradient_weighted"}
    assert columns["hess"] == columns["grad"] | {"hessian_weighted", "excitation_weighted"}
    blind = trainer(data, tmp_path, "base")
    for molecule in blind.molecules.molecules.values():
        molecule._derivatives.datasets = {}
    assert np.isfinite(blind.train_step()["loss"]), "base must run without any reference derivative"


@pytest.mark.slow
def test_derivatives_without_amplitudes_are_refused(data, tmp_path):
    old = trainer(data, tmp_path, "hess")
    for molecule in old.molecules.molecules.values():
        molecule._derivatives.datasets.pop("tddft_conjugates", None)
    with pytest.raises(UserError, match=r"no amplitudes of excitations .*training\.excitation\.weight"):
        old.train_step()
    without = trainer(data, tmp_path, "hess", excitation={"weight": 0.0})
    for molecule in without.molecules.molecules.values():
        molecule._derivatives.datasets = {"a_plus_b": molecule._derivatives.datasets["a_plus_b"]}
    assert "excitation_weighted" not in without.train_step()


@pytest.mark.slow
def test_training_lowers_the_loss(data, tmp_path):
    run = trainer(data, tmp_path, "grad", steps=40, learning_rate=1e-2, precision="mixed")
    run.run()
    losses = [row["loss"] for row in run.rows]
    assert np.mean(losses[-10:]) < 0.5 * np.mean(losses[:4])
    assert next(run.functional.parameters()).dtype == torch.float64
    assert run.best_score == min(row["validation_score"] for row in run.rows if "validation_score" in row)


@pytest.mark.slow
def test_steps_without_a_usable_gradient_end_the_training(data, tmp_path):
    run = trainer(data, tmp_path, "base", steps=50)
    with torch.no_grad():
        run.functional.exchange.output.bias.fill_(float("nan"))
    with pytest.raises(UserError, match=r"steps in a row"):
        run.run()


@pytest.mark.slow
def test_weights_that_blow_up_are_restored(data, tmp_path):
    run = trainer(data, tmp_path, "grad", steps=50, metropolis={"enabled": True})
    for _ in range(3):
        run.train_step()
    accepted = copy.deepcopy(run.metropolis.kept["weights"][0])
    with torch.no_grad():
        run.functional.exchange.output.bias.fill_(float("nan"))
    row = run.train_step()
    assert (row["skipped"], row["undone"]) == (1, 1)
    for name, value in run.functional.state_dict().items():
        assert torch.equal(value, accepted[name]), name
    assert np.isfinite(run.train_step()["loss"])


@pytest.mark.slow
def test_failure_after_every_restored_step_ends_the_training(data, tmp_path):
    """Undone and good steps in turn would go on to the end of the schedule without getting anywhere."""
    run = trainer(data, tmp_path, "base", steps=50, metropolis={"enabled": True})
    train_step = run.train_step

    def thrown_off():
        row = train_step()
        if not row["undone"]:
            with torch.no_grad():
                run.functional.exchange.output.bias.fill_(float("nan"))
        return row

    run.train_step = thrown_off
    with pytest.raises(UserError, match=r"steps in a row"):
        run.run()
    assert run.step < 25


def test_broken_checkpoint_is_named(data, tmp_path):
    (tmp_path / "base.pt").write_bytes(b"not a checkpoint")
    with pytest.raises(UserError, match=r"base\.pt"):
        trainer(data, tmp_path, "base").run()


@pytest.mark.slow
def test_mixed_precision_gradient_is_that_of_double(water):
    gradients = {}
    for dtype in (torch.float32, torch.float64):
        molecule = TrainingMolecule(*water, grid_level=0, hessian_grid_level=0, dtype=dtype)
        functional = create("xcdiff", n_hidden=6, n_layers=2, seed=3).to(dtype)
        for term in ("density", "gradient", "hessian"):
            options = settings(density={"weight": 1e3, "scf_conv_tol_grad": 1e-5, "cg_tol": 1e-6})
            term_value(term, molecule, functional, options, backward=True)
        gradients[dtype] = torch.cat([p.grad.double().ravel() for p in functional.parameters()])
    difference = gradients[torch.float32] - gradients[torch.float64]
    assert difference.norm() < 1e-3 * gradients[torch.float64].norm()


def test_cache_forgets_and_rebuilds(data):
    train, _ = data()
    cache = MoleculeCache(train, cache_gb=1e-9)
    functional = create("r2scan")
    first = cache.get("water").reference_state(functional, "main", order=1).gradient()
    cache.get("ammonia")
    assert not train["water"].is_loaded
    again = cache.get("water").reference_state(functional, "main", order=1).gradient()
    assert np.array_equal(again, first)


def test_model_scf_is_pyscfs(molecule, functional):
    """Newton on the manifold ends where PySCF's SCF does (up to the points left out in training)."""
    solution = model_scf.solve(molecule, functional, None, 1e-7)
    mf = molecule.record.mean_field(functional)
    mf.conv_tol = 1e-10
    assert abs(solution.state.energy - mf.kernel()) < 2e-6


def test_the_reference_itself_has_no_loss(water):
    """B3LYP as a dixc functional, exact exchange and all, against the B3LYP reference: all three terms vanish."""
    molecule = TrainingMolecule(*water, grid_level=0, hessian_grid_level=0, xctype="GGA")
    for case in ("gradient", "hessian", "excitation"):
        own, other = (
            term_value(case, molecule, create(name), CASES[case], backward=False) for name in ("b3lyp", "pbe")
        )
        assert own < 1e-6 * other


def test_excitations_at_the_reference_are_the_models_to_first_order(water):
    """r2SCAN's own excitations at the reference orbitals, from its full Casida problem there."""
    molecule = TrainingMolecule(*water, grid_level=0, hessian_grid_level=0)
    functional, options = create("r2scan"), CASES["excitation"]
    (excitation,) = terms.evaluate(("excitation",), molecule, functional, options)
    state = molecule.reference_state(functional, "hessian", order=2)
    plus, minus = state.dense() / 4, state.dense(imaginary=True) / 4
    squares = scipy.linalg.eigvals(minus @ plus).real
    states = molecule.states
    change = 27.2114 * (np.sqrt(np.sort(squares)[: len(states.energies)]) - states.energies)
    assert np.abs(change).mean() > 0.1
    assert abs(np.abs(change).mean() - excitation.raw) < 0.1 * np.abs(change).mean()


def test_every_term_of_a_loss_is_one_that_there_is():
    names = {*terms.SOLUTION, *terms.SLOPE, *terms.CURVATURE}
    assert names == {name for of_loss in TERMS_OF_LOSS.values() for name in of_loss}
    assert names <= set(Training.model_fields), "each term has its section of the config"

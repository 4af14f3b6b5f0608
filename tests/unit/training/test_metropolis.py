"""The accept-or-undo rule of training, on quadratics and in a training."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from dixc.training.metropolis import LEAST_SCATTER, LossLevel, Metropolis

MOLECULES = 5


class Toy:
    """Noisy quadratics of very different size, one a step, as molecules are in a training."""

    def __init__(self, rule: bool, temperature: float = 1.0, seed: int = 0):
        torch.manual_seed(0)
        self.functional = torch.nn.Linear(4, 1, bias=False, dtype=torch.float64)
        self.average = AveragedModel(self.functional, multi_avg_fn=get_ema_multi_avg_fn(0.95))
        self.optimizer = torch.optim.Adam(self.functional.parameters(), lr=0.02)
        watched = (self.functional, self.average, self.optimizer)
        self.rule = Metropolis(*watched, seed, temperature) if rule else None
        self.undone: list[int] = []
        self.step = 0

    @property
    def weights(self) -> torch.Tensor:
        return self.functional.weight.detach()[0]

    def loss(self) -> torch.Tensor:
        rng = np.random.default_rng([7, self.step])
        distance = self.functional.weight[0] - 1 + torch.from_numpy(rng.normal(0, 0.02, 4))
        return 10.0 ** (self.step % MOLECULES - 2) * ((distance**2).sum() + 0.05)

    def advance(self, steps: int, bad: dict[int, float] | None = None) -> Toy:
        """Run on; after the steps in `bad` all weights are multiplied by a number."""
        for _ in range(steps):
            self.optimizer.zero_grad()
            loss = self.loss()
            loss.backward()
            if self.rule and not self.rule.accept(
                self.step, str(self.step % MOLECULES), float(loss.detach())
            ):
                self.undone.append(self.step)
            else:
                self.optimizer.step()
                if self.step in (bad or {}):
                    with torch.no_grad():
                        self.functional.weight *= bad[self.step]
                self.average.update_parameters(self.functional)
                if self.rule:
                    self.rule.stepped()
            self.step += 1
        return self

    def error(self) -> float:
        return float((self.average.module.weight.detach() - 1).abs().max())


@pytest.mark.parametrize("factor", [30.0, -1e6, float("nan"), float("inf")])
def test_it_recovers_from_bad_steps_where_plain_steps_do_not(factor):
    bad = dict.fromkeys((100, 150, 230, 280), factor)
    plain, guarded = Toy(rule=False).advance(300, bad), Toy(rule=True).advance(300, bad)
    assert not plain.error() < 1
    assert guarded.error() < 0.05
    assert {step + 1 for step in bad} <= set(guarded.undone)


def test_a_blow_up_in_the_first_round_is_undone_too():
    guarded = Toy(rule=True).advance(200, {2: 1e6})
    assert 3 in guarded.undone
    assert guarded.error() < 0.05


def test_ordinary_steps_are_left_alone():
    toy = Toy(rule=True).advance(400)
    assert len(toy.undone) < 0.03 * 400
    assert toy.error() < 0.05


@pytest.mark.slow
def test_temperature_decides_how_much_is_accepted():
    """The kick lifts the loss by some five scatters; hot rules let most of them pass, cold ones none."""
    bad = dict.fromkeys(range(60, 300, 20), 1.4)
    passed = {}
    for temperature in (0.1, 100.0):
        undone = set(Toy(rule=True, temperature=temperature).advance(300, bad).undone)
        passed[temperature] = sum(step + 1 not in undone for step in bad)
    assert passed[0.1] <= 2
    assert passed[100.0] >= 10


def test_accepted_weights_are_not_judged_again():
    """A molecule that fails whatever the weights are is undone once, and after that only costs its own step."""
    toy = Toy(rule=True).advance(20)
    assert not toy.rule.accept(20, "0", float("nan"))
    before = toy.weights.clone()
    assert toy.rule.accept(21, "0", float("nan"))
    assert torch.equal(toy.weights, before)


def test_moments_return_and_learning_rate_stays():
    toy = Toy(rule=True).advance(30)
    toy.rule.accept(30, "0", float(toy.loss().detach()))
    before = copy.deepcopy(toy.optimizer.state_dict()["state"])
    toy.loss().backward()
    toy.optimizer.step()
    toy.rule.stepped()
    toy.optimizer.param_groups[0]["lr"] = 0.01
    assert not toy.rule.accept(31, "1", float("inf"))
    after = toy.optimizer.state_dict()
    assert after["param_groups"][0]["lr"] == 0.01
    for name, value in before[0].items():
        assert torch.equal(after["state"][0][name], value), name


def test_a_checkpoint_repeats_the_decisions(tmp_path):
    bad = dict.fromkeys(range(20, 200, 7), 1.4)
    whole = Toy(rule=True).advance(200, bad)
    first = Toy(rule=True).advance(97, bad)
    parts = ("functional", "average", "optimizer", "rule")
    torch.save({part: getattr(first, part).state_dict() for part in parts}, tmp_path / "state.pt")
    state, second = torch.load(tmp_path / "state.pt", weights_only=True), Toy(rule=True)
    for part in parts:
        getattr(second, part).load_state_dict(state[part])
    second.step = 97
    second.advance(103, bad)
    assert torch.equal(second.weights, whole.weights)
    assert first.undone + second.undone == whole.undone
    assert whole.undone


@pytest.mark.slow
def test_decisions_depend_on_the_seed():
    bad = dict.fromkeys(range(60, 300, 20), 1.4)
    undone = [Toy(rule=True, seed=seed, temperature=3.0).advance(300, bad).undone for seed in (0, 0, 1)]
    assert undone[0] == undone[1] != undone[2]


def test_the_unit_of_the_loss_does_not_matter():
    small, large = LossLevel(), LossLevel()
    for visit in range(40):
        loss = 2.0 + np.sin(visit)
        found = [level.deviation("a", unit * loss) for level, unit in ((small, 1.0), (large, 1e6))]
        assert found[0] == pytest.approx(found[1], abs=1e-12)
        for level, unit, deviation in ((small, 1.0, found[0]), (large, 1e6, found[1])):
            level.update("a", unit * loss, deviation, accepted=True)
    assert small.scatter == pytest.approx(large.scatter)


def test_scatter_has_a_floor_and_widens_slowly():
    level = LossLevel()
    for _ in range(400):
        level.update("a", 1.0, level.deviation("a", 1.0), accepted=True)
    assert level.scatter == LEAST_SCATTER
    level.update("a", 1e9, level.deviation("a", 1e9), accepted=False)
    assert level.scatter == pytest.approx(LEAST_SCATTER * np.sqrt(1.4))
    assert level.deviation("a", 1.0) == pytest.approx(0.0, abs=1e-6), "a refused loss is not what is usual"

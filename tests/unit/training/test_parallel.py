"""Training data read from many files molecule by molecule, and processes that share a step."""

from __future__ import annotations

import gc
import json
import weakref
from collections import Counter

import numpy as np
import pytest
import torch
from small_molecules import molecule
from small_references import REFERENCE

import dixc
from dixc.config import FunctionalId, validate
from dixc.errors import UserError
from dixc.functionals import files
from dixc.molecules import Molecule, write_xyz
from dixc.stages import derivatives, reference, train
from dixc.stages.training_files import TrainingInputs, TrainingOutputs
from dixc.training import parallel
from dixc.training.cache import MoleculeCache
from dixc.training.chunks import ChunkedMolecules
from dixc.training.loop import Trainer

pytestmark = pytest.mark.slow

NAMES = ("water", "ammonia", "methane")  # for training, a file each


def config(**training):
    settings = {"steps": 3, "validate_every": 2, "grid_level": 0, "precision": "double", "batch": 2}
    return validate(
        {
            "molecules": {
                "files": ["none.xyz"],
                "train": {"count": 3, "max_heavy": 1},
                "validation": {"count": 1, "max_heavy": 1},
                "test": {"names": ["x"]},
            },
            "reference": REFERENCE | {"basis": "sto-3g"},
            "training": settings | training,
        }
    )


@pytest.fixture(scope="module")
def chunks(tmp_path_factory):
    """Reference and derivative files of one molecule each; the last one is for validation."""
    folder = tmp_path_factory.mktemp("chunks")
    first, second = [], []
    for name in (*NAMES, "hydrogen sulfide"):
        mol = molecule(name)
        symbols = [mol.atom_pure_symbol(i) for i in range(mol.natm)]
        xyz = folder / f"{name}.xyz"
        write_xyz(
            xyz, [Molecule(name.replace(" ", "_"), symbols, mol.atom_coords(unit="Angstrom"), 0, "train")]
        )
        first.append(folder / f"{name}.h5")
        second.append(folder / f"{name}-second.h5")
        reference.run(xyz, config().reference, first[-1])
        derivatives.run(first[-1], config().derivatives, second[-1])
    files.save(dixc.create("xcdiff", n_hidden=6, n_layers=2), folder / "start.pt", {})
    return folder, first, second


def trained(chunks, out, **training) -> dict[str, torch.Tensor]:
    """Weights from the stage `train`, and its log."""
    folder, first, second = chunks
    inputs = TrainingInputs(folder / "start.pt", first[:3], second[:3], first[3:])
    outputs = TrainingOutputs(out / "m.pt", out / "m.csv", out)
    train.run(FunctionalId("xcdiff", "hess", 0), config(**training).training, inputs, outputs)
    assert not list(out.glob("xcdiff-*.pt")), "no checkpoint is left"
    return dixc.load(out / "m.pt").state_dict()


def test_two_processes_give_the_weights_of_one_bitwise(chunks, tmp_path):
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        results = {}
        for processes in (1, 2):
            (tmp_path / str(processes)).mkdir()
            results[processes] = trained(chunks, tmp_path / str(processes), processes=processes)
    finally:
        torch.set_num_threads(threads)
    start = dixc.load(chunks[0] / "start.pt").state_dict()
    for name, weights in results[1].items():
        assert torch.equal(weights, results[2][name]), name
    assert any(not torch.equal(weights, start[name]) for name, weights in results[1].items())
    logs = [(tmp_path / str(n) / "m.csv").read_text().splitlines() for n in (1, 2)]
    place = logs[0][0].split(",").index("molecule")
    shown = [[line.split(",")[place] for line in log[1:]] for log in logs]
    assert shown[0] == shown[1]
    assert all(len(set(names.split())) == 2 for names in shown[0][:1])


def trainer(chunks, tmp_path, **training) -> Trainer:
    folder, first, second = chunks
    data = ChunkedMolecules(first[:3], second[:3], 0, 0), ChunkedMolecules(first[3:], [], 0, 0)
    functional = files.load(folder / "start.pt")
    return Trainer(functional, "hess", 0, config(**training).training, *data, tmp_path / "checkpoint.pt")


def test_a_step_takes_away_the_residuals_of_all_its_molecules(chunks, tmp_path):
    run = trainer(chunks, tmp_path)
    names = [name for _, name in run._names_of_step()]
    run.train_step()
    assert list(run.optimizer.molecules.by_molecule) == names
    assert all(torch.isfinite(rows).all() for rows, _ in run.optimizer.molecules.by_molecule.values())


def test_gradient_of_a_batch_is_the_mean(chunks, tmp_path):
    both = trainer(chunks, tmp_path, optimizer="adam", gradient_clip=1e9)
    visits = both._names_of_step()
    single = []
    for number, name in visits:
        alone = trainer(chunks, tmp_path, optimizer="adam", batch=1)
        alone._visit((number, name))
        single.append(torch.cat([p.grad.flatten() for p in alone.functional.parameters()]))
    both.train_step()
    mean = torch.cat([p.grad.flatten() for p in both.functional.parameters()])
    torch.testing.assert_close(mean, (single[0] + single[1]) / 2, rtol=1e-13, atol=0)


def test_a_molecule_that_fails_is_left_out_of_the_mean(chunks, tmp_path, monkeypatch):
    run = trainer(chunks, tmp_path, optimizer="adam", gradient_clip=1e9)
    first, second = (name for _, name in run._names_of_step())
    kept = trainer(chunks, tmp_path, optimizer="adam", batch=1)
    kept._visit((1, second))
    whole = run._visit

    def without_first(visit):
        visited = whole(visit)
        return visited._replace(gradient=visited.gradient * np.nan) if visited.name == first else visited

    monkeypatch.setattr(run, "_visit", without_first)
    row = run.train_step()
    assert row["skipped"] == 0
    assert np.isfinite(row["loss"])
    assert first not in run.orbitals
    for a, b in zip(run.functional.parameters(), kept.functional.parameters(), strict=True):
        torch.testing.assert_close(a.grad, b.grad, rtol=1e-13, atol=0)


def test_epochs_are_permutations_of_all_files(chunks, tmp_path):
    run = trainer(chunks, tmp_path, steps=30)
    names = []
    for run.step in range(30):
        names += [name for _, name in run._names_of_step()]
    epochs = [names[i : i + 3] for i in range(0, 60, 3)]
    assert all(sorted(epoch) == sorted(NAMES) for epoch in epochs)
    assert len(set(map(tuple, epochs))) > 1, "shuffled"


def test_only_molecules_in_the_cache_are_in_memory(chunks):
    _, first, second = chunks
    data = ChunkedMolecules(first[:3], second[:3], 0, 0)
    assert list(data) == list(NAMES)
    assert data.elements == ["H", "C", "N", "O"]
    cache = MoleculeCache(data, cache_gb=0)
    water = cache.get("water")
    assert cache.get("water") is water, "the one in use stays"
    gone, energy = weakref.ref(water), water.record.e_tot
    del water
    cache.get("methane")
    gc.collect()
    assert gone() is None
    assert cache.get("water").record.e_tot == energy


def test_files_are_verified_once_and_again_if_they_change(chunks, tmp_path, monkeypatch):
    from dixc.store import files as store

    path = tmp_path / "water.h5"
    path.write_bytes(chunks[1][0].read_bytes())
    verified = Counter()
    verify = store._verify
    monkeypatch.setattr(store, "_verify", lambda p: verified.update([p.name]) or verify(p))
    data = ChunkedMolecules([path], [], 0, 0)
    for _ in range(3):
        assert data["water"].record.n_electrons == 10
    assert verified == {"water.h5": 1}
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"water\.h5: damaged"):
        data["water"]


def raise_in_one() -> None:
    """For `launch`: the second process finds something wrong while the first waits for it."""
    team = parallel.Team()
    assert team.size == 2
    if team.rank == 1:
        raise UserError("what is wrong")
    team.map(str, [1, 2])


def test_an_error_in_one_process_is_that_of_the_training():
    with pytest.raises(UserError, match=r"^what is wrong$"):
        parallel.launch(raise_in_one, 2)


@pytest.mark.parametrize(
    ("training", "message"),
    [
        ({"batch": 3, "processes": 2}, "batch is 3, which 2 processes cannot share evenly"),
        ({"batch": 2, "metropolis": {"enabled": True}}, "metropolis judges steps on one molecule each"),
    ],
)
def test_settings_that_do_not_go_together(training, message):
    with pytest.raises(UserError, match=message):
        config(**training)


def test_processes_do_not_change_what_is_trained():
    settings = [config(batch=4, processes=n).training.settings("hess") for n in (1, 2, 4)]
    assert settings[0] == settings[1] == settings[2]
    assert settings[0] != config(batch=2).training.settings("hess")
    assert "batch" not in json.dumps(config(batch=1).training.settings("hess")), (
        "as before there was this key"
    )


def test_the_prefit_takes_a_sample_of_many_molecules(chunks, monkeypatch):
    from dixc.training import prefit

    chosen, symbols = prefit.sample(chunks[1])
    assert [record.name for record in chosen] == [*NAMES, "hydrogen_sulfide"]
    monkeypatch.setattr(prefit, "MOST_MOLECULES", 2)
    chosen, same = prefit.sample(chunks[1])
    assert [record.name for record in chosen] == ["water", "methane"]
    assert symbols == same == ["H", "C", "N", "O", "S"], "of all, not of the sample"

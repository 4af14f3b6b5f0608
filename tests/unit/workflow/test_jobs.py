"""Order, requests and files of jobs, which follow from the config alone."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from dixc.config import validate
from dixc.errors import UserError
from dixc.workflow import jobs, priorities, words
from dixc.workflow.files import RunFiles, checkpoints_of
from dixc.workflow.resources import estimate

SIZED = {"count": 5, "max_heavy": 7}
CONFIG = {
    "run": "r",
    "molecules": {
        "files": ["a.xyz"], "train": SIZED, "validation": SIZED, "test": SIZED | {"max_heavy": 40, "min_heavy": 1},
        "chunk_size": 3,
    },
    "models": [{"name": "xcdiff"}, {"name": "nnmgga"}],
    "training": {"losses": ["base", "hess"], "seeds": [5, 3]},
    "evaluation": {"baselines": ["pbe"], "warmstart": {"splits": ["test"]}, "tddft": {"splits": []}},
}  # fmt: skip


@pytest.fixture
def config():
    return validate(CONFIG)


@pytest.fixture
def limited():
    return validate(CONFIG | {"derivatives": {"states_max_heavy": 16}})


def test_whole_results_of_the_first_seed_come_before_those_of_the_second(config):
    first = [
        priorities.of_reference(config, "train-000"),
        priorities.of_prefit(config, 5),
        priorities.of_training(config, "hess", 5),
        priorities.of_training(config, "base", 5),
        priorities.of_evaluation(config, "nnmgga-hess-5"),
    ]
    assert first == [150, 140, 130, 110, 100] == sorted(first, reverse=True)
    assert priorities.of_evaluation(config, "pbe") == priorities.of_reference(config, "test-001") == 100
    assert priorities.first(config) == 100
    second = priorities.of_prefit(config, 3), priorities.of_training(config, "hess", 3)
    assert second == (40, 30)
    assert priorities.of_evaluation(config, "xcdiff-base-3") == 0


def test_a_functional_of_another_run_has_no_priority(config):
    with pytest.raises(UserError, match="run r has no functional 'xcdiff-base-4'"):
        priorities.of_evaluation(config, "xcdiff-base-4")


def test_before_the_molecules_are_chosen_a_chunk_may_be_of_the_largest(config, tmp_path):
    table = tmp_path / "molecules.csv"
    assert jobs.heavy_atoms(config, "train-000", str(table)) == [7] * 3
    named = CONFIG["molecules"] | {"test": {"names": ["x"]}}
    assert jobs.heavy_atoms(validate(CONFIG | {"molecules": named}), "test-000", str(table)) == [9] * 3
    table.write_text("name,n_heavy,chunk\na,3,train-000\nb,7,train-000\n")
    assert jobs.heavy_atoms(config, "train-000", str(table)) == [3, 7]


def test_large_test_molecules_have_no_excitations(config, limited):
    heavy = [10, 16, 40]
    for stage in ("derivatives", "tddft"):
        assert jobs.worked_on(limited, stage, "test-001", heavy) == [10, 16]
        assert jobs.worked_on(limited, stage, "train-001", heavy) == heavy
        assert jobs.worked_on(config, stage, "test-001", heavy) == heavy
    assert jobs.worked_on(limited, "evaluate", "test-001", heavy) == heavy


def test_a_job_asks_for_the_molecules_that_it_works_on(limited, tmp_path):
    table = tmp_path / "molecules.csv"
    # nobody has looked: molecules at the limit
    assert jobs.request(limited, "derivatives", "test-000", str(table)) == estimate("derivatives", [16] * 3)
    assert jobs.request(limited, "evaluate", "test-000", str(table)) == estimate("evaluate", [40] * 3)
    table.write_text("name,n_heavy,chunk\na,12,test-000\nb,30,test-000\nc,30,test-001\n")
    assert jobs.request(limited, "tddft", "test-000", str(table)) == estimate("tddft", [12])
    assert jobs.request(limited, "tddft", "test-001", str(table)) == estimate("tddft", [16])


def test_files_of_a_run(config):
    files = RunFiles.of_run(config)
    assert files.molecules == [
        "results/r/molecules/molecules.csv",
        *(
            f"results/r/molecules/{split}-00{i}.xyz"
            for split in ("train", "validation", "test")
            for i in (0, 1)
        ),
    ]
    assert files.references[0] == "results/r/reference/train-000.h5"
    assert files.derivatives == [f"results/r/derivatives/train-00{i}.h5" for i in (0, 1)]
    assert files.models[0] == "results/r/models/xcdiff-base-5.pt"
    assert files.logs[-1] == "results/r/training/nnmgga-hess-3.csv"
    assert len(files.scf) == 9 * 6
    assert files.warmstart[:3] == [
        "results/r/warmstart/reference/test-000.csv",
        "results/r/warmstart/reference/test-001.csv",
        "results/r/warmstart/pbe/test-000.csv",
    ]
    assert files.tddft == []
    assert files.model_of("pbe") is None
    assert files.model_of("nnmgga-hess-3") == "results/r/models/nnmgga-hess-3.pt"
    assert RunFiles(config, "elsewhere").scf[0] == "elsewhere/scf/pbe/train-000.h5"
    assert checkpoints_of("results/r/models/m-hess-0.pt") == "results/r/checkpoints/m-hess-0"


def test_no_derivatives_are_needed_without_training_and_comparison():
    none = CONFIG["evaluation"] | {"warmstart": {"splits": []}}
    assert RunFiles.of_run(validate(CONFIG | {"models": [], "evaluation": none})).derivatives == []
    compared = CONFIG["evaluation"] | {"tddft": {"splits": ["test"]}}
    files = RunFiles.of_run(validate(CONFIG | {"evaluation": compared})).derivatives
    assert sorted(files) == [
        f"results/r/derivatives/{split}-00{i}.h5" for split in ("test", "train") for i in (0, 1)
    ]


@pytest.mark.parametrize(
    ("files", "short"),
    [
        ([], []),
        (["a.h5"], ["a.h5"]),
        (["x/train-000.h5", "x/train-001.h5", "x/train-002.h5"], ["x/train-{000..002}.h5"]),
        (["t-998.h5", "t-999.h5", "t-1000.h5", "t-1001.h5"], ["t-{998..999}.h5", "t-{1000..1001}.h5"]),
        (["t-000.h5", "t-002.h5"], ["t-000.h5", "t-002.h5"]),
        (["t-000.h5", "v-001.h5", "v-002.csv"], ["t-000.h5", "v-001.h5", "v-002.csv"]),
    ],
)
def test_files_in_their_shortest_form_are_the_same_to_bash(files, short):
    assert words.ranges(files) == short
    shown = subprocess.run(
        ["bash", "-c", f"echo {' '.join(short)}"], capture_output=True, text=True, check=True
    )
    assert shown.stdout.split() == files


def test_an_option_is_repeated_by_bash_with_its_files():
    assert words.options("--scf", "a-0.h5") == ["--scf=a-0.h5"]
    (word,) = words.options("--scf", ["a-0.h5", "a-1.h5"])
    shown = subprocess.run(["bash", "-c", f"echo {word}"], capture_output=True, text=True, check=True)
    assert shown.stdout.split() == ["--scf=a-0.h5", "--scf=a-1.h5"]


def test_a_pattern_is_for_its_values_and_nothing_else():
    pattern = words.one_of(["xcdiff", "a.b"])
    assert re.fullmatch(pattern, "a.b")
    assert not re.fullmatch(pattern, "axb")
    assert not re.fullmatch(words.one_of([]), "")


def test_what_every_job_imports_is_light():
    code = (
        "import sys\n"
        "from dixc.workflow import jobs, priorities, settings, words, files, functionals, run\n"
        "print(*({'torch', 'pyscf', 'matplotlib', 'pandas', 'h5py', 'scipy', 'typer'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""

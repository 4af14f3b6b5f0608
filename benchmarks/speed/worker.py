"""One measurement in a process of its own, for its peak memory: `python -m benchmarks.speed.worker '<json>'`.

The JSON names a task of `TASKS` and its arguments; the answer, JSON on the last line of stdout, has the seconds of the
task proper and the peak resident memory of the process before and after it.
"""

from __future__ import annotations

import contextlib
import json
import resource
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.speed.timing import Options

ROOT = Path(__file__).parents[2]


def run(task: str, options: Options, **arguments: Any) -> dict[str, Any]:
    """Runs a task in a new process (in a hurry all but training in this one).

    Raises:
        RuntimeError: it failed; with its last lines.
    """
    if options.quick and task != "training":
        return TASKS[task](**arguments)
    text = json.dumps({"task": task, "threads": options.threads, "arguments": arguments})
    command = [sys.executable, "-m", "benchmarks.speed.worker", text]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{task} {arguments}: {done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def peak_mb() -> float:
    """Peak resident memory of this process so far."""
    try:  # ru_maxrss of a new process starts at its parent's
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) / 1e3 for line in lines if line.startswith("VmHWM"))
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1e6 if sys.platform == "darwin" else 1e3)


def timed(call) -> dict[str, Any]:
    """Seconds and memory of a call, and its result."""
    before, start = peak_mb(), time.perf_counter()
    result = call()
    seconds = time.perf_counter() - start
    return {"seconds": seconds, "peak_mb": peak_mb(), "before_mb": before, "result": result}


def mean_field(label: str, functional: str, orbitals: str):
    """The converged mean field whose orbitals a file holds, integrals in memory and grid built."""
    from benchmarks.speed.molecules import case
    from benchmarks.speed.tddft import new_mean_field

    mf = new_mean_field(case(label), functional)
    held = np.load(orbitals)
    mf.mo_coeff, mf.mo_occ, mf.mo_energy = held["mo_coeff"], held["mo_occ"], held["mo_energy"]
    mf.e_tot, mf.converged = float(held["e_tot"]), True
    mf.grids.build()
    mf._eri = mf.mol.intor("int2e", aosym="s8")
    return mf


def warm(functional: str):
    """A converged mean field of H2: what is loaded or compiled on first use is so after a task on it."""
    from pyscf import gto

    from benchmarks.speed import tddft

    mf = tddft.mean_field(gto.M(atom="H 0 0 0; H 0 0 .74", basis="def2-svp", verbose=0), functional)
    mf.kernel()
    return mf


def tddft(program: str, states: int, conv_tol: float, **system: str) -> dict[str, Any]:
    """Lowest singlets of the full Casida problem."""
    import torch

    from dixc.excitations import CasidaMatrix, ResponseSolver, Window, dense_matrices

    def pyscf(mf, n: int) -> list[float]:
        solver = mf.TDDFT()
        solver.nstates, solver.conv_tol, solver.max_cycle, solver.verbose = n, conv_tol, 200, 0
        return list(solver.kernel()[0])

    def dense(mf, n: int) -> list[float]:
        window = Window.of(mf)
        found = CasidaMatrix(*dense_matrices(mf, window)).solve(window.differences.shape, n, "tddft")
        return list(found.energies)

    def iterative(mf, n: int, dtype: torch.dtype = torch.float32) -> list[float]:
        return list(ResponseSolver(mf, dtype=dtype).solve(n, "tddft", conv_tol).energies)

    programs = {"pyscf": pyscf, "dense": dense, "iterative": iterative}
    programs["iterative-double"] = partial(iterative, dtype=torch.float64)
    solve, mf = programs[program], mean_field(**system)
    solve(warm(system["functional"]), 1)
    return timed(lambda: solve(mf, states))


def matrices(program: str, out: str, **system: str) -> dict[str, Any]:
    """Dense A + B and A - B, left in a file for comparison; pairs as dixc orders them."""
    from dixc.excitations import Window, dense_matrices

    def pyscf(mf) -> tuple[np.ndarray, np.ndarray]:
        a, b = mf.TDDFT().get_ab()
        return a + b, a - b

    def ours(mf) -> tuple[np.ndarray, np.ndarray]:
        return dense_matrices(mf, Window.of(mf))

    build, mf = pyscf if program == "pyscf" else ours, mean_field(**system)
    build(warm(system["functional"]))
    found = timed(lambda: build(mf))
    plus, minus = found.pop("result")
    if program == "pyscf":
        size = plus.shape[0] * plus.shape[1]
        plus, minus = (m.transpose(1, 0, 3, 2).reshape(size, size) for m in (plus, minus))
    np.savez(out, plus=plus, minus=minus)
    return found


def training(reference: str, derivatives: str, loss: str, steps: int) -> dict[str, Any]:
    """Peak memory of training steps on one molecule."""
    from benchmarks.speed.training import new_trainer

    trainer = new_trainer(Path(reference), Path(derivatives), loss)
    return timed(lambda: [trainer.train_step()["scf_builds"] for _ in range(steps)])


TASKS = {"tddft": tddft, "matrices": matrices, "training": training}


def main() -> None:
    """Runs the task that the command line describes."""
    from benchmarks.speed.machine import use_threads

    asked = json.loads(sys.argv[1])
    use_threads(asked["threads"])
    with contextlib.redirect_stdout(sys.stderr):
        answer = TASKS[asked["task"]](**asked["arguments"])
    print(json.dumps(answer, default=float))


if __name__ == "__main__":
    main()

"""Where the time of dixc's own work goes: by function of the package, library calls within counted as its own."""

from __future__ import annotations

import sys
import time
from collections import defaultdict
from collections.abc import Callable
from functools import partial
from pathlib import Path

import dixc
from benchmarks.speed.molecules import case
from benchmarks.speed.reference import chunks
from benchmarks.speed.timing import Options

PACKAGE = str(Path(dixc.__file__).parent)
NESTED = ("<genexpr>", "<listcomp>", "<dictcomp>", "<setcomp>", "<lambda>")  # belong to who called them
SHARE_SHOWN = 0.02  # of the whole; functions below it are one row


class Profile:
    """Exclusive time of the functions of dixc while it is active.

    Time within a library belongs to the function of dixc that called it.
    """

    def __init__(self):
        self.seconds: dict[str, float] = defaultdict(float)
        self.calls: dict[str, int] = defaultdict(int)
        self._stack: list[str] = []
        self._last = 0.0

    def __enter__(self) -> Profile:
        self._last = time.perf_counter()
        sys.setprofile(self._event)
        return self

    def __exit__(self, *_) -> None:
        sys.setprofile(None)

    def _event(self, frame, event: str, _) -> None:
        if event not in ("call", "return") or not frame.f_code.co_filename.startswith(PACKAGE):
            return
        now = time.perf_counter()
        if self._stack:
            self.seconds[self._stack[-1]] += now - self._last
        if event == "call":
            if frame.f_code.co_name in NESTED and self._stack:
                self._stack.append(self._stack[-1])
                self._last = now
                return
            module = Path(frame.f_code.co_filename).relative_to(PACKAGE).with_suffix("")
            name = ".".join(module.parts) + ": " + getattr(frame.f_code, "co_qualname", frame.f_code.co_name)
            self._stack.append(name)
            self.calls[name] += 1
        elif self._stack:
            self._stack.pop()
        self._last = time.perf_counter()


def profile(call: Callable[[], object], repeats: int) -> list[dict]:
    """Rows (function, calls, ms a call of the whole, share) of the functions that matter, largest first."""
    call()
    with Profile() as found:
        for _ in range(repeats):
            call()
    whole = sum(found.seconds.values())
    order = sorted(found.seconds, key=found.seconds.get, reverse=True)
    shown = [name for name in order if found.seconds[name] > SHARE_SHOWN * whole]
    rest = whole - sum(found.seconds[name] for name in shown)
    rows = [(name, found.calls[name] / repeats, found.seconds[name]) for name in shown]
    rows.append(("everything else", None, rest))
    return [
        {"function": name, "calls": calls, "ms": 1e3 * seconds / repeats, "share": seconds / whole}
        for name, calls, seconds in rows
    ]


def measure(options: Options, folder: Path) -> list[dict]:
    """Profiles of a training step, an XC potential, a Hessian product and excitation energies."""
    from benchmarks.speed import xc
    from benchmarks.speed.training import Steps, new_trainer

    label = "H2O" if options.quick else "furan"
    trainer = new_trainer(*chunks(label, folder), "hess")
    (molecule,) = trainer.molecules.molecules.values()
    system = xc.System(case(label))
    mf = xc.mean_field(system, "xcdiff")
    local = xc.local_xc(system, mf)
    calls = {
        "training step, hess": Steps(trainer, molecule),
        "XC potential": partial(mf._numint.nr_rks, system.mol, system.mf.grids, "", system.dm),
        "kernel": partial(mf._numint.expansion, system.mol, system.mf.grids, system.orbo),
        "8 products": partial(local.response, (system.left,)),
        "excitations, dense": partial(_dense, molecule),
        "excitations, iterative": partial(_iterative, molecule),
    }
    return [
        {"section": "profile", "task": task, "molecule": label} | row
        for task, call in calls.items()
        for row in profile(call, options.repeats)
    ]


def _reference_mean_field(molecule):
    record = molecule.record
    mf = record.with_orbitals(record.mean_field())
    mf._eri = record.mol.intor("int2e", aosym="s8")
    return mf


def _dense(molecule) -> None:
    from dixc.excitations import CasidaMatrix, Window, dense_matrices

    mf = _reference_mean_field(molecule)
    window = Window.of(mf)
    CasidaMatrix(*dense_matrices(mf, window)).solve(window.differences.shape, 5, "tddft")


def _iterative(molecule) -> None:
    from dixc.excitations import ResponseSolver

    ResponseSolver(_reference_mean_field(molecule)).solve(5, "tddft")

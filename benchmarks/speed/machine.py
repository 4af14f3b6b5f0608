"""What the machine can do at best: rates of matrix products and of memory, and what it is."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np
import torch
from pyscf import lib
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry

SIZE = 1500  # of the matrices whose product is timed
VECTOR_MB = 400
TRIES = 4
PACKAGES = ("dixc", "torch", "pyscf", "numpy", "scipy", "skala")


def use_threads(threads: int) -> None:
    """Sets the threads of both sides; PySCF and torch share a pool, in either order of loading."""
    torch.set_num_threads(threads)
    lib.num_threads(threads)


def _best(call: Callable[[], object]) -> float:
    call()
    best = np.inf
    for _ in range(TRIES):
        start = time.perf_counter()
        call()
        best = min(best, time.perf_counter() - start)
    return best


@cache
def limits() -> dict[str, float]:
    """Best rates seen: dgemm and sgemm (GFLOP/s), memory bandwidth of a copy (GB/s, read and write)."""
    found = {}
    for name, dtype in (("dgemm_gflops", torch.float64), ("sgemm_gflops", torch.float32)):
        a = torch.rand(SIZE, SIZE, dtype=dtype)
        out = torch.empty_like(a)
        found[name] = 2e-9 * SIZE**3 / _best(lambda a=a, out=out: torch.mm(a, a, out=out))
    source = torch.ones(VECTOR_MB * 125_000, dtype=torch.float64)
    target = torch.empty_like(source)
    found["copy_gb_s"] = 2 * source.nbytes * 1e-9 / _best(lambda: target.copy_(source))
    return found


class _Counter(TorchDispatchMode):
    """Adds up the work of matrix products, by precision, and the bytes that all operations read and write."""

    def __init__(self):
        super().__init__()
        self.flops = {torch.float64: 0.0, torch.float32: 0.0}
        self.bytes = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        count = flop_registry.get(function._overloadpacket)
        if count is not None and getattr(result, "dtype", None) in self.flops:
            self.flops[result.dtype] += count(*args, **(kwargs or {}), out_val=result)
        if not any(r.alias_info and not r.alias_info.is_write for r in function._schema.returns):  # no view
            for tensor in tree_leaves((args, kwargs, result)):
                if isinstance(tensor, torch.Tensor):
                    self.bytes += min(tensor.nbytes, tensor.untyped_storage().nbytes())
        return result


@dataclass(frozen=True)
class Work:
    """Matrix products of a call, 1e9 floating-point operations by precision, and its memory traffic in GB.

    Traffic is what all operations read and write, as if nothing stayed in a cache.
    """

    double: float
    single: float
    traffic: float

    @classmethod
    def of(cls, call: Callable[[], object]) -> Work:
        """Of what torch does in one call, from shapes; the work of numpy, scipy and PySCF is not seen."""
        with _Counter() as counter:
            call()
        return cls(
            counter.flops[torch.float64] * 1e-9, counter.flops[torch.float32] * 1e-9, counter.bytes * 1e-9
        )

    def columns(self, seconds: float) -> dict[str, float]:
        """For the table: the work, and the share of the time that it takes at the machine's best rates."""
        products = self.double / limits()["dgemm_gflops"] + self.single / limits()["sgemm_gflops"]
        found = {
            "gflop": self.double + self.single,
            "of_peak": products / seconds,
            "traffic_gb": self.traffic,
        }
        return found | {"of_copy": self.traffic / limits()["copy_gb_s"] / seconds}


def description(threads: int) -> dict[str, str]:
    """Processor, threads and versions."""
    found = {"processor": _processor(), "cores": str(os.cpu_count()), "threads": str(threads)}
    found |= {"system": platform.system(), "python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return found


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()

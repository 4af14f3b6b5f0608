"""What the page says: its head, and title and text of each section."""

HEAD = """# Performance

Written by `python -m benchmarks.speed`; `--help` lists its options, the tables it made are in `performance/`.
Both sides of a comparison run in turn (A, B, A, B, ...) in one call on one machine with the same number of
threads, calls of less than 4 s each after one that does not count; times are medians over rounds with the
extremes in brackets, a ratio is the median of the ratios within a round. Below 1 dixc is faster.
"""

TEXTS: dict[str, tuple[str, str]] = {
    "xc": (
        "XC potential and kernel products",
        """\
XC alone, grid level 1, def2-SVP, without Coulomb. *potential*: XC energy and matrix of one density. *kernel and
product*: the kernel at a new density and one product. *product of k*: products in k directions with a kernel
that is there. PySCF evaluates atomic orbitals (AO) on the grid in every call, dixc keeps them; both are timed
the other way too. dixc's products are those that its solvers use, on occupied orbitals; *whole matrices* are
what PySCF's own programs get from `gen_response`; *of libxc*: libxc's functional in dixc's integration. Ratios
are to PySCF's r2SCAN as PySCF does it by default (Skala's to PySCF's same functional). GFLOP are torch's matrix
products as counted from shapes, *of peak* the share of the time that they would take at the measured rate of
matrix products, *of copy* the share that reading and writing all operands would take at the measured rate of a
copy, were there no caches.""",
    ),
    "tddft": (
        "Excitation energies",
        """\
Five singlets of the full Casida problem, grid level 1, def2-SVP, on the same orbitals with integrals in memory;
both sides converge residuals to 1e-5, PySCF's default. A process a call; *MB added* is what the task itself
adds to the peak. Differences are to PySCF's energies (A + B and A - B: the largest element's). The target is
for what the workflow would choose at that size: dense up to `derivatives.max_dense_pairs` pairs. With xcdiff
PySCF's solver runs on dixc's products. *dixc alone*: where iteration gets faster than the dense problem.
PySCF's `get_ab` would need some 20 GB at 9 heavy atoms.""",
    ),
    "training": (
        "Training",
        """\
XCdiff with the default settings (mixed precision, grid level 1, Hessian term on level 0) against one XC build
of PySCF on grid level 1. E, gradient and Hessian terms are at the reference density, value and parameter
gradient; steps are whole steps of the trainer, the model's SCF and the optimizer included, from orbitals that
are a usual change of the weights away.""",
    ),
    "device": (
        "Training on a GPU",
        """\
Whole steps of the trainer, the same on both sides, mixed precision; architectures of `config/benchmark.yaml`,
untrained. Integrals, Coulomb matrices, rotations of orbitals and linear solvers stay on the CPU.""",
    ),
    "storage": (
        "Storage",
        """\
Files of a training molecule as the stages write them. For QM9 one molecule stands for its size, sizes between
are interpolated; all molecules count as training molecules.""",
    ),
    "profile": (
        "Where the time goes",
        """\
Time by function of dixc, calls of libraries counted as its own.""",
    ),
    "run": (
        "The default run by rule",
        """\
From the `benchmarks/` of a finished run, one job a core; wall-clock seconds are summed over jobs.""",
    ),
}

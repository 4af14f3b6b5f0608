"""Speed of dixc beside PySCF and Skala, measured in turn on this machine.

    python -m benchmarks.speed                                   # everything; an hour or more
    python -m benchmarks.speed --only xc,training --threads 1
    python -m benchmarks.speed --only run --run results/default  # a finished run, by rule
    python -m benchmarks.speed --quick --out /tmp/speed          # water only, to try the command

Writes performance/<section>.csv, performance/performance.svg and performance.md under --out (docs). Sections that are
not measured keep their table from an earlier call. Skala takes part if it is installed (`pip install skala`).
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path

SECTIONS = ("xc", "tddft", "training", "device", "storage", "profile", "run")
ROOT = Path(__file__).parents[2]


def sections(text: str) -> list[str]:
    """Names of sections, separated by commas.

    Raises:
        argparse.ArgumentTypeError: there is no such section.
    """
    names = text.split(",")
    for name in names:
        if name not in SECTIONS:
            raise argparse.ArgumentTypeError(f"no section {name!r}; there are {', '.join(SECTIONS)}")
    return names


def arguments(given: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.speed",
        description=__doc__,
        formatter_class=argparse.RawTextHelpFormatter,
    )
    parser.add_argument(
        "--only", type=sections, default=list(SECTIONS), help=f"sections to measure: {','.join(SECTIONS)}"
    )
    parser.add_argument("--repeats", type=int, default=5, help="rounds of each comparison")
    parser.add_argument(
        "--budget", type=float, default=300, help="seconds after which a comparison starts no new round"
    )
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="threads of both sides")
    parser.add_argument("--quick", action="store_true", help="water and one or two functionals only")
    parser.add_argument("--run", type=Path, default=ROOT / "results/default", help="folder of a finished run")
    parser.add_argument("--out", type=Path, default=ROOT / "docs", help="folder for performance.md")
    parser.add_argument(
        "--work", type=Path, help="folder that keeps references between calls of the same version"
    )
    return parser.parse_args(given)


def measure(section: str, options, work: Path, run: Path) -> list[dict]:
    """Rows of one section."""
    from benchmarks.speed import default_run, device, profile, storage, tddft, training, xc

    if section == "run":
        return default_run.measure(run) if run.is_dir() else []
    if section == "xc":
        return xc.measure(options)
    modules = {"tddft": tddft, "training": training, "device": device, "storage": storage, "profile": profile}
    return modules[section].measure(options, work)


def main(given: list[str] | None = None) -> None:
    """Measures, writes tables and page."""
    asked = arguments(given)
    # the linear algebra behind numpy reads this when it is loaded
    os.environ["OMP_NUM_THREADS"] = str(asked.threads)
    from benchmarks.speed import machine, page
    from benchmarks.speed.timing import Options

    machine.use_threads(asked.threads)
    options = Options(1 if asked.quick else asked.repeats, asked.budget, asked.quick, asked.threads)
    with tempfile.TemporaryDirectory() as temporary:
        work = asked.work or Path(temporary)
        work.mkdir(parents=True, exist_ok=True)
        for section in asked.only:
            print(f"{section} ...", file=sys.stderr, flush=True)
            rows = measure(section, options, work, asked.run)
            if not rows:
                where = f" in {asked.run}" if section == "run" else ""
                print(f"{section}: nothing found{where}", file=sys.stderr)
            else:
                page.keep(asked.out, section, rows, machine.description(asked.threads) | machine.limits())
    page.write(asked.out)


if __name__ == "__main__":
    main()

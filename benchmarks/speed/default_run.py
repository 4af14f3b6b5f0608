"""The default run by rule: CPU seconds, wall-clock and memory, from what Snakemake wrote about a finished run."""

from __future__ import annotations

from pathlib import Path

import pandas as pd


def measure(run: Path) -> list[dict]:
    """A row a rule, one for all of them, then one for each training."""
    rules: dict[str, list[pd.Series]] = {}
    for path in sorted((run / "benchmarks").rglob("*.tsv")):
        rule = path.relative_to(run / "benchmarks").parts[0].removesuffix(".tsv")
        rules.setdefault(rule, []).append(pd.read_csv(path, sep="\t").iloc[0])
    found = []
    for rule, jobs in rules.items():
        table = pd.DataFrame(jobs)
        row = {"section": "run", "quantity": "rule", "rule": rule, "jobs": len(table)}
        row |= {"cpu_s": table["cpu_time"].sum(), "wall_s": table["s"].sum()}
        found.append(row | {"peak_mb": table["max_rss"].max()})
    found.sort(key=lambda row: -row["cpu_s"])
    whole = {key: sum(row[key] for row in found) for key in ("jobs", "cpu_s", "wall_s")}
    whole |= {"peak_mb": max((row["peak_mb"] for row in found), default=0.0)}
    return [*found, {"section": "run", "quantity": "rule", "rule": "all"} | whole, *trainings(run)]


def trainings(run: Path) -> list[dict]:
    """A row a training: time and SCF builds of a step."""
    rows = []
    for path in sorted((run / "training").glob("*.csv")):
        log = pd.read_csv(path, comment="#")
        row = {"section": "run", "quantity": "training", "rule": path.stem, "steps": len(log)}
        row |= {"wall_s": log["wall_s"].iloc[-1], "ms_step": 1e3 * log["wall_s"].diff().median()}
        rows.append(row | {"scf_builds": log["scf_builds"].mean()})
    return rows

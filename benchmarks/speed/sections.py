"""The tables of each section in Markdown."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import pandas as pd

Lines = Callable[[pd.DataFrame], str]


def markdown(header: Iterable[str], rows: Iterable[Iterable[object]]) -> str:
    """A Markdown table."""
    header = list(header)
    lines = [f"| {' | '.join(header)} |", "|" + "---|" * len(header)]
    return "\n".join(lines + [f"| {' | '.join(map(str, row))} |" for row in rows]) + "\n"


def number(value: object, digits: int = 3) -> str:
    """A number with some digits; nothing for none."""
    if value is None or pd.isna(value):
        return ""
    return f"{float(value):.{digits}g}" if abs(float(value)) < 10**digits else f"{float(value):.0f}"


def time_of(row: pd.Series) -> str:
    """Median with the extremes, in ms or s."""
    unit, factor = ("ms", 1e3) if row["median_s"] < 1 else ("s", 1.0)
    low, median, high = (number(factor * row[key]) for key in ("min_s", "median_s", "max_s"))
    return f"{median} {unit} ({low} - {high})"


def verdict(row: pd.Series) -> str:
    """Target, and whether it is met."""
    if pd.isna(row.get("target")):
        return ""
    return f"<= {number(row['target'])}: {'met' if str(row['met']) == 'True' else '**not met**'}"


def comparison(table: pd.DataFrame, extra: dict[str, str] | None = None) -> str:
    """Tables of a section with two sides, one a quantity and molecule."""
    extra = extra or {}
    parts = []
    for (quantity, molecule), part in table.groupby(["quantity", "molecule"], sort=False):
        first = part.iloc[0]
        sizes = [f"{int(first[key])} {name}" for key, name in SIZES.items() if pd.notna(first.get(key))]
        shown = {key: name for key, name in extra.items() if key in part and part[key].notna().any()}
        header = ["program", "functional", "variant", "time", "ratio", "target", *shown.values()]
        rows = [
            [
                row["program"],
                row["functional"],
                row["variant"] if isinstance(row["variant"], str) else "",
                time_of(row),
                number(row.get("ratio")),
                verdict(row),
                *(number(row[key]) for key in shown),
            ]
            for _, row in part.iterrows()
        ]
        parts.append(f"**{quantity}, {molecule}** ({', '.join(sizes)})\n\n" + markdown(header, rows))
    return "\n".join(parts)


LIMITS = {"gflop": "GFLOP", "of_peak": "of peak", "of_copy": "of copy"}
SIZES = {"nao": "atomic orbitals", "nocc": "occupied", "pairs": "pairs", "points": "points"}


def xc_tables(table: pd.DataFrame) -> str:
    """XC potentials and products."""
    return comparison(table, LIMITS)


def tddft_tables(table: pd.DataFrame) -> str:
    """Excitations and matrices."""
    shown = {"peak_mb": "peak MB", "added_mb": "MB added", "difference_Eh": "largest difference, Eh"}
    return comparison(table, shown)


def training_tables(table: pd.DataFrame) -> str:
    """Terms, steps, memory."""
    shown = {"per_second": "molecules/s", "scf_builds": "SCF builds"} | LIMITS
    memory = table[table["quantity"] == "memory"]
    rows = [[row["molecule"], row["n_heavy"], number(row["peak_mb"], 4)] for _, row in memory.iterrows()]
    text = comparison(table[table["quantity"] != "memory"], shown)
    return text + "\n" + markdown(["molecule", "heavy atoms", "peak memory of a training process, MB"], rows)


def device_tables(table: pd.DataFrame) -> str:
    """Steps on both devices."""
    return comparison(table, {"scf_builds": "SCF builds"})


def storage_tables(table: pd.DataFrame) -> str:
    """A molecule, and QM9."""
    keys = ["reference_MB", "derivatives_MB", "dense_MB", "without_dense_MB"]
    rows = [
        [row["molecule"], row["n_heavy"], *(number(row[key]) for key in keys), limit_of(row)]
        for _, row in table[table["quantity"] == "molecule"].iterrows()
    ]
    header = [
        "molecule",
        "heavy atoms",
        "reference MB",
        "derivatives MB",
        "of these dense matrices",
        "all but dense",
    ]
    text = markdown([*header, "target"], rows)
    whole = table[table["quantity"] == "QM9"]
    keys = ["reference_GB", "derivatives_GB", "dense_GB"]
    rows = [
        [row["n_heavy"], int(row["count"]), *(number(row[key]) for key in keys)]
        for _, row in whole.iterrows()
    ]
    rows.append(["all", int(whole["count"].sum()), *(number(whole[key].sum()) for key in keys)])
    header = ["heavy atoms", "molecules of QM9", "reference GB", "derivatives GB", "of these dense matrices"]
    return text + "\n" + markdown(header, rows)


def limit_of(row: pd.Series) -> str:
    """Target of the storage."""
    return f"<= {number(row['target_MB'])} MB: {'met' if str(row['met']) == 'True' else '**not met**'}"


def profile_tables(table: pd.DataFrame) -> str:
    """Shares of functions."""
    parts = []
    for (task, molecule), part in table.groupby(["task", "molecule"], sort=False):
        rows = [
            [row["function"], number(row["calls"]), number(row["ms"]), f"{100 * row['share']:.0f} %"]
            for _, row in part.iterrows()
        ]
        head = f"**{task}, {molecule}** ({number(part['ms'].sum())} ms)\n\n"
        parts.append(head + markdown(["function", "calls", "ms", "share"], rows))
    return "\n".join(parts)


def run_tables(table: pd.DataFrame) -> str:
    """Rules and trainings of a run."""
    rules = table[table["quantity"] == "rule"]
    rows = [
        [row["rule"], int(row["jobs"]), *(number(row[key], 4) for key in ("cpu_s", "wall_s", "peak_mb"))]
        for _, row in rules.iterrows()
    ]
    text = markdown(["rule", "jobs", "CPU s", "wall-clock s", "peak MB of a job"], rows)
    trainings = table[table["quantity"] == "training"]
    rows = [
        [row["rule"], int(row["steps"]), *(number(row[key]) for key in ("wall_s", "ms_step", "scf_builds"))]
        for _, row in trainings.iterrows()
    ]
    return text + "\n" + markdown(["training", "steps", "s", "median ms a step", "mean SCF builds"], rows)


SECTIONS: dict[str, Lines] = {
    "xc": xc_tables,
    "tddft": tddft_tables,
    "training": training_tables,
    "device": device_tables,
    "storage": storage_tables,
    "profile": profile_tables,
    "run": run_tables,
}

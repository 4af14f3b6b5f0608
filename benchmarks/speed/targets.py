"""The first table of the page: what was aimed at, and the ratios that were reached."""

from __future__ import annotations

import pandas as pd

from benchmarks.speed.sections import markdown, number

KEYS = ["quantity", "functional", "variant", "target"]


def table(tables: dict[str, pd.DataFrame]) -> str:
    """Markdown: a row for each quantity with a target, ratios by molecule; nothing where no target was measured."""
    rows = []
    for section, found in tables.items():
        if "ratio" not in found or "target" not in found:
            continue
        chosen = found[found["target"].notna() & found["ratio"].notna()]
        chosen = chosen.assign(variant=chosen["variant"].fillna(""))
        for (quantity, functional, variant, target), part in chosen.groupby(KEYS, sort=False):
            ratios = ", ".join(f"{row['molecule']} {number(row['ratio'])}" for _, row in part.iterrows())
            missed = [row["molecule"] for _, row in part.iterrows() if row["ratio"] > target]
            verdict = f"**not for {', '.join(missed)}**" if missed else "yes"
            what = f"{functional}, {variant}" if variant else functional
            rows.append([section, quantity, what, f"<= {number(target)}", ratios, verdict])
    if not rows:
        return ""
    head = "## Targets\n\nTime of dixc over that of PySCF, by molecule.\n\n"
    return head + markdown(["section", "quantity", "of", "target", "reached", "met"], rows)

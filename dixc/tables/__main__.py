"""`python -m dixc.tables`: writes docs/tables.md (run it in the repository root)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from dixc.tables.metrics import METRICS, Metric
from dixc.tables.schema import LOSS_WORDS, TABLES, TAGS, Column, Table
from dixc.text import DASH, markdown_table

PAGE = Path("docs/tables.md")
HEAD = """# Tables of a run

Made by `python -m dixc.tables` from `dixc/tables/schema.py` and `dixc/tables/metrics.py`.

A run writes `results/<run>/tables/NAME.csv`: UTF-8, with a line of column names. A number that is
not known is an empty cell. A calculation that failed keeps its row, with `converged` False.

## Columns that all tables but `summary` begin with
"""
METRICS_HEAD = """\
Means are over the samples of a split that can be used: rows that converged, with a finite value.
*Size* is the absolute value. *Saved* is the percentage saved against the default guess (`minao`) of
the same molecule. A row `unseen_element_molecules` counts the molecules with an element that no
training molecule has. They have no fitted energy. The row is absent if there are none."""


def page_text() -> str:
    """The text of docs/tables.md."""
    common = [column for column in TABLES["scf"].fields if column.name in TAGS]
    pieces = [HEAD, _columns(common)]
    for name, table in TABLES.items():
        pieces += [f"## {name}", _about(table), *_own_columns(name, table)]
    pieces += ["## Metrics of `summary`", METRICS_HEAD, _metrics(METRICS), "## Losses", _losses()]
    return "\n\n".join(piece.strip() for piece in pieces) + "\n"


def _about(table: Table) -> str:
    return f"Each row is {table.rows}. Key: {', '.join(f'`{name}`' for name in table.identity)}."


def _own_columns(name: str, table: Table) -> list[str]:
    own = [column for column in table.fields if name == "summary" or column.name not in TAGS]
    pieces = [_columns([column for column in own if not column.part_only])]
    of_parts = [column for column in own if column.part_only]
    if of_parts:
        pieces += [f"Parts (`results/<run>/{name}/`) have these as well:", _columns(of_parts)]
    return pieces


def _columns(columns: Sequence[Column]) -> str:
    rows = []
    for column in columns:
        meaning = column.meaning
        if column.values:
            meaning += f" ({', '.join(f'`{value}`' for value in column.values)})"
        if column.later:
            meaning += "; empty in tables of earlier releases"
        rows.append([f"`{column.name}`", column.kind, column.unit or DASH, meaning])
    return markdown_table(["column", "type", "unit", "meaning"], rows)


def _metrics(metrics: Sequence[Metric]) -> str:
    rows = []
    for metric in metrics:
        source = metric.source
        words = [f"`{source.table}.{source.column}`"]
        words += [f"`{column}` {value}" for column, value in source.rows.items()]
        words += ["size"] if source.absolute else []
        words += ["saved"] if source.against_minao else []
        better = "more" if metric.higher_is_better else "less"
        rows.append([f"`{metric.name}`", metric.label, metric.unit, ", ".join(words), better, metric.meaning])
    return markdown_table(["metric", "called", "unit", "from", "better", "meaning"], rows)


def _losses() -> str:
    return markdown_table(
        ["loss", "meaning"], [[f"`{loss}`", words.meaning] for loss, words in LOSS_WORDS.items()]
    )


if __name__ == "__main__":
    PAGE.write_text(page_text(), encoding="utf-8")

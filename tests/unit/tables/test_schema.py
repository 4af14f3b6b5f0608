"""The schema: what is declared once fits together, and docs/tables.md is made from it."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import pytest

from dixc.config.base import LOSSES
from dixc.tables.__main__ import page_text
from dixc.tables.metrics import METRICS, Tag, lead_first, tagged
from dixc.tables.schema import KEYS, LOSS_WORDS, TABLES, TAGS, FunctionalKey

ROOT = Path(__file__).parents[3]
UNITS = {"mEh": "mEh", "uEh": "µEh", "Eh": "Eh", "eV": "eV", "debye": "D", "s": "s", "percent": "%"}


def test_the_page_is_that_of_the_schema():
    stale = "stale: python -m dixc.tables"
    assert (ROOT / "docs" / "tables.md").read_text(encoding="utf-8") == page_text(), stale


def test_every_loss_of_the_config_has_words():
    assert tuple(LOSS_WORDS) == LOSSES


@pytest.mark.parametrize("name", TABLES)
def test_columns_of_a_table(name):
    table = TABLES[name]
    assert len(set(table.part_columns)) == len(table.part_columns)
    assert set(table.identity) <= set(table.columns)
    assert set(table.later) <= set(table.columns)
    if name != "summary":
        assert table.columns[: len(TAGS)] == TAGS
        assert table.measured == table.columns[len(TAGS) :]
        assert set(KEYS) <= set(table.identity)
    for column in table.fields:
        assert column.meaning, column.name
        unit = UNITS.get(column.name.rsplit("_", 1)[-1])
        assert unit is None or column.unit == unit, column.name


def test_every_metric_is_read_from_a_column_that_is_there():
    for metric in METRICS:
        source = metric.source
        columns = {column.name: column for column in TABLES[source.table].fields if not column.part_only}
        assert columns[source.column].kind in ("number", "integer"), metric.name
        for column, value in source.rows.items():
            assert value in columns[column].values, metric.name
        unit = UNITS.get(metric.name.rsplit("_", 1)[-1])
        assert unit is None or metric.unit == unit, metric.name
    assert len({metric.name for metric in METRICS}) == len(METRICS)


def test_every_tag_selects_metrics():
    assert all(tagged(tag) for tag in get_args(Tag))
    assert lead_first(tagged("page"))[0].name == "e_rho_mEh"


def test_names_of_functionals():
    trained, classical = FunctionalKey("xcdiff", "hess"), FunctionalKey("pbe", "none")
    assert (trained.label, trained.style, trained.is_trained) == ("xcdiff hess", "hess", True)
    assert (classical.label, classical.style, classical.is_trained) == ("pbe", "pbe", False)

"""The report's page: sections put into the template, figures and style inside, nothing loaded."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from importlib import resources
from typing import Any

import jinja2
import pandas as pd
import yaml

from dixc.report import molecules, narrative, sections, story
from dixc.report.figures import ReportFigure
from dixc.report.sources import NO_SOURCES, Sources
from dixc.report.theme import COLOURS
from dixc.tables import outliers
from dixc.tables.compare import RULE


def page(
    config,
    tables: dict[str, pd.DataFrame],
    summary: pd.DataFrame,
    logs: dict[str, pd.DataFrame],
    figures: list[ReportFigure],
    provenance: Mapping[str, Any],
    sources: Sources = NO_SOURCES,
) -> str:
    """HTML text of the report.

    Args:
        config, tables, summary, logs: the run's config, its tables, and training logs by name.
        figures: as of `figures.draw_all`.
        provenance: versions and the like, nested mappings allowed.
        sources: molecules and logs of the run.
    """
    found = outliers.outliers(config, tables)
    learned = tables["scf"].query("loss != 'none'")
    seeds = int(learned.groupby(["model", "loss"])["seed"].nunique().max()) if len(learned) else 0
    return _environment().get_template("report.html").render(
        title=config.report.title,
        run=config.run,
        css=_text("style.css"),
        colours=COLOURS,
        reference=story.kind(config.reference.functional),
        facts=sections.facts(config, tables),
        seeds=seeds,
        n_test=tables["scf"].query("split == 'test'")["molecule"].nunique(),
        rule=RULE,
        terms=sections.terms(config, tables),
        winners=narrative.winner_sentences(config, tables),
        shares=narrative.baseline_sentences(config, tables),
        headline=sections.headline(config, summary, tables),
        builds=sections.builds(config, summary, tables),
        paper=sections.paper_rows(config, tables),
        trained=sections.trained(config, tables),
        unseen=sections.unseen(tables, sources),
        tiles=sections.tiles(config, tables),
        figures={figure.name: figure for figure in figures},
        glossary=sections.glossary(config),
        cost=sections.training_cost(logs),
        failures=sections.failures(tables, logs, sources),
        done=story.done(config, tables),
        meaning=story.meaning(config, tables),
        failed=story.failed(tables),
        outliers=outliers.rows(found, sources),
        outlier_rule=outliers.RULE,
        molecules=molecules.cards(config, tables, sources, found),
        missing=narrative.missing(config, tables, logs),
        tables=sections.full_tables(tables, summary),
        provenance=list(flatten(provenance)),
        config_yaml=yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False, allow_unicode=True),
    )  # fmt: skip


def flatten(mapping: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """Nested mappings as rows (dotted key, value)."""
    rows = []
    for key, value in mapping.items():
        if isinstance(value, Mapping):
            rows += flatten(value, f"{prefix}{key}.")
        else:
            rows.append(
                (f"{prefix}{key}", ", ".join(map(str, value)) if isinstance(value, list) else str(value))
            )
    return rows


def data_uri(svg: str) -> str:
    """SVG text as the source of an image: its ids cannot clash with those of another figure."""
    return "data:image/svg+xml;base64," + base64.b64encode(svg.encode()).decode()


def _text(name: str) -> str:
    return (resources.files("dixc.report") / "templates" / name).read_text(encoding="utf-8")


def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(_text), autoescape=True, undefined=jinja2.StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    environment.filters["data_uri"] = data_uri
    return environment

"""The report's page: sections put into the template, figures and style inside, nothing loaded."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from importlib import resources
from typing import Any

import jinja2
import yaml

from dixc.config.root import NO_LOSS
from dixc.report import failures, introduction, losses, metric_tables, molecules, paper, usage
from dixc.report.figures import ReportFigure
from dixc.report.sources import NO_SOURCES, Sources
from dixc.report.theme import COLOURS
from dixc.report.training_logs import Logs, training_cost
from dixc.tables import outliers
from dixc.tables.judge import CLAIM_RULE, RULE
from dixc.tables.results import Results


def page(
    results: Results,
    logs: Logs,
    figures: Sequence[ReportFigure],
    provenance: Mapping[str, Any],
    sources: Sources = NO_SOURCES,
) -> str:
    """HTML text of the report.

    Args:
        results: the run's tables and config.
        logs: training logs by name.
        figures: as of `figures.draw_all`.
        provenance: versions and the like, nested mappings allowed.
        sources: molecules and logs of the run.
    """
    config, scf = results.config, results.tables["scf"]
    seeds = scf[scf["loss"] != NO_LOSS].groupby(["model", "loss"])["seed"].nunique()
    stand_out = outliers.outliers(results)
    sections = {
        "facts": introduction.facts(results),
        "reference": introduction.kind_of_reference(config.reference.functional),
        "done": introduction.done(results),
        "meaning": introduction.meaning(results),
        "failed": failures.failed(results),
        "unseen": failures.unseen(results, sources),
        "tiles": paper.tiles(results),
        "terms": losses.terms(results),
        "winners": losses.winner_sentences(results),
        "shares": losses.share_sentences(results),
        "paper": paper.paper_rows(results),
        "trained": usage.trained(results),
        "headline": metric_tables.headline(results),
        "builds": metric_tables.builds(results),
        "glossary": metric_tables.glossary(results),
        "tables": metric_tables.full_tables(results),
        "molecules": molecules.cards(results, sources, stand_out),
        "cost": training_cost(logs),
        "failures": failures.failures(results, logs, sources),
        "outliers": failures.outlier_rows(stand_out, sources),
        "missing": failures.missing(results, logs),
    }
    return (
        _environment()
        .get_template("report.html")
        .render(
            sections,
            title=config.report.title,
            run=config.run,
            css=_text("style.css"),
            colours=COLOURS,
            seeds=int(seeds.max()) if len(seeds) else 0,
            n_test=scf.loc[scf["split"] == "test", "molecule"].nunique(),
            rule=RULE,
            claim_rule=CLAIM_RULE,
            outlier_rule=outliers.RULE,
            figures={figure.name: figure for figure in figures},
            provenance=list(flatten(provenance)),
            config_yaml=yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False, allow_unicode=True),
        )
    )


def flatten(mapping: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """Nested mappings as rows (dotted key, value)."""
    rows: list[tuple[str, str]] = []
    for key, value in mapping.items():
        if isinstance(value, Mapping):
            rows += flatten(value, f"{prefix}{key}.")
        else:
            text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
            rows.append((f"{prefix}{key}", text))
    return rows


def data_uri(svg: str) -> str:
    """SVG text as the source of an image: its ids cannot clash with those of another figure."""
    return "data:image/svg+xml;base64," + base64.b64encode(svg.encode()).decode()


def _text(name: str) -> str:
    return (resources.files("dixc.report") / "templates" / name).read_text(encoding="utf-8")


def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(_text),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["data_uri"] = data_uri
    return environment

"""A report of tables, and what stands in the HTML of one."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import pandas as pd

from dixc.config import Config
from dixc.stages import report
from dixc.tables.frames import write_tables
from dixc.tables.summary import summarise


def make_report(folder: Path, tables: dict[str, pd.DataFrame], config: Config, logs: list[Path]) -> str:
    """Write tables and report; the page's text."""
    write_tables(tables | {"summary": summarise(tables)}, folder / "tables")
    report.run(config, folder / "tables", logs, folder / "report.html")
    return (folder / "report.html").read_text(encoding="utf-8")


class Page(HTMLParser):
    """What a page refers to, its text, and its images."""

    def __init__(self, text: str):
        super().__init__()
        self.references, self.images, self.tags, self.words = [], [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.references += [
            value for key, value in attrs if key in ("src", "href", "srcset", "action", "data")
        ]
        if tag == "img":
            self.images.append(dict(attrs))

    def handle_data(self, data):
        self.words.append(data)

    @property
    def text(self) -> str:
        return re.sub(r"\s+", " ", "".join(self.words))


def section(text: str, name: str) -> str:
    """HTML of a section of the page; empty without it."""
    found = re.search(rf'<section id="{name}">(.*?)</section>', text, re.DOTALL)
    return found[1] if found else ""


def headline(text: str, name: str = "test") -> dict[tuple[str, str], str]:
    """Cells of the first table of a section, by the words at the head of their row and of their column."""
    rows = [
        [Page(cell).text.strip() for cell in re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row, re.DOTALL)]
        for row in re.findall(r"<tr>(.*?)</tr>", section(text, name), re.DOTALL)
    ]
    head, *body = rows
    return {(row[0], column): cell for row in body for column, cell in zip(head, row, strict=True)}

"""The examples of the documentation run and say what they print; links and anchors lead somewhere."""

from __future__ import annotations

import doctest
import re
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(("page", "lines"), [("use.md", 10), ("one-build.md", 5)])
def test_examples(page, lines):
    page = ROOT / "docs" / page
    assert page.read_text().count(">>>") > lines
    result = doctest.testfile(str(page), module_relative=False)
    assert result.failed == 0


PAGES = sorted(
    str(page.relative_to(ROOT))
    for pattern in ("*.md", "docs/**/*.md", "config/**/*.md", "dixc/models/*.md", "benchmarks/**/*.md")
    for page in ROOT.glob(pattern)
    if page.name != "notes.md"  # a part of a generated page, where its links count
)


def prose(page: Path) -> str:
    """A page without its blocks of code, where brackets and number signs mean something else."""
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    return re.sub(r"^ {4}.*$", "", text, flags=re.MULTILINE)


def anchors(page: Path) -> set[str]:
    """What `#` can name in a page: its headings as GitHub writes them, and explicit ones."""
    text = prose(page)
    names: Counter[str] = Counter()
    result = set(re.findall(r'<a (?:id|name)="([^"]+)"', text))
    for heading in re.findall(r"^#+ +(.+?) *$", text, re.MULTILINE):
        words = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading).lower()
        slug = re.sub(r"[^\w\- ]", "", words).replace(" ", "-")
        result.add(f"{slug}-{names[slug]}" if names[slug] else slug)
        names[slug] += 1
    return result


def links(page: Path) -> list[str]:
    """Targets of links and images, those of references at the end of a page too."""
    text = re.sub(r"`[^`\n]*`", "", prose(page))
    return re.findall(r"\]\(\s*<?([^)\s>]+)>?[^)]*\)", text) + re.findall(
        r"^\[[^]]+\]: +(\S+)", text, re.MULTILINE
    )


def test_all_pages_are_looked_at():
    assert {
        "README.md",
        "docs/README.md",
        "docs/training.md",
        "config/README.md",
        "dixc/models/README.md",
    } <= {*PAGES}
    assert "config/molecules/README.md" in PAGES


@pytest.mark.parametrize("page", PAGES)
def test_links_and_anchors_lead_somewhere(page):
    path = ROOT / page
    for link in links(path):
        if link.startswith(("https://", "mailto:")):
            continue
        name, _, anchor = link.partition("#")
        target = (path.parent / name).resolve() if name else path
        assert target.exists(), link
        assert target.is_relative_to(ROOT), link
        if anchor:
            assert anchor in anchors(target), link


def test_every_page_of_the_documentation_is_reached_from_its_index():
    """Each page of docs/ is linked from docs/README.md, itself linked from the README."""
    index = ROOT / "docs" / "README.md"
    linked = {(index.parent / link.partition("#")[0]).resolve() for link in links(index)}
    pages = {page.resolve() for page in (ROOT / "docs").glob("*.md")} - {index.resolve()}
    assert pages <= linked
    assert any(
        link.partition("#")[0].rstrip("/") in ("docs", "docs/README.md") for link in links(ROOT / "README.md")
    )

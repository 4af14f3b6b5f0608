"""The examples of the documentation run and say what they print."""

from __future__ import annotations

import doctest
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(("page", "lines"), [("use.md", 10), ("one-build.md", 5)])
def test_examples(page, lines):
    page = ROOT / "docs" / page
    assert page.read_text().count(">>>") > lines
    result = doctest.testfile(str(page), module_relative=False)
    assert result.failed == 0


@pytest.mark.parametrize(
    "page", ["docs/README.md", "docs/use.md", "docs/one-build.md", "dixc/models/README.md"]
)
def test_links_lead_somewhere(page):
    links = re.findall(r"\]\(([^)#]+)\)", (ROOT / page).read_text())
    assert links
    for link in links:
        assert link.startswith("https://") or ((ROOT / page).parent / link).exists(), link

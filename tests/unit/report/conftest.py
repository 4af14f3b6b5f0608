"""Reports of which only the words are read."""

from __future__ import annotations

import pytest

from dixc.report import theme


@pytest.fixture
def words_only(monkeypatch):
    """Figures are made but not rendered, which takes half the time of a report."""
    monkeypatch.setattr(theme, "to_svg", lambda figure: '<svg xmlns="http://www.w3.org/2000/svg"/>')

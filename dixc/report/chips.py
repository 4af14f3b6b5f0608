"""Verdicts as the template shows them."""

from __future__ import annotations

from dixc.tables.judge import Verdict


def chip(verdict: Verdict | None, words: str = "") -> dict[str, str]:
    """A verdict for the template: its words and the class of its style; no words for None."""
    if verdict is None:
        return {"verdict": "", "kind": ""}
    return {"verdict": words or verdict.value, "kind": verdict.name.lower().replace("_", "-")}

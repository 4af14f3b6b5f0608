"""The paper's figures beside those of the run."""

from __future__ import annotations

from typing import Any

import numpy as np

from dixc.report.chips import chip
from dixc.tables.claims import CLAIMS, findings, is_comparable
from dixc.tables.results import Results
from dixc.text import signed_percent


def paper_rows(results: Results) -> list[dict[str, Any]]:
    """The paper's figures, each with ours; none where the reference is not the paper's."""
    if not is_comparable(results.config):
        return []
    ours = findings(results)
    return [
        {
            "title": claim.title,
            "figure": claim.figure,
            "ours": [
                {"who": finding.who, "words": finding.words, **chip(finding.verdict, finding.judgement)}
                for finding in ours
                if finding.claim is claim
            ],
        }
        for claim in CLAIMS
    ]


def tiles(results: Results) -> list[dict[str, Any]]:
    """The paper's figures and ours in a few numbers: the mean over models, or the one claimed for.

    The paper's are empty where the reference is not the paper's.
    """
    ours = findings(results)
    models = {finding.model for finding in ours}
    shown = []
    for claim in CLAIMS:
        of_one = claim.model in models
        mine = [
            finding
            for finding in ours
            if finding.claim is claim
            and (finding.model == claim.model if of_one else finding.is_mean or len(models) == 1)
        ]
        if not mine or not np.isfinite(claim.low):
            continue
        title = claim.metric.label.replace("Iterations saved", "Iterations")
        if of_one and len(models) > 1:
            title = f"{title}, {claim.model}"
        cells = [
            {"loss": finding.loss, "percent": signed_percent(finding.percent), **chip(finding.verdict)}
            for finding in mine
        ]
        figure = claim.figure if is_comparable(results.config) else ""
        shown.append({"title": title, "paper": figure, "ours": cells})
    return shown

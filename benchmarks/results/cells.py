"""Cells of the tables of docs/results.md."""

from __future__ import annotations

import numpy as np

from dixc.tables.judge import Estimate
from dixc.text import DASH, number, signed_percent


def cell(value: Estimate) -> str:
    """Mean and spread over seeds."""
    spread = f" ± {number(value.spread, 2)}" if np.isfinite(value.spread) else ""
    return number(value.mean) + spread


def percent(change: Estimate) -> str:
    """A change in percent and its spread over seeds."""
    if not np.isfinite(change.mean):
        return DASH
    spread = f" ± {change.spread:.0f}" if np.isfinite(change.spread) else ""
    return signed_percent(change.mean).removesuffix(" %") + spread + " %"

"""Seconds that metrics took, as the store keeps them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from nasctl.analysis.score import Scored


def median_seconds(rows: Sequence[Scored], name: str) -> float:
    """Return the median seconds that one metric took per candidate.

    Metrics that are measured together share passes over the network, and the first of them is charged for a pass.
    Candidates for which the metric failed are left out, unless it failed for all of them.
    """
    measured = [row for row in rows if name in row.evaluation.values] or rows
    return float(np.median([row.seconds[name] for row in measured]))


def median_total_seconds(rows: Sequence[Scored]) -> float:
    """Return the median seconds that all metrics together took per candidate."""
    return float(np.median([sum(row.seconds.values()) for row in rows]))

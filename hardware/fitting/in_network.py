"""Fit of the context terms: the latency of blocks inside a network, in addition to their latency alone."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from nasctl.api import Network
from nasctl.hardware.fitting.nonnegative import fit_nonnegative
from nasctl.hardware.in_network import context_amounts
from nasctl.hardware.operator_model import features
from nasctl.hardware.tables_schema import CONTEXT

OVERHEAD = "overhead"  # term of the overhead, of which every network has one


def fit_context(networks: Sequence[Network], alone: np.ndarray, ms: np.ndarray) -> tuple[dict[str, float], float]:
    """Fit the context of a table, by the names of `CONTEXT`, and its overhead in ms, all non-negative.

    Args:
        networks: Measured whole networks, (N,).
        alone: Sums of the latencies of their blocks alone, in ms, (N,).
        ms: Measured latencies, (N,), above 0.
    """
    rows = []
    for network, total in zip(networks, alone, strict=True):
        row: defaultdict[str, float] = defaultdict(float, {"alone": float(total), OVERHEAD: 1.0})
        for span in network.spans:
            for name, amount in context_amounts(features(span.emission)).items():
                row[name] += amount
        rows.append(row)
    names = (*CONTEXT, OVERHEAD)
    matrix = np.array([[row[name] for name in names] for row in rows])
    context = dict(zip(names, fit_nonnegative(matrix, ms).tolist(), strict=True))
    overhead = context.pop(OVERHEAD)
    return context, overhead

"""Fit of what the rest of a network adds to the time of a block."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from nasctl.api import Network
from nasctl.hardware.fitting.nonnegative import fit_nonnegative
from nasctl.hardware.in_network import amounts
from nasctl.hardware.operator_model import features
from nasctl.hardware.tables_schema import CONTEXT

OVERHEAD = "overhead"  # of a network, whatever its blocks


def fitted(networks: Sequence[Network], alone: np.ndarray, ms: np.ndarray) -> tuple[dict[str, float], float]:
    """The context of a table, and its overhead in ms: none negative, of the least sum of squared relative errors.

    Args:
        networks: That were measured, (N,).
        alone: The sums of what their blocks cost alone, (N,).
        ms: What they took, (N,).
    """
    rows = []
    for network, total in zip(networks, alone, strict=True):
        row: defaultdict[str, float] = defaultdict(float, {"alone": float(total), OVERHEAD: 1.0})
        for span in network.spans:
            for name, amount in amounts(features(span.emission)).items():
                row[name] += amount
        rows.append(row)
    names = (*CONTEXT, OVERHEAD)
    matrix = np.array([[row[name] for name in names] for row in rows])
    found = dict(zip(names, fit_nonnegative(matrix, ms).tolist(), strict=True))
    overhead = found.pop(OVERHEAD)
    return found, overhead

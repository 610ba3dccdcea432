"""What blocks cost within a network beside what they cost alone, where caches hold all that they touch."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

import numpy as np
from scipy.optimize import nnls

from nasctl.api import Network
from nasctl.hardware.model import features
from nasctl.hardware.schema import CONTEXT

OVERHEAD = "overhead"  # of a network, whatever its blocks


def amounts(features: Mapping[str, float]) -> dict[str, float]:
    """The weights, elements moved and operators of a block, out of the operator model's amounts."""
    found: defaultdict[str, float] = defaultdict(float)
    for name, amount in features.items():
        part = name.rpartition(".")[2]
        if part in ("read", "written", "moved"):
            found["moved"] += amount
        elif part in CONTEXT:
            found[part] += amount
    return dict(found)


def within(context: Mapping[str, float], alone: float, features: Mapping[str, float]) -> float:
    """What a block costs in a network, in ms, if it costs so much alone."""
    more = sum(context.get(name, 0.0) * amount for name, amount in amounts(features).items())
    return context.get("alone", 1.0) * alone + more


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
    scale = np.maximum(matrix.max(axis=0), 1e-12)  # columns differ by ten orders of magnitude
    solution, _ = nnls(matrix / scale / ms[:, None], np.ones(len(ms)))
    found = {name: float(f"{value:.6g}") for name, value in zip(names, solution / scale, strict=True)}
    overhead = found.pop(OVERHEAD)
    return found, overhead

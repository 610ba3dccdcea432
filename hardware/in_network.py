"""Latency of a block inside a network, in addition to its latency alone.

A block that is timed alone finds its input and weights in the nearest cache; inside a network it does not.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

from nasctl.hardware.tables_schema import CONTEXT


def context_amounts(features: Mapping[str, float]) -> dict[str, float]:
    """Return the weights, moved elements and operators of a block, by the names of `CONTEXT`.

    Args:
        features: Features of the block, as `operator_model.features` returns them.
    """
    amounts: defaultdict[str, float] = defaultdict(float)
    for name, amount in features.items():
        quantity = name.rpartition(".")[2]
        if quantity in ("read", "written", "moved"):
            amounts["moved"] += amount
        elif quantity in CONTEXT:
            amounts[quantity] += amount
    return dict(amounts)


def latency_in_network(context: Mapping[str, float], alone: float, features: Mapping[str, float]) -> float:
    """Return the latency of a block inside a network, in ms.

    Args:
        context: Coefficients by the names of `CONTEXT`; a missing "alone" is 1, and any other missing term is 0.
        alone: Latency of the block alone, in ms.
        features: Features of the block, as `operator_model.features` returns them.
    """
    more = sum(context.get(name, 0.0) * amount for name, amount in context_amounts(features).items())
    return context.get("alone", 1.0) * alone + more

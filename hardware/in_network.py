"""What blocks cost within a network beside what they cost alone, where caches hold all that they touch."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

from nasctl.hardware.tables_schema import CONTEXT


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

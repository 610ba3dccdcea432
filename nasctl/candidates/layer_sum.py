"""How metrics that have a number for each layer become one number."""

from __future__ import annotations

import math
from collections.abc import Collection


def total(numbers: Collection[float], norm: bool) -> float:
    """The sum, or the mean if `norm`.

    Raises:
        ValueError: There are none, or all are 0.
        ArithmeticError: One is not finite.
    """
    score = math.fsum(numbers) / (len(numbers) if norm and numbers else 1)
    if not math.isfinite(score):
        raise ArithmeticError("a layer's activations or gradients are not finite")
    if score == 0.0:
        raise ValueError("no layer of the network adds anything to it")
    return score

"""The sum or mean of a metric over layers."""

from __future__ import annotations

import math
from collections.abc import Collection


def total(numbers: Collection[float], norm: bool) -> float:
    """Return the sum of one number per layer, or their mean.

    Args:
        numbers: The numbers, one per layer.
        norm: Whether to return the mean.

    Raises:
        ValueError: There are no numbers, or their sum is 0.
        ArithmeticError: A number is not finite.
    """
    score = math.fsum(numbers) / (len(numbers) if norm and numbers else 1)
    if not math.isfinite(score):
        raise ArithmeticError("a layer's activations or gradients are not finite")
    if score == 0.0:
        raise ValueError("no layer of the network adds anything to it")
    return score

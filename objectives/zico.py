"""ZiCo: how little the gradients of an untrained network change from batch to batch."""

from __future__ import annotations

import math

from torch import Tensor

from nasctl.api import Candidate, Direction, Transform

__all__ = ["ZiCo"]


class ZiCo:
    """The sum, over convolutions and linear layers, of ``log sum_w mean|g| / std(g)``.

    Mean and standard deviation of a weight's gradient g are over two batches, so that the ratio is
    ``(|g1| + |g2|) / |g1 - g2|``. Weights whose gradients are the same in both are left out, and so are layers where
    all are, as the code does.

    Departures from the paper: the deviation is that of g as in the authors' code, github.com/SLDGroup/ZiCo, and not
    that of |g| as in the formula; batches are as large as the setting says (theirs: 128 images).

    References:
        Li et al., "ZiCo: Zero-shot NAS via inverse coefficient of variation on gradients", ICLR 2023, arXiv:2301.11300,
        section 3.
    """

    unit = "log"
    direction: Direction = "max"
    transform: Transform = "identity"
    needs = frozenset({"gradients", "second_gradients"})
    version = "1"

    def __call__(self, candidate: Candidate) -> float:
        """Score the candidate.

        Raises:
            ValueError: No weight has gradients that differ between batches, so there is nothing to compare.
            ArithmeticError: A gradient is not finite.
        """
        first, second = candidate.gradients, candidate.second_gradients
        totals = [_total(first[name].gradient.double(), second[name].gradient.double()) for name in first]
        if not all(map(math.isfinite, totals)):
            raise ArithmeticError("the gradients of the weights are not finite")
        terms = [math.log(total) for total in totals if total > 0]
        if not terms:
            raise ValueError("the loss depends on no weight, or by the same gradient in both batches")
        return sum(terms)


def _total(one: Tensor, other: Tensor) -> float:
    """The sum of a layer's ratios.

    Args:
        one: The gradient of the first batch, in the shape of the weights.
        other: The gradient of the second.
    """
    difference = (one - other).abs()
    ratios = (one.abs() + other.abs()) / difference
    return float(ratios[difference != 0].sum())

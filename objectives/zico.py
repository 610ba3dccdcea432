"""ZiCo: consistency of the gradients of an untrained network between batches."""

from __future__ import annotations

import math

from torch import Tensor

from nasctl.api import Candidate, Direction, Transform, version_of_weights

__all__ = ["ZiCo"]


class ZiCo:
    """Sum over convolutions and linear layers of ``log sum_w mean|g| / std(g)``.

    The mean and the standard deviation of a weight's gradient g are over two batches, so the ratio is
    ``(|g1| + |g2|) / |g1 - g2|``. As in the released code, weights whose gradients are equal in both batches are left
    out, and so are layers in which all gradients are equal.

    Differences from the paper: the standard deviation is of g, as in the authors' code, github.com/SLDGroup/ZiCo, and
    not of |g|, as in the formula. The batch size is the one of the setting (the paper uses 128 images).

    References:
        Li et al., "ZiCo: Zero-shot NAS via inverse coefficient of variation on gradients", ICLR 2023, arXiv:2301.11300,
        section 3.
    """

    unit = "log"
    direction: Direction = "max"
    transform: Transform = "identity"
    needs = frozenset({"gradients", "second_gradients"})
    version = "1"
    version_on = version_of_weights

    def __call__(self, candidate: Candidate) -> float:
        """Score the candidate.

        Raises:
            ValueError: No weight has gradients that differ between the batches.
            ArithmeticError: A gradient is not finite.
        """
        first, second = candidate.gradients, candidate.second_gradients
        totals = [_ratio_sum(first[name].gradient.double(), second[name].gradient.double()) for name in first]
        if not all(map(math.isfinite, totals)):
            raise ArithmeticError("the gradients of the weights are not finite")
        terms = [math.log(total) for total in totals if total > 0]
        if not terms:
            raise ValueError("the loss depends on no weight, or all gradients are equal in both batches")
        return sum(terms)


def _ratio_sum(first: Tensor, second: Tensor) -> float:
    """Return the sum of a layer's ratios over its weights.

    Args:
        first: Gradient of the first batch, in the shape of the weights.
        second: Gradient of the second batch, in the shape of the weights.
    """
    difference = (first - second).abs()
    ratios = (first.abs() + second.abs()) / difference
    return float(ratios[difference != 0].sum())

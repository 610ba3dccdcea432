"""SNIP: saliency of the untrained weights for the loss."""

from __future__ import annotations

import math

import torch

from nasctl.api import Candidate, Direction, Transform, version_of_weights

__all__ = ["SNIP"]


class SNIP:
    """Sum of ``|w * dL/dw|`` over the weights of convolutions and linear layers.

    The paper divides every term by the sum to rank weights. The sum itself ranks networks (Abdelfattah). Scores of
    different networks span orders of magnitude, so searchers see their logarithm.

    References:
        Lee et al., "SNIP: Single-shot network pruning based on connection sensitivity", ICLR 2019, arXiv:1810.02340,
        equation 5.
        Abdelfattah et al., "Zero-cost proxies for lightweight NAS", ICLR 2021, arXiv:2101.08134.
    """

    unit = "nats"  # of the loss
    direction: Direction = "max"
    transform: Transform = "log10"
    needs = frozenset({"gradients"})
    version = "1"
    version_on = version_of_weights

    def __call__(self, candidate: Candidate) -> float:
        """Score the candidate.

        Raises:
            ValueError: The loss depends on no weight.
            ArithmeticError: A gradient is not finite.
        """
        weights = candidate.gradients.values()
        score = sum(float((weight.value * weight.gradient).abs_().sum(dtype=torch.double)) for weight in weights)
        if score == 0.0:
            raise ValueError("the loss depends on no weight")
        if not math.isfinite(score):
            raise ArithmeticError("the gradients of the weights are not finite")
        return score

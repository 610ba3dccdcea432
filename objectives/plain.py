"""Plain: the loss that the untrained weights account for, with its sign; a control for metrics of gradients."""

from __future__ import annotations

import math

import torch

from nasctl.api import Candidate, Direction, Transform

__all__ = ["Plain"]


class Plain:
    """``sum w * dL/dw`` over the weights of convolutions and linear layers.

    It is SNIP with the sign kept, and there to show how little is left then. A layer in front of a batch norm adds
    nothing but rounding errors, because the loss does not change with the scale of its weights; what remains comes from
    the other layers, the classifier for one.

    References:
        As `plain` in the code of Abdelfattah et al., "Zero-cost proxies for lightweight NAS", ICLR 2021,
        arXiv:2101.08134, github.com/SamsungLabs/zero-cost-nas.
    """

    unit = "nats"  # of the loss that is attributed to the weights
    direction: Direction = "max"
    transform: Transform = "identity"
    needs = frozenset({"gradients"})
    version = "1"

    def __call__(self, candidate: Candidate) -> float:
        """Score the candidate.

        Raises:
            ValueError: The loss depends on no weight, so there is nothing to compare.
            ArithmeticError: A gradient is not finite.
        """
        weights = candidate.gradients.values()
        if not any(one.gradient.any() for one in weights):
            raise ValueError("the loss depends on no weight")
        score = sum(float((one.value * one.gradient).sum(dtype=torch.double)) for one in weights)
        if not math.isfinite(score):
            raise ArithmeticError("the gradients of the weights are not finite")
        return score

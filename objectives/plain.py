"""Plain: signed saliency of the untrained weights, a control for gradient metrics."""

from __future__ import annotations

import math

import torch

from nasctl.api import Candidate, Direction, Transform, version_of_weights

__all__ = ["Plain"]


class Plain:
    """Signed sum ``sum w * dL/dw`` over the weights of convolutions and linear layers.

    The score is SNIP without the absolute value, and shows how little is left then. A layer in front of a batch norm
    adds only rounding errors, because the loss does not change with the scale of its weights. The rest comes from other
    layers, for example the classifier.

    References:
        `plain` in the code of Abdelfattah et al., "Zero-cost proxies for lightweight NAS", ICLR 2021, arXiv:2101.08134,
        github.com/SamsungLabs/zero-cost-nas.
    """

    unit = "nats"  # of the loss
    direction: Direction = "max"
    transform: Transform = "identity"
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
        if not any(weight.gradient.any() for weight in weights):
            raise ValueError("the loss depends on no weight")
        score = sum(float((weight.value * weight.gradient).sum(dtype=torch.double)) for weight in weights)
        if not math.isfinite(score):
            raise ArithmeticError("the gradients of the weights are not finite")
        return score

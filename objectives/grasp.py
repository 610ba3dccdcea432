"""GraSP: how much gradient would flow without the untrained weights."""

from __future__ import annotations

import math

import torch

from nasctl.api import Candidate, Direction, Transform

__all__ = ["GraSP"]


class GraSP:
    """``sum -w * (H g)`` over the weights of convolutions and linear layers; g is the loss's gradient, H its Hessian.

    g and H are restricted to those weights. The score can have either sign. A layer in front of a batch norm adds the
    square of its gradient's norm, whatever its Hessian: the loss does not change with the scale of its weights, so
    ``w . g = 0`` for all weights, and the derivative of that along g is ``|g|^2 + w . (H g) = 0``.

    The paper removes the weights with the largest terms; to rank networks more of the sum counts as better
    (Abdelfattah). The sum is taken as that of -g * (H w), which is the same because H is symmetric, and H w as the
    difference of two gradients. In single precision that agrees with differentiating twice to 1% in the median and to
    some times the score where its terms cancel; so does differentiating twice in single precision, and another batch
    moves the score much more. How the order of NAS-Bench-201 cells bears each is a test.

    References:
        Wang et al., "Picking winning tickets before training by preserving gradient flow", ICLR 2020, arXiv:2002.07376,
        equation 8, without the temperature of its code.
        Abdelfattah et al., "Zero-cost proxies for lightweight NAS", ICLR 2021, arXiv:2101.08134.
    """

    unit = "nats^2"  # of the loss, squared, for each unit of weight squared
    direction: Direction = "max"
    transform: Transform = "identity"
    needs = frozenset({"gradients", "curvature"})
    version = "2"

    def __call__(self, candidate: Candidate) -> float:
        """Score the candidate.

        Raises:
            ValueError: The loss depends on no weight, so there is nothing to compare.
            ArithmeticError: A second derivative is not finite.
        """
        weights, curvature = candidate.gradients, candidate.curvature
        if not any(one.gradient.any() for one in weights.values()):
            raise ValueError("the loss depends on no weight")
        score = -sum(float((weights[name].gradient * bent).sum(dtype=torch.double)) for name, bent in curvature.items())
        if not math.isfinite(score):
            raise ArithmeticError("the second derivatives of the loss are not finite")
        return score

"""GraSP: change of the gradient flow when untrained weights are removed."""

from __future__ import annotations

import math

import torch

from nasctl.api import Candidate, Direction, Transform, version_of_weights

__all__ = ["GraSP"]


class GraSP:
    """Sum of ``-w * (H g)`` over the weights of convolutions and linear layers.

    g is the gradient of the loss and H its Hessian, both restricted to those weights. The score can be positive or
    negative. A layer in front of a batch norm adds its squared gradient norm, independently of its Hessian: the loss
    does not change with the scale of its weights, so ``w . g = 0`` for all weights, and the derivative along g is
    ``|g|^2 + w . (H g) = 0``.

    The paper removes the weights with the largest terms. For ranking networks, a larger sum counts as better
    (Abdelfattah).

    The sum is computed as the sum of -g * (H w), which is equal because H is symmetric. H w is the difference of two
    gradients. In single precision the result agrees with differentiating twice to 1% in the median. Where the terms
    cancel, the two differ by some times the score. Differentiating twice in single precision has errors of the same
    size, and another batch changes the score much more. A test measures the effect of each of these on the order of
    NAS-Bench-201 cells.

    References:
        Wang et al., "Picking winning tickets before training by preserving gradient flow", ICLR 2020, arXiv:2002.07376,
        equation 8, without the temperature of its code.
        Abdelfattah et al., "Zero-cost proxies for lightweight NAS", ICLR 2021, arXiv:2101.08134.
    """

    unit = "nats^2"  # of the loss, squared, per unit of weight squared
    direction: Direction = "max"
    transform: Transform = "identity"
    needs = frozenset({"gradients", "curvature"})
    version = "2"
    version_on = version_of_weights

    def __call__(self, candidate: Candidate) -> float:
        """Score the candidate.

        Raises:
            ValueError: The loss depends on no weight.
            ArithmeticError: A second derivative is not finite.
        """
        weights, curvature = candidate.gradients, candidate.curvature
        if not any(weight.gradient.any() for weight in weights.values()):
            raise ValueError("the loss depends on no weight")
        score = -sum(
            float((weights[name].gradient * product).sum(dtype=torch.double)) for name, product in curvature.items()
        )
        if not math.isfinite(score):
            raise ArithmeticError("the second derivatives of the loss are not finite")
        return score

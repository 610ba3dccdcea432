"""Gradient norm of the loss with respect to the untrained weights."""

from __future__ import annotations

import math

import torch

from nasctl.api import Candidate, Direction, Transform, version_of_weights

__all__ = ["GradNorm"]


class GradNorm:
    """Sum over convolutions and linear layers of the Euclidean norm of the gradient of the loss in their weights.

    Scores of different networks span orders of magnitude, so searchers see their logarithm.

    References:
        Abdelfattah et al., "Zero-cost proxies for lightweight NAS", ICLR 2021, arXiv:2101.08134, section 3.1. The paper
        does not say whether the norm is taken over all layers together. This class adds up the norms of the layers,
        like the authors' code, github.com/SamsungLabs/zero-cost-nas.
    """

    unit = "nats"  # of the loss, per unit of weight
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
        score = sum(float(torch.linalg.vector_norm(weight.gradient, dtype=torch.double)) for weight in weights)
        if score == 0.0:
            raise ValueError("the loss depends on no weight")
        if not math.isfinite(score):
            raise ArithmeticError("the gradients of the weights are not finite")
        return score

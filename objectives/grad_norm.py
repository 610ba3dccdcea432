"""Gradient norm: how steep the loss is in the untrained weights."""

from __future__ import annotations

import math

import torch

from nasctl.api import Candidate, Direction, Transform

__all__ = ["GradNorm"]


class GradNorm:
    """The sum, over convolutions and linear layers, of the Euclidean norm of the loss's gradient in their weights.

    Networks differ in it by orders of magnitude, so searchers see its logarithm.

    References:
        Abdelfattah et al., "Zero-cost proxies for lightweight NAS", ICLR 2021, arXiv:2101.08134, section 3.1, which
        leaves open whether the norm is one for all layers; their code, github.com/SamsungLabs/zero-cost-nas, adds up
        the norms of the layers, as is done here.
    """

    unit = "nats"  # of the loss, for each unit of weight
    direction: Direction = "max"
    transform: Transform = "log10"
    needs = frozenset({"gradients"})
    version = "1"

    def __call__(self, candidate: Candidate) -> float:
        """Score the candidate.

        Raises:
            ValueError: The loss depends on no weight, so there is nothing to compare.
            ArithmeticError: A gradient is not finite.
        """
        weights = candidate.gradients.values()
        score = sum(float(torch.linalg.vector_norm(one.gradient, dtype=torch.double)) for one in weights)
        if score == 0.0:
            raise ValueError("the loss depends on no weight")
        if not math.isfinite(score):
            raise ArithmeticError("the gradients of the weights are not finite")
        return score

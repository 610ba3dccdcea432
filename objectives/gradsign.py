"""GradSign: agreement of the signs of per-example gradients."""

from __future__ import annotations

import math

import torch

from nasctl.api import Candidate, Direction, Transform, only_classes, version_of_weights

__all__ = ["GradSign"]


class GradSign:
    """Agreement ``sum_k |sum_i sign(g_i[k])|`` over the weights k of convolutions and linear layers.

    g_i is the gradient of the loss of example i alone. The closer the local minima of the examples are, the more signs
    agree, and the lower the loss that training can reach for all examples. The sum grows with the number of weights, so
    searchers see its logarithm.

    Difference from the paper: the paper's code runs every example as a batch of one. Here batch norms normalise by the
    statistics of the whole batch, which are held constant in the backward pass.

    References:
        Zhang and Jia, "GradSign: Model performance inference with theoretical insights", ICLR 2022, arXiv:2110.08616,
        algorithm 1.
    """

    unit = "signs"
    direction: Direction = "max"
    transform: Transform = "log10"
    needs = frozenset({"samples"})
    version = "1"
    version_on = version_of_weights
    inapplicable_reason = staticmethod(only_classes)

    def __call__(self, candidate: Candidate) -> float:
        """Score the candidate.

        Raises:
            ValueError: The signs of the examples cancel at every weight, for example because the loss depends on no
                weight.
            ArithmeticError: A gradient is not finite.
        """
        gradients = candidate.samples.gradients("loss")
        score = sum(float(gradient.sign().sum(0).abs().sum(dtype=torch.double)) for _, gradient in gradients)
        if not math.isfinite(score):
            raise ArithmeticError("the gradients of the weights are not finite")
        if score == 0.0:
            raise ValueError(
                "the gradient signs of the examples cancel at every weight, or the loss depends on no weight"
            )
        return score

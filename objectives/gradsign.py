"""GradSign: on how many weights the examples of a batch agree, whichever way their losses pull them."""

from __future__ import annotations

import math

import torch

from nasctl.api import Candidate, Direction, Transform, only_classes

__all__ = ["GradSign"]


class GradSign:
    """``sum_k |sum_i sign(g_i[k])|`` over the weights k of convolutions and linear layers.

    g_i is the gradient of example i's own loss. The less the local minima of the examples lie apart, the more of the
    signs agree, and the lower the loss that training can reach for all of them. Networks differ in the sum as they
    differ in size, so searchers see its logarithm.

    Departure from the paper, whose code runs every example as a batch of one: batch norms normalise by the whole batch,
    with its statistics held constant.

    References:
        Zhang and Jia, "GradSign: Model performance inference with theoretical insights", ICLR 2022, arXiv:2110.08616,
        algorithm 1.
    """

    unit = "signs"
    direction: Direction = "max"
    transform: Transform = "log10"
    needs = frozenset({"samples"})
    version = "1"
    inapplicable_reason = staticmethod(only_classes)

    def __call__(self, candidate: Candidate) -> float:
        """Score the candidate.

        Raises:
            ValueError: The examples agree on no weight, as where the loss depends on none.
            ArithmeticError: A gradient is not finite.
        """
        gradients = candidate.samples.gradients("loss")
        score = sum(float(one.sign().sum(0).abs().sum(dtype=torch.double)) for _, one in gradients)
        if not math.isfinite(score):
            raise ArithmeticError("the gradients of the weights are not finite")
        if score == 0.0:
            raise ValueError("the examples agree on no weight, as where the loss depends on none")
        return score

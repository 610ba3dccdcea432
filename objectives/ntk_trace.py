"""Trace of the neural tangent kernel (NTK) of an untrained network."""

from __future__ import annotations

import math

import torch

from nasctl.api import Candidate, Direction, Transform, only_classes, version_of_weights

__all__ = ["NTKTrace"]


class NTKTrace:
    """Root mean square of the gradient norms of the B examples of a batch, ``sqrt(tr(K) / B)``.

    An example's gradient is the gradient of the logit of its label with respect to the weights of convolutions and
    linear layers. Only the diagonal of the kernel K is computed. Scores of different networks span orders of magnitude,
    so searchers see their logarithm.

    Differences from the paper: the paper has one output. The choice of logit and of weights follows the paper's code.
    That code differentiates through the statistics of batch norms, which are held constant here.

    References:
        Shu, Dai, Wu and Low, "Unifying and boosting gradient-based training-free neural architecture search" (HNAS),
        NeurIPS 2022, arXiv:2201.09785, the metric M_Trace.
    """

    unit = "logits"  # per unit of weight
    direction: Direction = "max"
    transform: Transform = "log10"
    needs = frozenset({"samples"})
    version = "1"
    version_on = version_of_weights
    inapplicable_reason = staticmethod(only_classes)

    def __call__(self, candidate: Candidate) -> float:
        """Score the candidate.

        Raises:
            ValueError: The logits depend on no weight, for example because no path leads to the output.
            ArithmeticError: A gradient is not finite.
        """
        gradients = candidate.samples.gradients("target")
        trace = sum(float(torch.linalg.vector_norm(gradient, dtype=torch.double)) ** 2 for _, gradient in gradients)
        if not math.isfinite(trace):
            raise ArithmeticError("the gradients of the weights are not finite")
        if trace == 0.0:
            raise ValueError("the logits of the labels depend on no weight")
        return math.sqrt(trace / candidate.setting.batch)

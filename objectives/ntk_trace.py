"""The trace of the neural tangent kernel: how strongly the outputs of an untrained network depend on its weights."""

from __future__ import annotations

import math

import torch

from nasctl.api import Candidate, Direction, Transform, only_classes

__all__ = ["NTKTrace"]


class NTKTrace:
    """``sqrt(tr(K) / B)``, the root mean square of the norms of the gradients of B examples.

    An example's gradient is that of the logit of its label, in the weights of convolutions and linear layers. Only the
    diagonal of the kernel K is computed. Networks differ in it by orders of magnitude, so searchers see its logarithm.

    Departures: the paper has one output; its code, from which the choice of logit and of weights is taken,
    differentiates through the statistics of batch norms, which are held constant here.

    References:
        Shu, Dai, Wu and Low, "Unifying and boosting gradient-based training-free neural architecture search" (HNAS),
        NeurIPS 2022, arXiv:2201.09785, the metric M_Trace.
    """

    unit = "logits"  # for each unit of weight
    direction: Direction = "max"
    transform: Transform = "log10"
    needs = frozenset({"samples"})
    version = "1"
    inapplicable_reason = staticmethod(only_classes)

    def __call__(self, candidate: Candidate) -> float:
        """Score the candidate.

        Raises:
            ValueError: The logits depend on no weight, as where no path leads to the output.
            ArithmeticError: A gradient is not finite.
        """
        gradients = candidate.samples.gradients("target")
        trace = sum(float(torch.linalg.vector_norm(one, dtype=torch.double)) ** 2 for _, one in gradients)
        if not math.isfinite(trace):
            raise ArithmeticError("the gradients of the weights are not finite")
        if trace == 0.0:
            raise ValueError("the logits of the labels depend on no weight")
        return math.sqrt(trace / candidate.setting.batch)

"""Head importance: how much the weights of attention's heads matter to what a transformer puts out."""

from __future__ import annotations

import torch

from nasctl.api import Candidate, Direction, Transform, only_attention, total

__all__ = ["HeadImportance"]


class HeadImportance:
    """The sum of ``|w * dR/dw|`` over the weights of projections and of what dynamic convolutions convolve.

    R is the sum of all logits. Departures: the code has the sum of the last hidden state. A layer norm comes last
    there, whose values sum to a constant, so that its gradient is 0 but for rounding errors, and those are what was
    published. And it takes the layers with 128 outputs or more, which at the one width that it measures are these.

    References:
        Serianni & Kalita, "Training-free neural architecture search for RNNs and Transformers", ACL 2023,
        arXiv:2306.00288; `head_importance` in `BERT_metrics.ipynb` of
        github.com/aaronserianni/training-free-nas.
        Michel, Levy & Neubig, "Are sixteen heads really better than one?", NeurIPS 2019, arXiv:1905.10650.

    Args:
        norm: Take the mean over layers in place of the sum.
    """

    unit = "logits"
    direction: Direction = "max"
    transform: Transform = "log10"
    needs = frozenset({"attention", "attention_gradients"})
    version = "1"
    inapplicable_reason = staticmethod(only_attention)

    def __init__(self, norm: bool = False) -> None:
        self._norm = norm

    def __call__(self, candidate: Candidate) -> float:
        """Score the candidate.

        Raises:
            ValueError: The outputs depend on no such weight.
            ArithmeticError: A gradient is not finite.
        """
        weights = (candidate.attention_gradients[name] for name in candidate.attention.roles.heads)
        return total([float((one.value * one.gradient).abs().sum(dtype=torch.double)) for one in weights], self._norm)

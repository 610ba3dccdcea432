"""Softmax confidence: how far the heads of attention differ in what they look at."""

from __future__ import annotations

from nasctl.api import Candidate, Direction, Transform, only_attention, total

__all__ = ["SoftmaxConfidence"]


class SoftmaxConfidence:
    """The sum, over layers, of the mean weight of attention, of the largest among the heads at each pair of places.

    Fourier and cosine transforms have no such weights; in their place stand the outputs of each head after a softmax
    over its values, which the network itself does not use.

    The maximum is over heads because that is what the released code takes.

    References:
        Serianni & Kalita, "Training-free neural architecture search for RNNs and Transformers", ACL 2023,
        arXiv:2306.00288; `attention_condfidence` in `BERT_metrics.ipynb` of
        github.com/aaronserianni/training-free-nas.

    Args:
        norm: Take the mean over layers in place of the sum.
    """

    unit = "1"
    direction: Direction = "max"
    transform: Transform = "log10"
    needs = frozenset({"attention"})
    version = "1"
    inapplicable_reason = staticmethod(only_attention)

    def __init__(self, norm: bool = False) -> None:
        self._norm = norm

    def __call__(self, candidate: Candidate) -> float:
        """Score the candidate.

        Raises:
            ValueError: Every weight is 0.
            ArithmeticError: A weight is not finite.
        """
        return total(candidate.attention.softmaxes.values(), self._norm)

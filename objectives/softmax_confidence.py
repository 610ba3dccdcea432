"""Softmax confidence: largest attention weight among the heads, averaged over pairs of positions."""

from __future__ import annotations

from nasctl.api import Candidate, Direction, Transform, only_attention, total

__all__ = ["SoftmaxConfidence"]


class SoftmaxConfidence:
    """Sum over layers of the mean of the largest attention weight among the heads at each pair of positions.

    Fourier and cosine transforms have no attention weights. For them, the score uses the outputs of each head after a
    softmax over its features, which the network itself does not compute.

    The maximum is over heads because the released code takes it over heads.

    References:
        Serianni & Kalita, "Training-free neural architecture search for RNNs and Transformers", ACL 2023,
        arXiv:2306.00288; `attention_condfidence` in `BERT_metrics.ipynb` of github.com/aaronserianni/training-free-nas.

    Args:
        norm: Return the mean over layers instead of the sum.
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
            ValueError: The network has no attention weights, or every attention weight is 0.
            ArithmeticError: An attention weight is not finite.
        """
        return total(candidate.attention.softmaxes.values(), self._norm)

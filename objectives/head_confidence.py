"""Head confidence: mean maximum activation of attention projections over sequence positions."""

from __future__ import annotations

from nasctl.api import Candidate, Direction, Transform, only_attention, total

__all__ = ["HeadConfidence"]


class HeadConfidence:
    """Sum over projections of the maximum over positions, averaged over examples and features.

    Projections are the linear layers that produce queries, keys and values, the matrix between queries and keys where
    there is one, and the linear layers before Fourier and cosine transforms.

    Differences from the released code: it drops a tenth of the activations at random and pads texts to 512 tokens.

    References:
        Serianni & Kalita, "Training-free neural architecture search for RNNs and Transformers", ACL 2023,
        arXiv:2306.00288; `attention_condfidence` in `BERT_metrics.ipynb` of github.com/aaronserianni/training-free-nas.

    Args:
        norm: Return the mean over projections instead of the sum.
    """

    unit = "1"
    direction: Direction = "max"
    transform: Transform = "identity"
    needs = frozenset({"attention"})
    version = "1"
    inapplicable_reason = staticmethod(only_attention)

    def __init__(self, norm: bool = False) -> None:
        self._norm = norm

    def __call__(self, candidate: Candidate) -> float:
        """Score the candidate.

        Raises:
            ValueError: The network has no projections, or every maximum is 0.
            ArithmeticError: An activation is not finite.
        """
        return total(candidate.attention.confidences.values(), self._norm)

"""Head confidence: how far the largest value over a sequence lies from 0 in attention's projections."""

from __future__ import annotations

from nasctl.api import Candidate, Direction, Transform, only_attention, total

__all__ = ["HeadConfidence"]


class HeadConfidence:
    """The sum, over projections, of the mean, over examples and values, of the maximum over places.

    Projections are the linear layers that make queries, keys and values, the matrix between queries and keys where
    there is one, and the layers before Fourier and cosine transforms.

    Departures: the code drops a tenth of the values at random, and pads texts to 512 tokens.

    References:
        Serianni & Kalita, "Training-free neural architecture search for RNNs and Transformers", ACL 2023,
        arXiv:2306.00288; `attention_condfidence` in `BERT_metrics.ipynb` of
        github.com/aaronserianni/training-free-nas.

    Args:
        norm: Take the mean over projections in place of the sum.
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
            ValueError: Every maximum is 0.
            ArithmeticError: An activation is not finite.
        """
        return total(candidate.attention.confidences.values(), self._norm)

"""Activation distance: how alike feed-forward layers treat the places of a sequence."""

from __future__ import annotations

from nasctl.api import Candidate, Direction, Transform, only_forward, total

__all__ = ["ActivationDistance"]


class ActivationDistance:
    """The sum, over activations of feed-forward layers, of ``c c^T + (1 - c) (1 - c)^T``, all entries of it.

    c is 1 for the units that are on, by the place in the first example of the batch, (T, units): the entries count the
    units that are alike for two places.

    Departure: the published column counts every activation once for each layer of all encoders that were measured
    before it, because the code adds hooks to an activation that all layers share and never removes them. Its normalised
    column is free of that.

    References:
        Serianni & Kalita, "Training-free neural architecture search for RNNs and Transformers", ACL 2023,
        arXiv:2306.00288; `activation_distance` in `BERT_metrics.ipynb` of
        github.com/aaronserianni/training-free-nas.
        Mellor et al., "Neural architecture search without training", ICML 2021, arXiv:2006.04647, which compares
        examples in place of places.

    Args:
        norm: Take the mean over activations in place of the sum.
    """

    unit = "units"
    direction: Direction = "max"
    transform: Transform = "log10"
    needs = frozenset({"attention"})
    version = "1"
    inapplicable_reason = staticmethod(only_forward)

    def __init__(self, norm: bool = False) -> None:
        self._norm = norm

    def __call__(self, candidate: Candidate) -> float:
        """Score the candidate.

        Raises:
            ValueError: There is no feed-forward layer.
            ArithmeticError: An activation is not finite.
        """
        return total(candidate.attention.agreements.values(), self._norm)

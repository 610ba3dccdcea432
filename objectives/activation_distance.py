"""Activation distance: similarity of feed-forward activation patterns between sequence positions."""

from __future__ import annotations

from nasctl.api import Candidate, Direction, Transform, only_forward, total

__all__ = ["ActivationDistance"]


class ActivationDistance:
    """Sum over feed-forward activations of all entries of ``c c^T + (1 - c) (1 - c)^T``.

    The matrix c, (T, units), is 1 where a unit is on at a position of the first example of the batch, and 0 elsewhere.
    A unit is on where the input of its activation is above 0. Each entry of the (T, T) matrix counts the units that
    have the same state at two positions.

    Difference from the released code: it registers hooks on one activation module that all layers share and never
    removes them. The published unnormalised column therefore counts each activation once per layer of every encoder
    measured earlier. The published normalised column is not affected.

    References:
        Serianni & Kalita, "Training-free neural architecture search for RNNs and Transformers", ACL 2023,
        arXiv:2306.00288; `activation_distance` in `BERT_metrics.ipynb` of github.com/aaronserianni/training-free-nas.
        Mellor et al., "Neural architecture search without training", ICML 2021, arXiv:2006.04647, which compares
        examples instead of positions.

    Args:
        norm: Return the mean over activations instead of the sum.
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
            ValueError: The network has no feed-forward layer.
            ArithmeticError: An activation is not finite.
        """
        return total(candidate.attention.agreements.values(), self._norm)

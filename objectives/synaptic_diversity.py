"""Synaptic diversity: how many directions attention's weights and their gradients have."""

from __future__ import annotations

import torch
from torch import Tensor

from nasctl.api import Candidate, Direction, Transform, only_attention, total

__all__ = ["SynapticDiversity"]


class SynapticDiversity:
    """The sum, over linear layers of attention, of the nuclear norm of the weights times that of their gradient.

    All linear layers of a block that mixes places count: projections, outputs, and what makes kernels of convolutions.

    The gradient is that of the sum of all logits. Departure: the code has that of the sum of the last hidden state. A
    layer norm comes last there, whose values sum to a constant, so that this gradient is 0 but for rounding errors, and
    those are what was published.

    References:
        Serianni & Kalita, "Training-free neural architecture search for RNNs and Transformers", ACL 2023,
        arXiv:2306.00288; `synaptic_diversity` in `BERT_metrics.ipynb` of
        github.com/aaronserianni/training-free-nas.
        Zhou et al., "Training-free transformer architecture search", CVPR 2022, arXiv:2203.12217.

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
        weights = (candidate.attention_gradients[name] for name in candidate.attention.roles.mixing)
        return total([_nuclear(one.value) * _nuclear(one.gradient) for one in weights], self._norm)


def _nuclear(matrix: Tensor) -> float:
    """The sum of all singular values."""
    return float(torch.linalg.svdvals(matrix).sum(dtype=torch.double))

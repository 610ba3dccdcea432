"""Synaptic diversity: rank of attention weights and of their gradients."""

from __future__ import annotations

import torch
from torch import Tensor

from nasctl.api import Candidate, Direction, Transform, only_attention, total

__all__ = ["SynapticDiversity"]


class SynapticDiversity:
    """Sum over attention layers of the nuclear norm of the weights times the nuclear norm of their gradient.

    Attention layers are all linear layers of a block that mixes positions: projections, output layers, and layers that
    produce the kernels of dynamic convolutions. The gradient is the gradient of the sum of all logits.

    Difference from the released code: it uses the gradient of the sum of the last hidden state. The last layer there is
    a layer norm, whose outputs sum to a constant. The gradient is therefore 0 up to rounding errors, and the published
    values consist of these rounding errors.

    References:
        Serianni & Kalita, "Training-free neural architecture search for RNNs and Transformers", ACL 2023,
        arXiv:2306.00288; `synaptic_diversity` in `BERT_metrics.ipynb` of github.com/aaronserianni/training-free-nas.
        Zhou et al., "Training-free transformer architecture search", CVPR 2022, arXiv:2203.12217.

    Args:
        norm: Return the mean over layers instead of the sum.
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
            ValueError: The network has no such weights, or the outputs depend on none of them.
            ArithmeticError: A gradient is not finite.
        """
        weights = (candidate.attention_gradients[name] for name in candidate.attention.roles.mixing)
        return total([_nuclear_norm(weight.value) * _nuclear_norm(weight.gradient) for weight in weights], self._norm)


def _nuclear_norm(matrix: Tensor) -> float:
    """Return the sum of all singular values."""
    return float(torch.linalg.svdvals(matrix).sum(dtype=torch.double))

"""Synaptic saliency: saliency of the feed-forward weights of a transformer."""

from __future__ import annotations

import torch

from nasctl.api import Candidate, Direction, Transform, only_forward, total

__all__ = ["SynapticSaliency"]


class SynapticSaliency:
    """Sum of ``|w * dR/dw|`` over the weights of feed-forward layers.

    Feed-forward layers are the linear layers before and after an activation. R is the sum of all logits.

    Difference from the released code: it takes R as the sum of the last hidden state. The last layer there is a layer
    norm, whose outputs sum to a constant. The gradient of R is therefore 0 up to rounding errors, and the published
    values consist of these rounding errors.

    References:
        Serianni & Kalita, "Training-free neural architecture search for RNNs and Transformers", ACL 2023,
        arXiv:2306.00288; `synaptic_saliency` in `BERT_metrics.ipynb` of github.com/aaronserianni/training-free-nas.
        Zhou et al., "Training-free transformer architecture search", CVPR 2022, arXiv:2203.12217.

    Args:
        norm: Return the mean over layers instead of the sum.
    """

    unit = "logits"
    direction: Direction = "max"
    transform: Transform = "log10"
    needs = frozenset({"attention", "attention_gradients"})
    version = "1"
    inapplicable_reason = staticmethod(only_forward)

    def __init__(self, norm: bool = False) -> None:
        self._norm = norm

    def __call__(self, candidate: Candidate) -> float:
        """Score the candidate.

        Raises:
            ValueError: The network has no such weights, or the outputs depend on none of them.
            ArithmeticError: A gradient is not finite.
        """
        weights = (candidate.attention_gradients[name] for name in candidate.attention.roles.forward)
        saliencies = [float((weight.value * weight.gradient).abs().sum(dtype=torch.double)) for weight in weights]
        return total(saliencies, self._norm)

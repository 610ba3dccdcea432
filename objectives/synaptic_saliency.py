"""Synaptic saliency: how much feed-forward weights matter to what a transformer puts out."""

from __future__ import annotations

import torch

from nasctl.api import Candidate, Direction, Transform, only_forward, total

__all__ = ["SynapticSaliency"]


class SynapticSaliency:
    """The sum of ``|w * dR/dw|`` over the weights of feed-forward layers, the linear layers around an activation.

    R is the sum of all logits. Departure: the code has the sum of the last hidden state. A layer norm comes last there,
    whose values sum to a constant, so that its gradient is 0 but for rounding errors, and those are what was published.

    References:
        Serianni & Kalita, "Training-free neural architecture search for RNNs and Transformers", ACL 2023,
        arXiv:2306.00288; `synaptic_saliency` in `BERT_metrics.ipynb` of
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
    inapplicable_reason = staticmethod(only_forward)

    def __init__(self, norm: bool = False) -> None:
        self._norm = norm

    def __call__(self, candidate: Candidate) -> float:
        """Score the candidate.

        Raises:
            ValueError: The outputs depend on no such weight.
            ArithmeticError: A gradient is not finite.
        """
        weights = (candidate.attention_gradients[name] for name in candidate.attention.roles.forward)
        return total([float((one.value * one.gradient).abs().sum(dtype=torch.double)) for one in weights], self._norm)

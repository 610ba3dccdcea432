"""Head importance: saliency of the projection weights of attention heads."""

from __future__ import annotations

import torch

from nasctl.api import Candidate, Direction, Transform, only_attention, total

__all__ = ["HeadImportance"]


class HeadImportance:
    """Sum of ``|w * dR/dw|`` over the weights of attention projections and of the inputs of dynamic convolutions.

    R is the sum of all logits.

    Differences from the released code: it takes R as the sum of the last hidden state. The last layer there is a layer
    norm, whose outputs sum to a constant. The gradient of R is therefore 0 up to rounding errors, and the published
    values consist of these rounding errors. The released code also selects layers with at least 128 outputs, which are
    the same layers at the one width that it measures.

    References:
        Serianni & Kalita, "Training-free neural architecture search for RNNs and Transformers", ACL 2023,
        arXiv:2306.00288; `head_importance` in `BERT_metrics.ipynb` of github.com/aaronserianni/training-free-nas.
        Michel, Levy & Neubig, "Are sixteen heads really better than one?", NeurIPS 2019, arXiv:1905.10650.

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
        weights = (candidate.attention_gradients[name] for name in candidate.attention.roles.heads)
        saliencies = [float((weight.value * weight.gradient).abs().sum(dtype=torch.double)) for weight in weights]
        return total(saliencies, self._norm)

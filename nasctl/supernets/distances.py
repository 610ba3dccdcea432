"""Distances of a network's outputs from those of its teacher."""

from __future__ import annotations

import re
from functools import lru_cache

import torch
from torch import Tensor

ALPHAS = (-1.0, 1.0)  # of the adaptive divergence

CLIP = 5.0  # largest inverse importance ratio unless a strategy says otherwise, as in the code of AlphaNet


@lru_cache
def ratio_limit(distance: str) -> float | None:
    """Return the largest inverse ratio of an alpha divergence: 5 of "alpha", 50 of "alpha50"; None for "kl".

    Raises:
        ValueError: The word is no distance.
    """
    if distance == "kl":
        return None
    if (found := re.fullmatch(r"alpha(\d+(?:\.\d+)?)?", distance)) is None or not float(found[1] or CLIP) >= 1:
        raise ValueError(distance)
    return float(found[1] or CLIP)


def distance_loss(outputs: Tensor, teacher: Tensor, distance: str) -> Tensor:
    """Return a loss, (), whose gradient lowers the mean distance of logits (N, K) from a teacher's logits (N, K).

    Args:
        outputs: Logits of the network, (N, K).
        teacher: Logits of the teacher, (N, K); no gradient reaches them.
        distance: "kl" for cross-entropy with the teacher's probabilities, or "alpha" for the adaptive
            alpha-divergence: for each example, the larger one of two divergences. The one of alpha 1 has the gradient
            of "kl". The one of alpha -1 grows where the network is sure and the teacher is not; the ratio of the
            network's to the teacher's probability counts up to 5, or to the number behind the word: "alpha1000".

    References:
        Hinton et al., "Distilling the knowledge in a neural network", arXiv:1503.02531. Wang et al., "AlphaNet:
        improved training of supernets with alpha-divergence", ICML 2021, arXiv:2102.07954, equations 8 and 9.
    """
    logarithms = outputs.float().log_softmax(1)
    probabilities = teacher.detach().float().softmax(1)
    limit = ratio_limit(distance)
    if limit is None:
        return -(probabilities * logarithms).sum(1).mean()
    own = logarithms.detach().exp()
    sizes, gradients = zip(*(_alpha(own, probabilities, logarithms, alpha, limit) for alpha in ALPHAS), strict=True)
    return torch.where(sizes[0] > sizes[1], gradients[0], gradients[1]).mean()


def _alpha(own: Tensor, teacher: Tensor, logarithms: Tensor, alpha: float, limit: float) -> tuple[Tensor, Tensor]:
    """Return the alpha-divergence of each example, (N,), and a loss with its gradient, (N,)."""
    if alpha == 1:
        return (teacher * (teacher.clamp(min=1e-30).log() - logarithms)).sum(1), -(teacher * logarithms).sum(1)
    ratio = teacher.clamp(min=1e-30) / own.clamp(min=1e-30)
    power, base = (ratio**alpha).clamp(max=limit), 1 / (alpha * (alpha - 1))
    size = (own * (power * base - base)).sum(1)
    return size, -(own * (power / alpha + base) * logarithms).sum(1)


__all__ = ["distance_loss", "ratio_limit"]

"""Distances of a network's outputs from those of its teacher."""

from __future__ import annotations

import re
from functools import lru_cache

import torch
from torch import Tensor

ALPHAS = (-1.0, 1.0)  # of the adaptive divergence

# Largest importance ratio, and largest power of one, unless a strategy says otherwise. The paper's code has 1,000:
# gradients of that size, which a confident teacher gives at first, would outweigh those of the step's other networks.
CLIP = 10.0


@lru_cache
def ratio_limit(distance: str) -> float | None:
    """Return the largest importance ratio of an alpha divergence: 10 of "alpha", 50 of "alpha50"; None for "kl".

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
            alpha-divergence, whose importance ratios are limited to 10, or to the number behind the word: "alpha1000".
            With K classes, a student that guesses and a sure teacher, the gradient of the right logit is about K
            divided by the limit times smaller than that of "kl", where K is above the limit.

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
    ratio = (teacher / own.clamp(min=1e-30)).clamp(max=limit)
    if alpha == 1:
        return (own * ratio * ratio.clamp(min=1e-30).log()).sum(1), -(own * ratio * logarithms).sum(1)
    power, base = (ratio.clamp(min=1e-30) ** alpha).clamp(max=limit), 1 / (alpha * (alpha - 1))
    size = (own * (power * base - base)).sum(1)
    return size, -(own * (power / alpha + base) * logarithms).sum(1)


__all__ = ["distance_loss", "ratio_limit"]

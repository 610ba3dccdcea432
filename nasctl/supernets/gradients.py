"""Gradients of a step: their sum over several processes, and the norm of what a pass has added."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from nasctl.training.events import Ranks


class StepSums(NamedTuple):
    """What all processes know of a step."""

    losses: Tensor  # mean of each pass, (passes,)
    correct: Tensor | None  # number of correct answers of the first pass, ()
    norms: list[float]  # mean of the norms of each pass
    wishes: Tensor  # sums of the wishes, (WISHES,)


def reduced(gradients: Sequence[Tensor], sums: StepSums, weight: Tensor, nominal: float, ranks: Ranks) -> StepSums:
    """Average gradients in place over all ranks by one sum of one flat tensor, and return losses and other facts.

    Args:
        gradients: Gradients of losses that count by `weight / nominal`.
        sums: The facts of this rank.
        weight: Denominator of this rank's mean losses, ().
        nominal: The usual sum of these denominators.
        ranks: The place of this process.
    """
    losses, correct = sums.losses, sums.correct
    none = torch.zeros_like(weight)
    facts = [losses.float() * weight, torch.stack([weight.float(), (none if correct is None else correct).float()])]
    # The gradient of a rank counts by its share of the batch, and so does its norm.
    facts += [losses.new_tensor(sums.norms).float() * (nominal / weight), sums.wishes.to(losses.device).float()]
    flat = torch.cat([*(one.flatten() for one in gradients), *facts])
    ranks.reduce(flat)
    start = sum(one.numel() for one in gradients)
    found = flat[start:].tolist()
    total = found[len(losses)]
    place = 0
    for one in gradients:
        one.copy_(flat[place : place + one.numel()].view_as(one) * (nominal / total))
        place += one.numel()
    right = None if correct is None else flat[start + len(losses) + 1]
    means = found[len(losses) + 2 : len(losses) + 2 + len(sums.norms)]
    averages = [one / ranks.world for one in means]
    return StepSums(flat[start : start + len(losses)] / total, right, averages, flat[-len(sums.wishes) :])


def gradients_of(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return copies of the gradients of tensors that have one."""
    return {name: one.grad.clone() for name, one in tensors.items() if one.grad is not None}


def norm_since(tensors: Mapping[str, Tensor], before: Mapping[str, Tensor]) -> float:
    """Return the norm of the gradient that was added since an earlier state."""
    total = 0.0
    for name, one in tensors.items():
        if one.grad is not None:
            added = one.grad - before[name] if name in before else one.grad
            total += float(added.square().sum())
    return math.sqrt(total)


__all__ = ["StepSums", "gradients_of", "norm_since", "reduced"]

"""The loss of a batch and its gradient with respect to the weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Weight(NamedTuple):
    """A parameter and the gradient of the loss with respect to it, of one shape."""

    value: Tensor
    gradient: Tensor


def module_loss(module: nn.Module, examples: Tensor, labels: Tensor) -> Tensor:
    """Return the cross-entropy of a module's outputs for a batch."""
    return cross_entropy(module(examples), labels)


def cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Return the mean cross-entropy over examples, or over all places if each place has a label."""
    return F.cross_entropy(logits.flatten(0, -2), labels.flatten())


def weight_gradients(loss: Tensor, weights: Mapping[str, Tensor]) -> dict[str, Weight]:
    """Return the gradients of the loss; weights that the loss does not depend on are left out."""
    if not weights:
        return {}
    parts = torch.autograd.grad(loss, list(weights.values()), allow_unused=True)
    reached = zip(weights.items(), parts, strict=True)
    return {name: Weight(weight.detach(), part) for (name, weight), part in reached if part is not None}

"""Masks that are searched on the frozen weights of a trained network: lottery jackpots.

Each weight of a pruned layer has a score. The weights of the largest scores are kept, and the gradient of the loss with
respect to the mask goes straight through to the scores. Weights, biases, and gains and shifts of norms stay as trained.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor
from torch.func import functional_call
from torch.nn.functional import cross_entropy

from nasctl.candidates.determinism import deterministic_torch
from nasctl.compression.packed_weights import kept_places
from nasctl.compression.trained_base import TrainedBase
from nasctl.networks.layer_kinds import batch_norms
from nasctl.networks.node import attribute_name
from nasctl.networks.sparse_layer import kept_number
from nasctl.training.batches import steps_per_epoch, train_batches
from nasctl.training.labelled import TrainingData

SwapSchedule = Literal["published", "shipped"]

SCHEDULES = get_args(SwapSchedule)

START, DROPPED = 1.0, 0.99  # initial scores of the weights that a mask by magnitude keeps, and of the others

EXPONENT = 4  # of the share of an epoch's swaps that the published schedule allows


@dataclass(frozen=True)
class MaskSearch:
    """How masks are searched.

    Attributes:
        epochs: Passes over the training part.
        schedule: Share of the swaps that a step may make: "published" lets it fall as (1 - epoch / epochs)^4, "shipped"
            allows all swaps, as the authors' program does, which rounds the share up.
        rate: Learning rate of the scores, which falls to 0 by a cosine over the epochs.
        batch: Images of a step.
        momentum: Momentum.
        weight_decay: Weight decay of the scores.
        seed: Seed of the order of the images.
    """

    epochs: int = 5
    schedule: SwapSchedule = "published"
    rate: float = 0.1
    batch: int = 64
    momentum: float = 0.9
    weight_decay: float = 5e-4
    seed: int = 0


def searched_masks(
    base: TrainedBase, sparsity: Mapping[str, float], data: TrainingData, asked: MaskSearch
) -> dict[str, Tensor]:
    """Return masks of the weights of some layers, bool in the shape of the weight, by the names of the layers.

    The result follows from the arguments alone; the search runs on one thread. Norms normalise by the statistics of
    each batch during the search, as in training.

    Differences from the authors' program: of equal scores, those of the first weights are kept, and layers other than
    convolutions are pruned if they are named. Images are not augmented.

    Args:
        base: The trained network.
        sparsity: Share of the weights that are zero, by the names of the layers.
        data: Labelled images, whose training part is learned from.
        asked: How masks are searched.

    References:
        Zhang et al., "Lottery jackpots exist in pre-trained models", IEEE TPAMI 45 (12), 2023, arXiv:2104.08700,
        section 3; `utils/conv_type.py` and `cifar.py` of github.com/zyxxmu/lottery-jackpots.
    """
    with deterministic_torch(1):
        return _searched(base, sparsity, data, asked)


@torch.enable_grad()  # the first candidate that needs the masks runs without gradients
def _searched(
    base: TrainedBase, sparsity: Mapping[str, float], data: TrainingData, asked: MaskSearch
) -> dict[str, Tensor]:
    module = base.module().requires_grad_(False)
    for part in module.modules():  # dropout and the like stay off
        part.training = isinstance(part, batch_norms())
    layers = {
        name: _ScoredLayer(base.state[f"{attribute_name(name)}.weight"].detach(), share)
        for name, share in sparsity.items()
    }
    steps = steps_per_epoch(data, asked.batch)
    scores = [layer.scores for layer in layers.values()]
    optimiser = torch.optim.SGD(scores, asked.rate, momentum=asked.momentum, weight_decay=asked.weight_decay)
    batches = train_batches(data, asked.batch, asked.seed, 0, 0)
    for epoch in range(asked.epochs):
        optimiser.param_groups[0]["lr"] = asked.rate * (1 + math.cos(math.pi * epoch / asked.epochs)) / 2
        share = 1.0 if asked.schedule == "shipped" else (1 - epoch / asked.epochs) ** EXPONENT
        for _, (pixels, labels) in zip(range(steps), batches, strict=False):
            weights = {f"{attribute_name(name)}.weight": layer.masked() for name, layer in layers.items()}
            outputs = functional_call(module, weights, (base.normalised(pixels),))
            optimiser.zero_grad()
            cross_entropy(outputs, labels).backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            for layer in layers.values():
                layer.swap(share)
    return {name: layer.mask.bool() for name, layer in layers.items()}


class _ScoredLayer:
    """The weights of a layer with their scores and their mask.

    Args:
        weight: The weights, which stay as they are.
        sparsity: Share of the weights that are zero.
    """

    def __init__(self, weight: Tensor, sparsity: float) -> None:
        self._weight, self._kept = weight, kept_number(weight.numel(), sparsity)
        self.mask = torch.zeros(weight.numel())
        self.mask[kept_places(weight.abs(), self._kept)] = 1.0
        self.scores = torch.where(self.mask > 0, START, DROPPED).view(weight.shape).requires_grad_()
        self.mask = self.mask.view(weight.shape)

    def masked(self) -> Tensor:
        """Return the masked weights, whose gradient with respect to the scores is that with respect to the mask."""
        return self.mask * self._weight + (self.scores - self.scores.detach()) * self._weight

    @torch.no_grad()
    def swap(self, share: float) -> None:
        """Swap a share of the weights whose scores say so, those of the most extreme scores first.

        Args:
            share: The share of these swaps, which is rounded up.
        """
        scores, mask = self.scores.flatten(), self.mask.view(-1)
        wanted = torch.zeros_like(mask)
        wanted[kept_places(scores, self._kept)] = 1.0
        entering = (wanted > mask).nonzero().squeeze(1)
        leaving = (wanted < mask).nonzero().squeeze(1)
        number = math.ceil(len(entering) * share)
        best = torch.sort(scores[entering], descending=True, stable=True).indices[:number]
        worst = torch.sort(scores[leaving], stable=True).indices[:number]
        mask[entering[best]], mask[leaving[worst]] = 1.0, 0.0


__all__ = ["SCHEDULES", "MaskSearch", "SwapSchedule", "searched_masks"]

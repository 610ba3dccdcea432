"""The inputs and the loss of a batch for each task: classes, next words, masked words."""

from __future__ import annotations

import zlib
from math import log
from typing import NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from nasctl.networks.memory_layout import channels_last
from nasctl.training.augmentation import Augmentation
from nasctl.training.recipe import Recipe
from nasctl.training.streams import generator

EVALUATION = 2**64 - 1  # the step of the streams that evaluations draw from

LEFT, RANDOM = 0.1, 0.1  # shares of masked words that keep their word, and that become a random one


class Prepared(NamedTuple):
    """A batch as the module and the loss read it."""

    inputs: tuple[Tensor, ...]
    targets: Tensor  # labels (B,), mixed labels (B, 3), or words (N,) of the N places that count
    rows: Tensor | None = None  # the example of each place, (N,); None if there is one place for each example


class Learning(Protocol):
    """A task: the preparation of batches, and the loss."""

    words: bool  # True if each example has several places that count
    chance: float  # the loss of a module that has learnt nothing

    def training(self, given: Tensor, labels: Tensor, step: int) -> Prepared:
        """Return the rank's share of the batch of a step, with random changes that depend on the step alone."""
        ...

    def evaluation(self, given: Tensor, labels: Tensor) -> Prepared:
        """Return a batch without random changes."""
        ...

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return the mean training loss, ()."""
        ...

    def weight(self, targets: Tensor) -> Tensor:
        """Return the denominator of that mean, (), by which means of several ranks are weighted."""
        ...


class ClassLearning:
    """Classes of images by cross-entropy, with label smoothing, class weights and mixup.

    Args:
        recipe: The recipe.
        augmentation: Normalisation and augmentation of images.
        classes: Number of classes.
        counts: Examples of each class in the training part, (classes,); needed by balanced class weights.
        seed: Seed of the training.
        whole: Images of a batch of all ranks.
        rank: Number of the rank.
        world: Number of ranks.
        device: The device of the batches.
    """

    words = False

    def __init__(
        self,
        recipe: Recipe,
        augmentation: Augmentation,
        classes: int,
        counts: np.ndarray | None = None,
        *,
        seed: int = 0,
        whole: int | None = None,
        rank: int = 0,
        world: int = 1,
        device: torch.device | str = "cpu",
    ) -> None:
        self._recipe, self._augmentation = recipe, augmentation
        self._seed, self._whole, self._rank = seed, whole, rank
        # A rank's share begins after the shares of lower ranks, of which the first ones have the remainder.
        share, rest = divmod(whole or 0, world)
        self._first = rank * share + min(rank, rest)
        self.chance = log(max(2, classes))
        self._weights: Tensor | None = None
        if recipe.class_weights == "balanced" and counts is not None:
            # A class without an example has no weight, and weights have mean 1 over the examples.
            present = max(1, int((counts > 0).sum()))
            weights = np.where(counts > 0, counts.sum() / (present * np.maximum(counts, 1)), 0.0)
            self._weights = torch.tensor(weights, dtype=torch.float32, device=device)

    def training(self, given: Tensor, labels: Tensor, step: int) -> Prepared:
        images = self._augmentation.augmented(given, self._seed, step, self._first, self._whole)
        if self._recipe.mixup:
            images, labels = self._augmentation.mixed(images, labels, self._seed, step, self._rank)
        return Prepared((channels_last(images),), labels)

    def evaluation(self, given: Tensor, labels: Tensor) -> Prepared:
        return Prepared((channels_last(self._augmentation.plain(given)),), labels)

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        smoothing = self._recipe.smoothing
        if targets.ndim == 1:
            return cross_entropy(outputs, targets, self._weights, label_smoothing=smoothing)
        first, second = (
            cross_entropy(outputs, targets[:, k].long(), self._weights, reduction="none", label_smoothing=smoothing)
            for k in (0, 1)
        )
        return torch.lerp(first, second, targets[:, 2].to(first.dtype)).mean()

    def weight(self, targets: Tensor) -> Tensor:
        if self._weights is not None and targets.ndim == 1:
            return self._weights[targets].sum()
        return torch.tensor(float(len(targets)), device=targets.device)


class NextWordLearning:
    """The next word at each place of a row, by cross-entropy.

    Args:
        recipe: The recipe.
        vocabulary: Number of words.
    """

    words = True

    def __init__(self, recipe: Recipe, vocabulary: int) -> None:
        self._smoothing, self.chance = recipe.smoothing, log(max(2, vocabulary))

    def training(self, given: Tensor, labels: Tensor, step: int) -> Prepared:
        return self.evaluation(given, labels)

    def evaluation(self, given: Tensor, labels: Tensor) -> Prepared:
        rows = torch.arange(len(labels), device=labels.device).repeat_interleave(labels.shape[1])
        return Prepared((given,), labels.flatten(), rows)

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return cross_entropy(outputs.flatten(0, -2), targets, label_smoothing=self._smoothing)

    def weight(self, targets: Tensor) -> Tensor:
        return torch.tensor(float(len(targets)), device=targets.device)


class MaskedWordLearning:
    """Masked words, by cross-entropy at the masked places alone.

    In each row a share of the words is chosen. Of these, 80% become the mask, 10% a random word, 10% stay. The mask is
    the last number of the vocabulary, which stands for words without a number too; such words are never chosen. The
    choice follows from the row, the seed and the step alone, so it is the same for any number of ranks, and an
    evaluation always masks a row in the same way.

    Args:
        recipe: The recipe.
        vocabulary: Number of words.
        seed: Seed of the training.

    References:
        Devlin et al., NAACL 2019, arXiv:1810.04805, appendix A.1.
    """

    words = True

    def __init__(self, recipe: Recipe, vocabulary: int, seed: int = 0) -> None:
        self._share, self._smoothing, self._vocabulary, self._seed = recipe.masked, recipe.smoothing, vocabulary, seed
        self.chance = log(max(2, vocabulary))

    def training(self, given: Tensor, labels: Tensor, step: int) -> Prepared:
        return self._masked(labels, step)

    def evaluation(self, given: Tensor, labels: Tensor) -> Prepared:
        return self._masked(labels, EVALUATION)

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return cross_entropy(outputs, targets, label_smoothing=self._smoothing)

    def weight(self, targets: Tensor) -> Tensor:
        return torch.tensor(float(len(targets)), device=targets.device)

    def _masked(self, words: Tensor, step: int) -> Prepared:
        """Return the masked rows, the places and the words to find there."""
        rows, mask = words.cpu().numpy().copy(), self._vocabulary - 1
        chosen = np.zeros(rows.shape, bool)
        for k, row in enumerate(rows):
            draw = generator(self._seed, "masking", step, zlib.crc32(row.tobytes()))
            known = np.flatnonzero(row != mask)
            places = draw.permutation(known)[: max(1, round(self._share * len(row)))]
            kind, other = draw.random(len(places)), draw.integers(max(1, mask), size=len(places))
            chosen[k, places] = True
            row[places] = np.where(kind < LEFT, row[places], np.where(kind < LEFT + RANDOM, other, mask))
        places_of = torch.from_numpy(chosen)
        targets, index = words[places_of.to(words.device)], torch.from_numpy(np.nonzero(chosen)[0])
        moved = [one.to(words.device) for one in (torch.from_numpy(rows), places_of, index)]
        return Prepared((moved[0], moved[1]), targets, moved[2])


__all__ = ["ClassLearning", "Learning", "MaskedWordLearning", "NextWordLearning", "Prepared"]

"""Normalisation and random augmentation of batches of images, by kornia with counter-based random streams."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from nasctl.training.recipe import Recipe
from nasctl.training.streams import generator, seed_torch

if TYPE_CHECKING:
    from kornia.augmentation import RandomMixUpV2

UNSLICED = ("forward_input_shape",)  # parameters that kornia keeps for the batch, not for each image

FLOAT32 = 2  # the number of float32 among kornia's types


class Augmentation:
    """The changes that a recipe makes to the images of a batch: crop, flip, cutout and mixup.

    Parameters of crop, flip and cutout are drawn for the whole batch of all ranks, and each rank takes the rows of its
    own images. So an image is changed in the same way by any number of ranks. Mixup pairs the images of one rank.

    Args:
        recipe: The recipe.
        mean: Mean of each channel, in pixels from 0 to 255, (C,).
        deviation: Standard deviation of each channel, (C,).
        shape: Shape of an image, (C, H, W).
        device: The device of the batches.
    """

    def __init__(
        self,
        recipe: Recipe,
        mean: Sequence[float],
        deviation: Sequence[float],
        shape: Sequence[int],
        device: torch.device | str = "cpu",
    ) -> None:
        self._recipe, self._shape = recipe, tuple(shape)
        self._mean = torch.tensor(mean, dtype=torch.float32, device=device).view(1, -1, 1, 1)
        # A channel of one colour everywhere has deviation 0.
        self._deviation = torch.tensor(deviation, dtype=torch.float32, device=device).clamp(min=1e-6).view(1, -1, 1, 1)

    def plain(self, images: Tensor) -> Tensor:
        """Return normalised images, (B, C, H, W) float32, of pixels from 0 to 255."""
        return (images.float() - self._mean) / self._deviation

    def augmented(self, images: Tensor, seed: int, step: int, first: int = 0, whole: int | None = None) -> Tensor:
        """Return images, normalised and augmented, (B, C, H, W) float32.

        Args:
            images: Pixels of the rank's share of a batch, (B, C, H, W) uint8.
            seed: Seed of the training.
            step: Number of the step.
            first: Row of the first image in the batch of all ranks.
            whole: Images of the batch of all ranks; B if None.
        """
        found = self.plain(images)
        if not self._transforms:
            return found
        rows = slice(first, first + len(images))
        seed_torch(seed, "augmentation", step)
        for transform in self._transforms:
            drawn = transform.forward_parameters(torch.Size((whole or len(images), *found.shape[1:])))
            found = transform(found, params={k: v if k in UNSLICED else v[rows] for k, v in drawn.items()})
        return found

    def mixed(self, images: Tensor, labels: Tensor, seed: int, step: int, rank: int = 0) -> tuple[Tensor, Tensor]:
        """Return images mixed in pairs, (B, C, H, W), and their labels, (B, 3): first, second, share of the second."""
        draw = generator(seed, "mixing", step, rank)
        drawn = {
            "mixup_pairs": torch.from_numpy(draw.permutation(len(images))),
            "mixup_lambdas": torch.from_numpy(draw.beta(self._recipe.mixup, self._recipe.mixup, len(images))).float(),
            "batch_prob": torch.ones(len(images)),
            "forward_input_shape": torch.tensor(images.shape),
            "dtype": torch.tensor(FLOAT32),
        }
        found, mixed = self._mixup(images, labels, params=drawn)
        return found, mixed

    @cached_property
    def _mixup(self) -> RandomMixUpV2:
        from kornia.augmentation import RandomMixUpV2

        return RandomMixUpV2(p=1.0, data_keys=["input", "class"])

    @cached_property
    def _transforms(self) -> list[Any]:
        """The transforms of kornia, in the order in which they run."""
        recipe, (_, height, width) = self._recipe, self._shape
        padding, square = (round(share * min(height, width)) for share in (recipe.crop, recipe.cutout))
        if not padding and not square and not recipe.flip:
            return []
        import kornia.augmentation as transforms

        found: list[Any] = []
        if padding:
            found.append(transforms.RandomCrop((height, width), padding=padding))
        if recipe.flip:
            found.append(transforms.RandomHorizontalFlip())
        if square:
            area = square**2 / (height * width)
            found.append(transforms.RandomErasing(scale=(area, area), ratio=(1.0, 1.0), p=1.0))
        return found


__all__ = ["Augmentation"]

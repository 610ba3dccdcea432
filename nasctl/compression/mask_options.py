"""How weights or channels of a trained network are chosen, and the images that the choice needs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal, get_args

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from nasctl.compression.compressed_space import Given
from nasctl.compression.labelled_data import CALIBRATION_IMAGES, calibration_pixels
from nasctl.compression.mask_search import MaskSearch
from nasctl.compression.variant_accuracy import labelled_batches

MaskMethod = Literal["magnitude", "random", "snip", "synflow", "jackpot"]

METHODS = get_args(MaskMethod)  # names of the methods that choose weights

CALIBRATED = 128  # calibration images that are run at once


@dataclass(frozen=True)
class MaskOptions:
    """How weights or channels are chosen.

    Args:
        method: The method that scores weights, or "jackpot" for masks that are searched.
        seed: Seed of random scores, and of the order of images in a search of masks.
        recalibrate: Whether batch norms behind changed layers get the statistics of calibration images.
        draws: Number of random masks, of which that of least loss on calibration images is used.
        search: How masks are searched.
        folder: Folder of searched masks.
    """

    method: MaskMethod
    seed: int = 0
    recalibrate: bool = True
    draws: int = 1
    search: MaskSearch = field(default_factory=MaskSearch)
    folder: str = ""

    @property
    def by_sparsity(self) -> bool:
        """True if scores of weights or channels differ by the sparsity that is asked for."""
        return self.method == "jackpot" or (self.method == "random" and self.draws > 1)


def calibration_batches(given: Given, options: MaskOptions) -> list[Tensor]:
    """Return the normalised images that norms are recalibrated with, (B, C, H, W) each; none if they are not."""
    if not options.recalibrate:
        return []
    return list(torch.split(given.base.normalised(calibration_pixels(given.calibration)), CALIBRATED))


@torch.no_grad()
def best_seed(given: Given, options: MaskOptions, outputs: Callable[[int, Sequence[Tensor]], list[Tensor]]) -> int:
    """Return the seed of the random masks of least cross-entropy on 256 training images.

    Args:
        given: The network, and the data with the images.
        options: The seeds to try are `draws` numbers from `seed * draws` on.
        outputs: Returns the logits for each batch of images of the variant with the masks of a seed.

    References:
        Farahani, "Random search as a baseline for sparse neural network architecture search", 2024, arXiv:2403.08265,
        where weights are trained afterwards.
    """
    batches, labels = labelled_batches(given.base, given.calibration, "train", CALIBRATION_IMAGES)
    expected = torch.cat(labels)
    seeds = range(options.seed * options.draws, (options.seed + 1) * options.draws)
    return min(seeds, key=lambda seed: float(cross_entropy(torch.cat(outputs(seed, batches)), expected)))


def first_of_equal(numbers: Sequence[int]) -> tuple[int, ...]:
    """Return for each choice the first choice with the same number of kept weights or channels."""
    return tuple(numbers.index(one) for one in numbers)


__all__ = ["METHODS", "MaskMethod", "MaskOptions", "best_seed", "calibration_batches", "first_of_equal"]

"""The accuracy of variants of a trained network on validation images, as an objective measures it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from nasctl.candidates.setting import RecordedData, Setting
from nasctl.data import Data, LabelledImages
from nasctl.errors import BadOption, NasctlError
from nasctl.system.wording import plural

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from nasctl.candidates.candidate import Candidate
    from nasctl.compression.compressed_space import CompressedSpace, Evaluator
    from nasctl.compression.trained_base import TrainedBase
    from nasctl.data import Part
    from nasctl.problem.space import SearchSpace
    from nasctl.training.labelled import TrainingData

BATCH = 100  # images that are evaluated at once

# Raise it whenever the same choices give other weights, ranges or biases of quantised layers, or other exits.
QUANTIZER_VERSION = 3


@dataclass(frozen=True)
class VariantAccuracy:
    """The accuracy of variants of a trained network on validation images of the data of a search.

    Args:
        images: Validation images, spread evenly over the validation part; all are taken if there are fewer.
        split: Shares of the parts of the data, "0.8-0.1-0.1"; "" for those of the network's training, so that on the
            same data no image that it learned from is among the validation images.
        split_seed: Seed of the split; -1 for that of the network's training.
    """

    images: int
    split: str = ""
    split_seed: int = -1

    def __post_init__(self) -> None:
        if self.images < 1:
            raise BadOption(f"Cannot evaluate on {self.images} images. Give images=1 or more.")
        if self.split_seed < -1:
            raise BadOption(f"Cannot split by split_seed={self.split_seed}. Give 0 or more, or leave it out.")
        if self.split:
            from nasctl.training.split import Split

            Split.parse(self.split.replace("-", ","))

    @property
    def version(self) -> str:
        """Text that differs wherever values on the same data differ, also by a change of how layers are quantised."""
        seed = "" if self.split_seed < 0 else f"-{self.split_seed}"
        return f"{QUANTIZER_VERSION}-{self.split or 'own split'}{seed}-{self.images} images"

    def wrong_space(self, space: SearchSpace) -> str:
        """Return why the networks of a space have no accuracy before they are trained; "" if they are trained."""
        from nasctl.compression.compressed_space import CompressedSpace

        if isinstance(space, CompressedSpace):
            return ""
        return (
            "its networks are untrained; use accuracy@FILE.json with a fitted predictor, accuracy@NAME with a supernet,"
            " or trained, which trains them"
        )

    def wrong_setting(self, setting: Setting) -> str:
        """Return why accuracy cannot be measured in a setting, with a remedy; "" if it can."""
        if setting.device != "cpu":
            return f"variants of a trained network run on the CPU, not on {setting.device}. Leave --torch-device out."
        if isinstance(setting.data, LabelledImages):
            return ""
        return f"{setting.data} has no labelled images of the network's classes. Give them with --data."

    def setting_remarks(self, space: SearchSpace, setting: Setting) -> list[str]:
        """Return the accuracy of the given network on the images, how exact it is, and doubts about the images.

        Raises:
            NasctlError: The data is not at hand, has other classes, or cannot be split so.
        """
        from nasctl.compression.compressed_space import CompressedSpace, HasPreparation
        from nasctl.compression.learned_images import learned_doubts

        if not isinstance(space, CompressedSpace) or isinstance(setting.data, RecordedData):
            return []
        base, named = space.base, _Named(setting.data)
        data = _labelled(base, named, self.split, self.split_seed)
        waits = [space.preparation] if isinstance(space, HasPreparation) and space.preparation else []
        return [*_given_accuracy(base, *_images(base, named, self)), *waits, *learned_doubts(base, str(data))]

    def __call__(self, candidate: Candidate) -> float:
        """Return the accuracy of a candidate in per cent.

        Raises:
            NasctlError: The data is not at hand, has no labels or other classes, or a file has changed.
        """
        run, labels = self.evaluator(candidate)
        return 100 * _share(run(candidate.genome), labels)

    def evaluator(self, candidate: Candidate) -> tuple[Evaluator, list[Tensor]]:
        """Return the function that evaluates the variants of a candidate's space, and the labels of the images.

        Objectives with equal options share it.

        Raises:
            NasctlError: The data is not at hand, has no labels or other classes, or a file has changed.
        """
        from nasctl.compression.compressed_space import CompressedSpace

        space, data = candidate.space, candidate.setting.data
        if not isinstance(space, CompressedSpace):
            raise NasctlError(f"Cannot measure accuracy: {self.wrong_space(space)}.")
        if isinstance(data, RecordedData):
            raise NasctlError(f"Cannot read images of {data}: a record holds only the name. Give it with --data.")
        return _evaluator(space, _Named(data), self)


def _share(outputs: Sequence[Tensor], labels: Sequence[Tensor]) -> float:
    """Return the share of right answers."""
    right = sum(int((out.argmax(1) == one).sum()) for out, one in zip(outputs, labels, strict=True))
    return right / sum(map(len, labels))


def _given_accuracy(base: TrainedBase, batches: Sequence[Tensor], labels: Sequence[Tensor]) -> list[str]:
    """Return the accuracy of the given network, and a warning if it guesses."""
    import torch

    from nasctl.training.evaluation import accuracy_error

    module = base.module()
    with torch.no_grad():
        share = _share([module(batch) for batch in batches], labels)
    number = sum(map(len, labels))
    error = accuracy_error(share, number)
    said = [
        f"on {plural(number, 'validation image')} of --data; the given network has {100 * share:.1f}% there, standard"
        f" error \u00b1{100 * error:.1f} points"
    ]
    most = float(torch.cat(list(labels)).bincount().max()) / number
    if share > most + error:
        return said
    return [
        *said,
        f"Warning: always the same answer would have {100 * most:.1f}%, so the given network guesses; check the data,"
        " and MEAN, DEVIATION and CLASSES of a FILE.py",
    ]


def validation_batches(base: TrainedBase, data: TrainingData, images: int) -> tuple[list[Tensor], list[Tensor]]:
    """Return normalised validation images in batches, and their labels; see `labelled_batches`."""
    return labelled_batches(base, data, "validation", images)


def labelled_batches(
    base: TrainedBase, data: TrainingData, part: Part, images: int
) -> tuple[list[Tensor], list[Tensor]]:
    """Return normalised images in batches, (B, C, H, W) float32 each, and their labels, (B,) each.

    Args:
        base: The trained network.
        data: The data.
        part: The part of the data.
        images: Number of images, spread evenly over the part; all are taken if there are fewer.

    Raises:
        NasctlError: There are none.
    """
    import torch

    if not (size := data.size(part)):
        raise NasctlError(f"Cannot evaluate on {data}: it has no {part} images. Give a split with some.")
    chosen = np.linspace(0, size - 1, min(images, size)).astype(np.int64)
    pixels, labels = (torch.from_numpy(one) for one in data.examples(part, chosen))
    return list(torch.split(base.normalised(pixels), BATCH)), list(torch.split(labels, BATCH))


@dataclass(frozen=True, eq=False)
class _Named:
    """Data that is equal to other data of the same text."""

    data: Data

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Named) and str(self.data) == str(other.data)

    def __hash__(self) -> int:
        return hash(str(self.data))


@lru_cache(maxsize=2)
def _labelled(base: TrainedBase, named: _Named, split: str, seed: int) -> TrainingData:
    """Return the labelled images of data, split as asked."""
    from nasctl.compression.labelled_data import labelled_data

    return labelled_data(base, named.data, split.replace("-", ","), seed)


@lru_cache(maxsize=2)
def _images(base: TrainedBase, named: _Named, asked: VariantAccuracy) -> tuple[list[Tensor], list[Tensor]]:
    """Return normalised validation images in batches, and their labels."""
    return validation_batches(base, _labelled(base, named, asked.split, asked.split_seed), asked.images)


@lru_cache(maxsize=2)
def _evaluator(space: CompressedSpace, named: _Named, asked: VariantAccuracy) -> tuple[Evaluator, list[Tensor]]:
    """Return the function that evaluates the variants of a space, and the labels of the images."""
    batches, labels = _images(space.base, named, asked)
    return space.evaluator(batches), labels


__all__ = ["VariantAccuracy", "labelled_batches", "validation_batches"]

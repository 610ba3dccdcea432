"""Images with labels, by part, fitted to the input of a network."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Literal

import numpy as np

from nasctl.data import ImageContent, KnowsMirrorImages, LabelledImages, Part, Summarized, fitted, pixel_range
from nasctl.errors import NasctlError
from nasctl.training.duplicates import duplicate_notes
from nasctl.training.image_notes import image_notes
from nasctl.training.image_statistics import statistics
from nasctl.training.split import PARTS, Split

KEPT_BYTES = 256 * 2**20  # bytes of all images in 8 bits up to which they are kept in memory once they are decoded


@dataclass(frozen=True)
class LabelledPart:
    """The images of a part.

    Attributes:
        content: The images of a file or folder.
        indices: Indices of the images of the part, (N,) int64.
        labels: The classes of these images, (N,) int64.
    """

    content: ImageContent
    indices: np.ndarray
    labels: np.ndarray


@dataclass(frozen=True)
class ImageTrainingData:
    """Images with labels. Each is cropped in its middle to the proportions of the network's input, and resized.

    Attributes:
        identity: The text of the data.
        shape: The input of the network, (C, H, W).
        class_names: Names of the classes in the order of their labels.
        mean: Mean of each channel over a sample of the fitted training images, in units of pixels from 0 to 255.
        deviation: Standard deviation of each channel over the pixels of the same sample; 1 where it is 0.
        notes: Sentences for a user.
        mirrored_keeps_class: False if the data says that mirror images may be of another class.
    """

    task: ClassVar[Literal["classes"]] = "classes"

    identity: str
    shape: tuple[int, ...]
    class_names: tuple[str, ...] = field(compare=False)
    mean: tuple[float, ...] = field(compare=False)
    deviation: tuple[float, ...] = field(compare=False)
    notes: tuple[str, ...] = field(compare=False)
    _span: tuple[float, float] = field(compare=False, repr=False)  # the values that become 0 and 255
    _parts: Mapping[Part, LabelledPart] = field(compare=False, repr=False)
    _kept: dict[Part, tuple[np.ndarray, np.ndarray]] | None = field(default_factory=dict, compare=False, repr=False)
    mirrored_keeps_class: bool = field(default=True, compare=False)

    @classmethod
    def of(cls, data: LabelledImages, shape: tuple[int, ...], split: Split, seed: int) -> ImageTrainingData:
        """Return the images of labelled data.

        Args:
            data: The data.
            shape: The input of the network, (C, H, W).
            split: Shares of the parts that the data does not set apart.
            seed: The seed of the split, not negative.

        Raises:
            NasctlError: There are no labels, a part is empty, the images are far too small, or one cannot be decoded.
        """
        if len(shape) != 3:
            raise NasctlError(f"Cannot train on {data}: it is data of images, and the network takes none. Give a text.")
        given = data.image_parts()
        names = _class_names(data, given["train"])
        parts = _split(data, given, split, seed, len(names))
        span = pixel_range(given["train"])
        found = statistics(parts["train"].content, parts["train"].indices, shape, span)
        found.check(data, shape)
        notes = image_notes(names, {part: one.labels for part, one in parts.items()}, given, found, shape, span)
        notes += tuple(
            duplicate_notes(
                {part: one.content for part, one in parts.items()},
                {part: one.indices for part, one in parts.items()},
                {part: one.labels for part, one in parts.items()},
            )
        )
        identity = f"{data} split={split} seed={seed}"
        keeps = not isinstance(data, KnowsMirrorImages) or data.mirrored_keeps_class
        means = found.mean, found.deviation
        return cls(identity, tuple(shape), names, *means, notes, span, parts, mirrored_keeps_class=keeps)

    def __str__(self) -> str:
        return self.identity

    def __getstate__(self) -> dict[str, object]:
        return {**self.__dict__, "_kept": None}  # a worker decodes what it is asked for, and keeps nothing

    @property
    def in_memory(self) -> bool:
        """True if the images are arrays in memory, or are kept there in 8 bits once they are decoded."""
        return self._fits or all(_ready(one.content, self.shape) for one in self._parts.values())

    @property
    def _fits(self) -> bool:
        """True if all images take at most `KEPT_BYTES` in 8 bits."""
        return sum(map(self.size, PARTS)) * math.prod(self.shape) <= KEPT_BYTES

    def size(self, part: Part) -> int:
        """Return the number of images of a part."""
        return len(self._parts[part].indices)

    def class_counts(self, part: Part) -> np.ndarray:
        """Return the number of images of each class, (K,) int64."""
        return np.bincount(self._parts[part].labels, minlength=len(self.class_names))

    def examples(self, part: Part, indices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return images, (N, C, H, W) uint8, and their classes, (N,) int64; see `TrainingData`."""
        found = self._parts[part]
        if self._kept is None or not self._fits or _ready(found.content, self.shape):
            return self._decoded(part, indices), found.labels[indices]
        if part not in self._kept:
            images = np.empty((self.size(part), *self.shape), np.uint8)
            self._kept[part] = images, np.zeros(self.size(part), bool)
        images, known = self._kept[part]
        missing = np.unique(indices[~known[indices]])
        if len(missing):
            images[missing] = self._decoded(part, missing)
            known[missing] = True
        return images[indices], found.labels[indices]

    def _decoded(self, part: Part, indices: np.ndarray) -> np.ndarray:
        """Return images that are decoded now, (N, C, H, W) uint8."""
        found = self._parts[part]
        images = np.empty((len(indices), *self.shape), np.uint8)
        for place, picture in zip(images, found.content.pictures(found.indices[indices].tolist()), strict=True):
            place[:] = fitted(picture, self.shape, self._span)
        return images


def _ready(content: ImageContent, shape: tuple[int, ...]) -> bool:
    """Return whether images are in memory and need no resizing."""
    images = getattr(content, "images", None)
    return isinstance(images, np.ndarray) and images.shape[2:] == shape[1:]


def _class_names(data: LabelledImages, train: ImageContent) -> tuple[str, ...]:
    """Return the names of the classes.

    Raises:
        NasctlError: The data has no labels.
    """
    if train.labels is None:
        reason = train.summary.labels_from if isinstance(train, Summarized) else "the data has none"
        raise NasctlError(
            f"Cannot train on {data}: it has no labels ({reason}). Give a folder with a folder of images for"
            " each of two or more classes."
        )
    if isinstance(train, Summarized):
        return tuple(one.name for one in train.summary.classes)
    return tuple(map(str, range(int(train.labels.max()) + 1)))


def _split(
    data: LabelledImages, given: Mapping[Part, ImageContent], split: Split, seed: int, classes: int
) -> dict[Part, LabelledPart]:
    """Return the parts: those that the data sets apart as they are, and the others split from the training images.

    Raises:
        NasctlError: A part is empty or without labels, or a class has no training images.
    """
    train = given["train"]
    assert train.labels is not None
    found = split.without([part for part in given if part != "train"]).indices(train.labels, seed)
    parts = {part: LabelledPart(train, found[part], train.labels[found[part]]) for part in PARTS}
    for part, content in given.items():
        if part != "train":
            if content.labels is None:
                raise NasctlError(
                    f"Cannot train on {data}: its {part} images have no labels. Give some, or leave them out."
                )
            parts[part] = LabelledPart(content, np.arange(len(content)), content.labels)
    for part, one in parts.items():
        if not len(one.indices) and (part in given or split.share(part)):
            raise NasctlError(
                f"Cannot train on {data}: its {part} part is empty, {len(train):,} images split {split}. Give more"
                " images, or a larger share with --split."
            )
    counts = np.bincount(parts["train"].labels, minlength=classes)
    if not counts.all():
        raise NasctlError(f"Cannot train on {data}: class {int(counts.argmin())} has no training images. Give some.")
    return parts


__all__ = ["ImageTrainingData"]

"""Images of one size, in memory or in one array on disk."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from nasctl.data._array_file import ArrayFile
from nasctl.data._folders import quoted
from nasctl.data._protocols import Part
from nasctl.data._summary import DataSummary, ImageSizes, class_counts
from nasctl.errors import NasctlError

CHANNELS = {1: "grey", 3: "RGB"}


@dataclass(frozen=True)
class ImageArrays:
    """Images of one size, with labels if there are any.

    Attributes:
        images: (K, C, H, W) uint8 or float32, in memory or on disk.
        labels: Labels from 0, (K,) int64; None without labels, or if all images are of one class.
        name: Name of the file or folder, for the summary.
        class_names: Names of the classes in the order of their labels; the name of the class if there is one alone.
        labels_from: The origin of the labels; without labels, the reason.
        notes: Sentences about arrays and labels that are not used.
    """

    images: np.ndarray | ArrayFile
    labels: np.ndarray | None
    name: str = ""
    class_names: tuple[str, ...] | None = None
    labels_from: str = "the data"
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.images)

    @property
    def summary(self) -> DataSummary:
        """The summary of the images."""
        _, channels, height, width = self.images.shape
        modes = ((f"{CHANNELS.get(channels, channels)}, {self.images.dtype}", len(self)),)
        sizes = ImageSizes((width, height), (width, height), 1)
        counts = class_counts(self.class_names, self.labels)
        return DataSummary(self.name, len(self), counts, self.labels_from, sizes, modes, self.notes)

    @property
    def span(self) -> tuple[float, float]:
        """The lowest and the highest value, or 0 and 255 for uint8."""
        return value_range(self.images)

    def byte_sizes(self, indices: np.ndarray) -> np.ndarray:
        """Return the number of bytes of each image, (N,) int64."""
        return np.full(len(indices), math.prod(self.images.shape[1:]) * self.images.dtype.itemsize)

    def contents(self, indices: np.ndarray) -> Iterator[bytes]:
        """Yield the values of each image as bytes."""
        return (self.images[k].tobytes() for k in indices.tolist())

    def name_of(self, index: int) -> str:
        """Return the number of an image as its name."""
        return f"image {index}"

    def pictures(self, indices: Iterable[int]) -> Iterator[np.ndarray]:
        """Return the images, (C, H, W) each."""
        return (self.images[k] for k in indices)


def value_range(images: np.ndarray | ArrayFile) -> tuple[float, float]:
    """Return the lowest and the highest value, not finite if one is not; 0 and 255 for uint8."""
    if images.dtype == np.uint8 or 0 in images.shape:
        return 0.0, 255.0
    return images.range() if isinstance(images, ArrayFile) else (float(images.min()), float(images.max()))


def numbered(labels: Iterable[object]) -> np.ndarray | None:
    """Return labels numbered from 0 in their sorted order, (K,) int64; None if all of them are the same."""
    known, numbers = np.unique(np.array(list(labels)), return_inverse=True)
    return numbers.astype(np.int64) if len(known) > 1 else None


def aligned(images: ImageArrays, train: ImageArrays, part: Part) -> ImageArrays:
    """Return images of a part with labels in the numbering of the training images.

    Args:
        images: The images of the part, which have a class each.
        train: The training images.
        part: The name of the part.

    Raises:
        NasctlError: A class has no training images.
    """
    names = images.class_names or ()
    numbers = {name: k for k, name in enumerate(train.class_names or ())}
    if unknown := [name for name in names if name not in numbers]:
        raise NasctlError(
            f"Cannot use the {part} images of {images.name}: class {quoted(unknown)} has no training"
            " images. Add training images, or remove the class."
        )
    labels = np.zeros(len(images), np.int64) if images.labels is None else images.labels
    return replace(
        images, labels=np.array([numbers[name] for name in names], np.int64)[labels], class_names=tuple(numbers)
    )

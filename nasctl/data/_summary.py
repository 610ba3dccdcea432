"""A summary of data: images, classes, sizes, and everything in the files that is not used."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np

from nasctl.system.wording import plural

SHOWN_CLASSES = 4  # classes that are named before "and N more"

COLUMNS = 80  # width of a line


@dataclass(frozen=True, slots=True)
class ClassCount:
    """A class of a data set.

    Attributes:
        name: Name of the class, such as the name of its folder.
        images: Number of images with this label.
    """

    name: str
    images: int


@dataclass(frozen=True, slots=True)
class ImageSizes:
    """The sizes of images.

    Attributes:
        smallest: Width and height of the image with the fewest pixels.
        largest: Width and height of the image with the most pixels.
        distinct: Number of different sizes.
    """

    smallest: tuple[int, int]
    largest: tuple[int, int]
    distinct: int

    def __str__(self) -> str:
        small, large = ("x".join(map(str, size)) for size in (self.smallest, self.largest))
        return f"of {small} pixels" if self.distinct == 1 else f"of {self.distinct:,} sizes, {small} to {large} pixels"


@dataclass(frozen=True)
class DataSummary:
    """A summary of a data set, which the command line prints.

    Attributes:
        name: Name of the file or folder.
        images: Number of images.
        classes: The classes in the order of their labels; empty if labels are drawn at random.
        labels_from: The origin of the labels, such as "folders"; if they are drawn at random, the reason for it.
        sizes: The sizes of the images, where known.
        modes: Kinds of pixels, such as "RGB", each with its number of images, where known.
        notes: Sentences about files and labels that are skipped, joined or changed.
    """

    name: str
    images: int
    classes: tuple[ClassCount, ...] = ()
    labels_from: str = "the data has none"
    sizes: ImageSizes | None = None
    modes: tuple[tuple[str, int], ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def drawn(self) -> bool:
        """True if the data has no labels, so that labels are drawn at random."""
        return not self.classes

    def lines(self, width: int = COLUMNS) -> list[str]:
        """Return the summary as lines of text.

        Args:
            width: The most characters of a line, if its words allow it.
        """
        sizes = f" {self.sizes}" if self.sizes else ""
        modes = f" ({', '.join(self._modes())})" if self.modes else ""
        first = f"Data {self.name}: {plural(self.images, 'image')}{sizes}{modes}."
        wrapped = textwrap.TextWrapper(width, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False)
        return [line for sentence in (first, self._labels(), *self.notes) for line in wrapped.wrap(sentence)]

    def _modes(self) -> list[str]:
        if len(self.modes) == 1:
            return [self.modes[0][0]]
        return [f"{number:,} {mode}" for mode, number in self.modes]

    def _labels(self) -> str:
        """Return the sentence about classes and labels."""
        if self.drawn:
            return f"Labels are drawn at random, because {self.labels_from}."
        counts = [one.images for one in self.classes]
        more = len(self.classes) - SHOWN_CLASSES
        shown = self.classes[:SHOWN_CLASSES] if more > 1 else self.classes
        low, high = min(counts), max(counts)
        counted = low < high and more < 2  # each class with its number
        named = ", ".join(f"{one.name} ({one.images:,})" if counted else one.name for one in shown)
        numbers = f"{low:,} to {high:,} images" if low < high else plural(low, "image")
        each = "" if counted else f", {numbers} each"
        rest = f" and {more:,} more" if more > 1 else ""
        return f"{plural(len(counts), 'class', 'classes')} from {self.labels_from}{each}: {named}{rest}."


@runtime_checkable
class Summarized(Protocol):
    """Something that has a summary: data, or the content of a file."""

    @property
    def summary(self) -> DataSummary:
        """The summary of the data set."""
        ...


def class_counts(names: Sequence[str] | None, labels: np.ndarray | None) -> tuple[ClassCount, ...]:
    """Return the classes with their numbers of images; none without labels.

    Args:
        names: Names of the classes in the order of their labels; their numbers if None.
        labels: Labels from 0, (K,) int64.
    """
    if labels is None:
        return ()
    counts = np.bincount(labels).tolist()
    return tuple(map(ClassCount, names or map(str, range(len(counts))), counts))


__all__ = ["ClassCount", "DataSummary", "ImageSizes", "Summarized", "class_counts"]

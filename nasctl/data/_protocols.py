"""The protocols of data: values that give examples, and plug-in classes that read data from a path."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal, Protocol, runtime_checkable

import numpy as np

Kind = Literal["images", "tokens"]  # what the examples are

Part = Literal["train", "validation", "test"]  # a part of a data set that a network is trained or tested on


class Data(Protocol):
    """A source of examples; hashable, and equal to another source of the same identity.

    The text of a source, `str(source)`, is its identity: "noise", or "photos.zip#b5330deb" with the first digits of a
    digest. Measured values are filed under this text. The text does not depend on the place of a file.
    """

    def __hash__(self) -> int: ...


class ImageData(Data, Protocol):
    """A source of images."""

    @property
    def classes(self) -> int | None:
        """The number of classes that the labels tell apart; None without labels."""
        ...

    def images(
        self, shape: tuple[int, ...], number: int, seed: int, place: int = 0
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """Return a batch of images and their labels.

        Args:
            shape: (C, H, W).
            number: N.
            seed: The seed of the choice or the drawing of images, not negative.
            place: The number of the batch for that seed. Batches share no image while a file has enough images.

        Returns:
            Images, (N, C, H, W) float32 with mean 0 and standard deviation 1 in every channel, and labels, (N,) int64.
        """
        ...


@runtime_checkable
class TokenData(Data, Protocol):
    """A source of words, as numbers."""

    def tokens(self, vocabulary: int, length: int, number: int, seed: int, place: int = 0) -> np.ndarray:
        """Return rows of consecutive words, (N, T) int64 from 0 to `vocabulary` - 1.

        Args:
            vocabulary: V. Frequent words have small numbers.
            length: T.
            number: N.
            seed: The seed of the choice or the drawing of rows, not negative.
            place: The number of the batch for that seed.
        """
        ...


@runtime_checkable
class LabelledWords(Protocol):
    """Data of words that a network can be trained on."""

    def word_parts(self) -> Mapping[Part, np.ndarray]:
        """Return the words by part, in the order of the text, as numbers.

        Returns:
            "train": all words that the data does not set apart, (K,) int64; "validation" and "test": those that it sets
            apart, if there are any. Numbers from 0 stand for the same words in all parts.

        Raises:
            NasctlError: A part cannot be read.
        """
        ...


@runtime_checkable
class HasNotes(Protocol):
    """Data with sentences for a user, such as about files that are not used."""

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences for a user."""
        ...


@runtime_checkable
class KnowsMirrorImages(Protocol):
    """Data of images that says whether an image and its mirror image, left for right, are of one class."""

    @property
    def mirrored_keeps_class(self) -> bool:
        """Whether mirror images keep their class. Of digits and letters they do not."""
        ...


class DataPlugin(Protocol):
    """A data plug-in: a class, called with options alone to make data, unless it is a `DataFormat`."""

    kind: Kind


@runtime_checkable
class DataFormat(DataPlugin, Protocol):
    """A data plug-in that reads a file or folder: a class with the methods below as class methods."""

    accepted: str  # the paths that the format reads, such as "an .npz with `images` and `labels`"
    generic: bool  # a generic format is asked last, because it claims paths that other formats know more about

    def claims(self, path: Path) -> bool:
        """Return whether the format reads an existing path, judged by its name or by the names of its files."""
        ...

    def at(self, path: Path) -> Data:
        """Return the data at a path.

        Raises:
            NasctlError: The path cannot be read, or it holds no examples.
        """
        ...

"""Data with labels: examples for training, validation and test, by index."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from nasctl.data import Data, LabelledImages, LabelledWords, Part, check, source
from nasctl.errors import NasctlError
from nasctl.problem.space import Input
from nasctl.training.image_data import ImageTrainingData
from nasctl.training.recipe import TrainingTask
from nasctl.training.split import Split
from nasctl.training.word_data import WordTrainingData


class TrainingData(Protocol):
    """The examples of a training, by part. It can be pickled, and is equal to data of the same identity.

    The text, `str(data)`, is the identity: "photos#b5330deb split=0.8-0.1-0.1 seed=0".
    """

    @property
    def task(self) -> TrainingTask:
        """The task that the labels pose."""
        ...

    @property
    def class_names(self) -> tuple[str, ...] | None:
        """The names of the classes in the order of their labels; None for words."""
        ...

    @property
    def mean(self) -> tuple[float, ...]:
        """The mean of each channel over training images, in units of pixels from 0 to 255; () for words."""
        ...

    @property
    def deviation(self) -> tuple[float, ...]:
        """The standard deviation of each channel over training images, above 0; () for words."""
        ...

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences for a user: counts of classes, and files that are skipped or changed."""
        ...

    @property
    def in_memory(self) -> bool:
        """True if examples are ready in memory, so that worker processes gain nothing."""
        ...

    def __hash__(self) -> int: ...

    def size(self, part: Part) -> int:
        """Return the number of examples of a part: images, or rows of words."""
        ...

    def class_counts(self, part: Part) -> np.ndarray | None:
        """Return the number of examples of each class, (K,) int64; None for words."""
        ...

    def examples(self, part: Part, indices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return chosen examples and their labels.

        Args:
            part: The part.
            indices: Indices of examples of the part from 0, (N,) integers.

        Returns:
            Images, (N, C, H, W) uint8, and classes, (N,) int64; or words, (N, T) int64, and (N, T) int64: the words
            that follow them, or for masked words the words themselves.

        Raises:
            NasctlError: A file has vanished, or cannot be decoded.
        """
        ...


def training_data(
    name: str, input: Input, classes: int | None, split: str, seed: int, task: TrainingTask | None = None
) -> TrainingData:
    """Return the data that a user names, for the training of a network.

    Args:
        name: A path, or the name of a data plug-in such as `digits`, as for `nasctl.data.source`.
        input: The input of the network, which images are fitted to.
        classes: The number of outputs of the network; None if it is not yet known, or for next words.
        split: Shares of the parts, such as "0.8,0.1,0.1". Parts that the data itself sets apart are used as they are.
        seed: The seed of the split, not negative.
        task: The task; by default "classes" for images, and for words "next words" without `classes`, else "masked
            words".

    Raises:
        NasctlError: There is no such data, it has no labels or one class, a part is empty, the images are far smaller
            than the input, or the network has fewer outputs than the data has classes.
    """
    return training_data_of(source(name), input, classes, split, seed, task)


def training_data_of(
    data: Data, input: Input, classes: int | None, split: str, seed: int, task: TrainingTask | None = None
) -> TrainingData:
    """Return data that was opened already, for the training of a network; see `training_data`."""
    shares = Split.parse(split)
    check(data, input.kind)
    if input.kind == "tokens":
        words = task or ("next words" if classes is None else "masked words")
        if words == "classes" or not isinstance(data, LabelledWords):
            raise NasctlError(f"Cannot train on {data}: it is no text with labels. Give the path of a text.")
        return WordTrainingData.of(data, input.shape[0], input.vocabulary, words, shares)
    if task not in (None, "classes"):
        raise NasctlError(f"Cannot train on {data} for {task}: it is data of images. Give the path of a text.")
    if not isinstance(data, LabelledImages):
        raise NasctlError(
            f"Cannot train on {data}: its images have no labels. Give digits, or a folder with a folder of images for"
            " each class."
        )
    found = ImageTrainingData.of(data, input.shape, shares, seed)
    if classes is not None and len(found.class_names) > classes:
        raise NasctlError(
            f"Cannot train on {data}: it has {len(found.class_names)} classes, and the network {classes} outputs. Give"
            f" the space classes={len(found.class_names)}."
        )
    return found


__all__ = ["Part", "TrainingData", "training_data", "training_data_of"]

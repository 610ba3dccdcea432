"""Batches of examples with labels, kept in memory because all candidates of a run share them."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from nasctl.data._protocols import ImageData, TokenData
from nasctl.errors import NasctlError

BATCHES = 16  # batches kept of either kind; so many of 64 images of 224 by 224 pixels take 600 MB


@lru_cache(maxsize=BATCHES)
def batch(
    data: ImageData, shape: tuple[int, ...], classes: int, number: int, seed: int, place: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Return a batch of images with labels. The arrays are read-only, because candidates share them.

    If the data has no labels, the labels are drawn uniformly.

    Args:
        data: The source of the images.
        shape: (C, H, W).
        classes: The number of outputs of the network.
        number: N.
        seed: The seed of the choice or the drawing, not negative.
        place: The number of the batch for that seed.

    Returns:
        Images, (N, C, H, W) float32, and labels, (N,) int64.

    Raises:
        NasctlError: The network has fewer outputs than the data has classes, or the data cannot give such images.
    """
    if data.classes is not None and data.classes > classes:
        raise NasctlError(
            f"Cannot measure on {data}: it has {data.classes} classes, and the network {classes} outputs. Give the"
            f" space classes={data.classes}, or other data."
        )
    images, labels = data.images(shape, number, seed, place)
    if labels is None:
        labels = np.random.default_rng([seed, place, 1]).integers(classes, size=number)
    for array in (images, labels):
        array.flags.writeable = False
    return images, labels


@lru_cache(maxsize=BATCHES)
def sentences(
    data: TokenData, vocabulary: int, length: int, classes: int | None, number: int, seed: int, place: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Return a batch of rows of words with labels. The arrays are read-only, because candidates share them.

    Args:
        data: The source of the words.
        vocabulary: The number of words that the network knows.
        length: T.
        classes: The number of classes of labels that are drawn uniformly; if None, the labels are the next words.
        number: N.
        seed: The seed of the choice or the drawing, not negative.
        place: The number of the batch for that seed.

    Returns:
        Words, (N, T) int64, and labels: (N,) int64 of classes, or (N, T) int64 of next words.

    Raises:
        NasctlError: The data cannot give such rows.
    """
    words = data.tokens(vocabulary, length + (classes is None), number, seed, place)
    if classes is None:
        rows, labels = words[:, :-1], words[:, 1:]
    else:
        rows, labels = words, np.random.default_rng([seed, place, 1]).integers(classes, size=number)
    for array in (rows, labels):
        array.flags.writeable = False
    return rows, labels

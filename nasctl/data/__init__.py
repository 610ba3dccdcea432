"""The examples that metrics are computed on: drawn, or read from what a user has. Reading imports Pillow, not torch."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Protocol

import numpy as np

from nasctl.data.stored import ACCEPTED, Stored
from nasctl.data.synthetic import DeadLeaves, Noise
from nasctl.errors import NasctlError

__all__ = ["Data", "batch", "source"]

SYNTHETIC: dict[str, Data] = {"dead_leaves": DeadLeaves(), "noise": Noise()}


class Data(Protocol):
    """Where examples come from; hashable, and equal to another of the same identity.

    Its string is that identity, under which values are filed: "noise", or "photos.zip#b5330deb" with the beginning of
    a digest. It is the same wherever a file lies.
    """

    def __hash__(self) -> int: ...

    @property
    def classes(self) -> int | None:
        """How many classes its labels tell apart; None if it has no labels."""
        ...

    def images(
        self, shape: tuple[int, ...], number: int, seed: int, place: int = 0
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """Images, (N, C, H, W) float32 with mean 0 and standard deviation 1 in every channel, and labels, (N,) int64.

        Args:
            shape: (C, H, W).
            number: N.
            seed: Of the choice or the drawing of images, not negative.
            place: Which batch of that seed. Batches share no image while a file has enough.
        """
        ...


def source(text: str) -> Data:
    """The data that a user names: `dead-leaves`, `noise`, or the path of a file or folder.

    Raises:
        NasctlError: There is no such thing, or it holds no images that can be read.
    """
    drawn = SYNTHETIC.get(text.replace("-", "_"))
    if drawn is not None:
        return drawn
    path = Path(text).expanduser()
    if not path.exists():
        raise NasctlError(f"no data is called {text!r}; give dead-leaves, noise, or the path of {ACCEPTED}")
    return Stored.at(path)


# Every candidate of a run asks for the same few batches; so many of 64 images of 224 by 224 take 600 MB.
@lru_cache(maxsize=16)
def batch(
    data: Data, shape: tuple[int, ...], classes: int, number: int, seed: int, place: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Images, (N, C, H, W) float32, and labels, (N,) int64; read-only, because they are shared.

    Where the data has no labels they are drawn uniformly.

    Args:
        data: Where the images come from.
        shape: (C, H, W).
        classes: How many outputs the network has.
        number: N.
        seed: Of the choice or the drawing, not negative.
        place: Which batch of that seed.

    Raises:
        NasctlError: The network has fewer outputs than the data has classes, or the data cannot give such images.
    """
    if data.classes is not None and data.classes > classes:
        raise NasctlError(f"{data} has {data.classes} classes and the network only {classes} outputs; give other data")
    images, labels = data.images(shape, number, seed, place)
    if labels is None:
        labels = np.random.default_rng([seed, place, 1]).integers(classes, size=number)
    for array in (images, labels):
        array.flags.writeable = False
    return images, labels

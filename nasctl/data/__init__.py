"""The examples that metrics are computed on: drawn, or read from what a user has. Reading imports Pillow, not torch."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np

from nasctl.data import text
from nasctl.data.stored import ACCEPTED, Stored
from nasctl.data.synthetic import DeadLeaves, Noise, Words
from nasctl.errors import NasctlError

__all__ = ["Data", "Images", "TokenData", "batch", "check", "default_source", "sentences", "source"]

SYNTHETIC: dict[str, Data] = {"dead_leaves": DeadLeaves(), "noise": Noise(), "tokens": Words()}
GIVE = {
    "images": f"dead-leaves, noise, or the path of {ACCEPTED}",
    "tokens": f"tokens, or the path of a text ({', '.join(text.SUFFIXES)})",
}


class Data(Protocol):
    """Where examples come from; hashable, and equal to another of the same identity.

    Its string is that identity, under which values are filed: "noise", or "photos.zip#b5330deb" with the beginning of
    a digest. It is the same wherever a file lies.
    """

    def __hash__(self) -> int: ...


class Images(Data, Protocol):
    """Where images come from."""

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


@runtime_checkable
class TokenData(Data, Protocol):
    """Where words come from, as numbers."""

    def tokens(self, vocabulary: int, length: int, number: int, seed: int, place: int = 0) -> np.ndarray:
        """Rows of words that follow one another, (N, T) int64 from 0 to `vocabulary` - 1.

        Args:
            vocabulary: V; frequent words have small numbers.
            length: T.
            number: N.
            seed: Of the choice or the drawing of rows, not negative.
            place: Which batch of that seed.
        """
        ...


def source(name: str) -> Data:
    """The data that a user names: `dead-leaves`, `noise`, `tokens`, or the path of a file or folder.

    Raises:
        NasctlError: There is no such thing, or it holds nothing that can be read.
    """
    drawn = SYNTHETIC.get(name.replace("-", "_"))
    if drawn is not None:
        return drawn
    path = Path(name).expanduser()
    if not path.exists():
        raise NasctlError(
            f"no data is called {name!r}; give {GIVE['images']}; or, for a space of text, {GIVE['tokens']}"
        )
    return text.Text.at(path) if path.name.lower().endswith(text.SUFFIXES) else Stored.at(path)


def default_source(kind: str) -> Data:
    """The data of a space that takes "images" or "tokens", where nobody says what to take."""
    return SYNTHETIC["tokens" if kind == "tokens" else "dead_leaves"]


def check(data: Data, kind: str) -> None:
    """See whether data suits a space that takes "images" or "tokens".

    Raises:
        NasctlError: It does not.
    """
    if isinstance(data, TokenData) != (kind == "tokens"):
        other = "words" if isinstance(data, TokenData) else "images"
        raise NasctlError(f"{data} is data of {other}, and this space takes {kind}; give {GIVE[kind]} with --data")


# Every candidate of a run asks for the same few batches; so many of 64 images of 224 by 224 take 600 MB.
@lru_cache(maxsize=16)
def batch(
    data: Images, shape: tuple[int, ...], classes: int, number: int, seed: int, place: int = 0
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


@lru_cache(maxsize=16)
def sentences(
    data: TokenData, vocabulary: int, length: int, classes: int | None, number: int, seed: int, place: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Rows of words, (N, T) int64, and labels; read-only, because they are shared.

    Args:
        data: Where the words come from.
        vocabulary: How many words the network knows.
        length: T.
        classes: Of labels that are drawn uniformly, (N,) int64; if None, labels are the words that come next, (N, T).
        number: N.
        seed: Of the choice or the drawing, not negative.
        place: Which batch of that seed.

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

"""Images that a user has, in whatever form: which of them make a batch, how they are fitted and standardised."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Protocol

import numpy as np

from nasctl.errors import NasctlError

ACCEPTED = (
    "a folder or .zip of images by class, CIFAR as its site ships it (.tar.gz or the folder from it),"
    " or an .npz with `images` and `labels`"
)

SAMPLE = 512  # images that mean and standard deviation are taken of
BRIGHTNESS = np.array([0.299, 0.587, 0.114], np.float32)  # of red, green and blue, as JPEG has it (ITU-R BT.601)


class Content(Protocol):
    """What was found in a file or folder."""

    @property
    def labels(self) -> np.ndarray | None:
        """(K,) int64 from 0, one for each image; None if they tell nothing apart."""
        ...

    def __len__(self) -> int: ...

    def pictures(self, indices: Iterable[int]) -> Iterator[np.ndarray]:
        """These images, each (C, H, W) uint8 or float32, of its own size and with 1 or 3 channels."""
        ...


@dataclass(frozen=True)
class Stored:
    """Images in a file or folder.

    A batch is a piece of a random order of all images, and another order begins when too few are left. An image is
    cropped in its middle to the proportions asked for and resized, bicubically and without aliasing. Mean and standard
    deviation of a channel are those of up to 512 images, the same for every batch, at the size that the images have;
    every image counts the same. Grey images are repeated in every channel, and coloured ones turn grey for one channel.
    """

    name: str  # of the file or folder, without where it is
    digest: str  # the first eight hexadecimal digits
    path: Path = field(compare=False)

    @classmethod
    def at(cls, path: Path) -> Stored:
        """What lies there.

        Raises:
            NasctlError: It is not of a kind that can be read, or holds no images.
        """
        path = path.resolve()
        try:
            found = cls(path.name, _digest(path), path)
            if not len(_content(path, found.digest)):
                raise NasctlError(f"{path} holds no images; give {ACCEPTED}")
        except OSError as error:
            raise NasctlError(f"{path} cannot be read: {error}") from None
        return found

    def __str__(self) -> str:
        return f"{self.name}#{self.digest}"

    @property
    def classes(self) -> int | None:
        """How many classes the labels tell apart; None if there are no labels."""
        labels = _content(self.path, self.digest).labels
        return None if labels is None else int(labels.max()) + 1

    def images(
        self, shape: tuple[int, ...], number: int, seed: int, place: int = 0
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """Images, (N, C, H, W) float32, and their labels, (N,) int64, if there are any.

        Raises:
            NasctlError: There are fewer images than that, one cannot be decoded, or the channels do not fit.
        """
        content = _content(self.path, self.digest)
        if number > len(content):
            raise NasctlError(
                f"{self} has {len(content)} images, too few for a batch of {number}; give a smaller batch"
            )
        chosen = _order(len(content), number, seed, place)
        mean, deviation = _statistics(self.path, self.digest, shape[0])
        pictures = content.pictures(chosen)
        images = np.stack([_fitted(_recoloured(picture, shape[0]), *shape[1:]) for picture in pictures])
        return (images - mean) / deviation, None if content.labels is None else content.labels[chosen]


def _digest(path: Path) -> str:
    """Of what a file holds; of a folder, of the names and sizes of its files, because it may be very large."""
    if path.is_file():
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()[:8]
    from nasctl.data.pictures import files

    listing = "".join(f"{name}\0{(path / name).stat().st_size}\n" for name in files(path))
    return hashlib.sha256(listing.encode(errors="surrogateescape")).hexdigest()[:8]


# Outside the value that a run carries, so that copies of that stay small.
@lru_cache(maxsize=2)
def _content(path: Path, digest: str) -> Content:
    from nasctl.data import arrays, cifar, pictures  # only now, because of what they import

    if cifar.shipped(path):
        return cifar.read(path)
    if path.is_dir() or path.suffix.lower() == ".zip":
        return pictures.read(path)
    if path.suffix.lower() == ".npz":
        return arrays.read(path)
    raise NasctlError(f"{path} is of no kind that can be read; give {ACCEPTED}")


def _order(length: int, number: int, seed: int, place: int) -> np.ndarray:
    """The indices of a batch, (N,), none of them twice."""
    order, piece = divmod(place, length // number)
    shuffled = np.random.default_rng([seed, order]).permutation(length)
    return shuffled[piece * number : (piece + 1) * number]


@lru_cache(maxsize=4)
def _statistics(path: Path, digest: str, channels: int) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of every channel, (C, 1, 1) float32 each."""
    content = _content(path, digest)
    sample = np.random.default_rng(0).permutation(len(content))[:SAMPLE]
    moments = []
    for picture in content.pictures(sample):
        values = _recoloured(picture, channels).astype(np.float64)
        moments.append([values.mean(axis=(1, 2)), (values**2).mean(axis=(1, 2))])
    mean, square = np.mean(moments, axis=0)
    deviation = np.sqrt(np.maximum(square - mean**2, 0))
    deviation[deviation == 0] = 1  # a channel that says nothing stays at 0
    return mean.astype(np.float32)[:, None, None], deviation.astype(np.float32)[:, None, None]


def _recoloured(picture: np.ndarray, channels: int) -> np.ndarray:
    """An image with so many channels, (C, H, W)."""
    if len(picture) == channels:
        return picture
    if len(picture) == 1:
        return picture.repeat(channels, axis=0)
    if channels == 1:
        return np.tensordot(BRIGHTNESS, picture, 1)[None]
    raise NasctlError(f"the images have {len(picture)} channels and the network takes {channels}; give other data")


def _fitted(picture: np.ndarray, height: int, width: int) -> np.ndarray:
    """An image of that size, (C, H, W) float32."""
    from PIL import Image, ImageOps

    planes = (ImageOps.fit(Image.fromarray(plane), (width, height), Image.Resampling.BICUBIC) for plane in picture)
    return np.stack([np.asarray(plane, np.float32) for plane in planes])

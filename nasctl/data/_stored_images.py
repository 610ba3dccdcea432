"""Images in a file or folder: how they make a batch, and how they are fitted and standardised."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import ClassVar, Protocol, Self

import numpy as np

from nasctl.data._folders import ListedFile, list_folder
from nasctl.data._protocols import Kind
from nasctl.data._summary import DataSummary, Summarized, class_counts
from nasctl.errors import NasctlError

STATISTICS_SAMPLE = 512  # the most images that mean and standard deviation are computed from

LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # weights of red, green and blue, as in JPEG (ITU-R BT.601)


class ImageContent(Protocol):
    """The images of a file or folder, before they are fitted to a network.

    Content that also has a `summary` (`Summarized`) says more than the numbers of images and labels.
    """

    @property
    def labels(self) -> np.ndarray | None:
        """One label from 0 for each image, (K,) int64; None if all images have one label."""
        ...

    def __len__(self) -> int: ...

    def pictures(self, indices: Iterable[int]) -> Iterator[np.ndarray]:
        """Yield images, each (C, H, W) uint8 or float32, of its own size and with 1 or 3 channels."""
        ...


@dataclass(frozen=True)
class StoredImages(ABC):
    """Images in a file or folder. A plug-in is a subclass with `accepted`, `claims` and `read`.

    A batch is a piece of a random order of all images, and another order begins when too few images are left. An image
    is cropped in its middle to the requested proportions and resized, bicubically and without aliasing. Mean and
    standard deviation of a channel are computed from up to 512 images at their own size, every image with the same
    weight, and are the same for every batch. Grey images are repeated in every channel. Coloured images turn grey for
    one channel.
    """

    kind: ClassVar[Kind] = "images"
    generic: ClassVar[bool] = False
    accepted: ClassVar[str]

    name: str  # the name of the file or folder, without its place
    digest: str  # the first eight hexadecimal digits of a digest
    path: Path = field(compare=False)

    @classmethod
    @abstractmethod
    def claims(cls, path: Path) -> bool:
        """Return whether the format reads an existing path, judged by its name or by the names of its files."""

    @classmethod
    @abstractmethod
    def read(cls, path: Path) -> ImageContent:
        """Return the images at a path.

        Raises:
            NasctlError: The path cannot be read.
        """

    @classmethod
    def at(cls, path: Path) -> Self:
        """Return the data at a path.

        Raises:
            NasctlError: The path cannot be read, or it holds no images.
        """
        path = path.resolve()
        try:
            found = cls(path.name, cls._identity(path), path)
            if not len(found._content):
                raise NasctlError(f"{path} holds no images; give {cls.accepted}")
        except OSError as error:
            raise NasctlError(f"{path} cannot be read: {error}") from None
        return found

    def __str__(self) -> str:
        return f"{self.name}#{self.digest}"

    @classmethod
    def _identity(cls, path: Path) -> str:
        """Return the digest of the data at a path. It differs where an earlier version read the same file otherwise."""
        return digest_of(path)

    @property
    def _content(self) -> ImageContent:
        return _content(type(self), self.path, self.digest)

    @property
    def classes(self) -> int | None:
        """The number of classes that the labels tell apart; None without labels."""
        labels = self._content.labels
        return None if labels is None else int(labels.max()) + 1

    @property
    def class_names(self) -> tuple[str, ...] | None:
        """The names of the classes in the order of their labels; None without labels."""
        return tuple(one.name for one in self.summary.classes) or None

    @property
    def labels(self) -> np.ndarray | None:
        """One label from 0 for each image, (K,) int64; None without labels."""
        return self._content.labels

    @property
    def summary(self) -> DataSummary:
        """The images, classes and sizes that were found, and everything that is not used."""
        content = self._content
        if isinstance(content, Summarized):
            return content.summary
        return DataSummary(self.name, len(content), class_counts(None, content.labels), "the data")

    def images(
        self, shape: tuple[int, ...], number: int, seed: int, place: int = 0
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """Return images, (N, C, H, W) float32, and their labels, (N,) int64, if there are any.

        Raises:
            NasctlError: There are fewer images than that, an image cannot be decoded, the channels do not fit, or the
                network takes no images.
        """
        if len(shape) != 3:
            raise NasctlError(
                f"{self} is data of images, and the network takes {'x'.join(map(str, shape))} numbers; give noise"
            )
        content = self._content
        if number > len(content):
            raise NasctlError(
                f"{self} has {len(content)} images, too few for a batch of {number}; give a smaller batch"
            )
        return self.examples(shape, _batch_indices(len(content), number, seed, place))

    def examples(self, shape: tuple[int, ...], indices: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        """Return chosen images, (N, C, H, W) float32, standardised, and their labels, (N,) int64, if there are any.

        Args:
            shape: (C, H, W).
            indices: Indices of the images in the order of `labels`, (N,) integers.

        Raises:
            NasctlError: An image cannot be decoded, or the channels do not fit.
        """
        content = self._content
        mean, deviation = _statistics(self, self.path, shape[0])
        pictures = content.pictures(indices)
        images = np.stack([_resized(_recoloured(picture, shape[0]), *shape[1:]) for picture in pictures])
        return (images - mean) / deviation, None if content.labels is None else content.labels[indices]


def digest_of(path: Path, files: Sequence[ListedFile] | None = None) -> str:
    """Return a digest of a file's bytes, or of the names and sizes of a folder's files, which may be very large.

    Args:
        path: The file or folder.
        files: The files of the folder, if they are known.
    """
    if path.is_file():
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()[:8]
    known = list_folder(path).files if files is None else files
    listing = "".join(f"{file.key}\0{file.size}\n" for file in sorted(known, key=lambda file: file.key))
    return hashlib.sha256(listing.encode(errors="surrogateescape")).hexdigest()[:8]


def revised(digest: str, reading: str) -> str:
    """Return the digest of data that an earlier version read otherwise, so that no value of that reading is reused.

    Args:
        digest: The digest of the files.
        reading: The number of the reading.
    """
    return hashlib.sha256(f"{digest} {reading}".encode()).hexdigest()[:8]


# The content is kept outside the data, so that copies of the data for workers stay small.
@lru_cache(maxsize=2)
def _content(plugin: type[StoredImages], path: Path, digest: str) -> ImageContent:
    return plugin.read(path)


def _batch_indices(length: int, number: int, seed: int, place: int) -> np.ndarray:
    """Return the indices of a batch, (N,), without repetition."""
    order, piece = divmod(place, length // number)
    shuffled = np.random.default_rng([seed, order]).permutation(length)
    return shuffled[piece * number : (piece + 1) * number]


@lru_cache(maxsize=4)
def _statistics(data: StoredImages, path: Path, channels: int) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and standard deviation of every channel, (C, 1, 1) float32 each.

    The path is an argument because data at two paths may be equal, and one of the two may be gone.
    """
    content = data._content
    sample = np.random.default_rng(0).permutation(len(content))[:STATISTICS_SAMPLE]
    moments = []
    for picture in content.pictures(sample):
        values = _recoloured(picture, channels).astype(np.float64)
        moments.append([values.mean(axis=(1, 2)), (values**2).mean(axis=(1, 2))])
    mean, square = np.mean(moments, axis=0)
    deviation = np.sqrt(np.maximum(square - mean**2, 0))
    deviation[deviation == 0] = 1  # a constant channel stays at 0
    return mean.astype(np.float32)[:, None, None], deviation.astype(np.float32)[:, None, None]


def _recoloured(picture: np.ndarray, channels: int) -> np.ndarray:
    """Return an image with the given number of channels, (C, H, W).

    Raises:
        NasctlError: The network takes neither one channel nor the channels of the image.
    """
    if len(picture) == channels:
        return picture
    if len(picture) == 1:
        return picture.repeat(channels, axis=0)
    if channels == 1:
        return np.tensordot(LUMA, picture, 1)[None]
    raise NasctlError(f"the images have {len(picture)} channels and the network takes {channels}; give other data")


def _resized(picture: np.ndarray, height: int, width: int) -> np.ndarray:
    """Return an image cropped and resized to the given size, (C, H, W) float32."""
    from PIL import Image, ImageOps

    planes = (ImageOps.fit(Image.fromarray(plane), (width, height), Image.Resampling.BICUBIC) for plane in picture)
    return np.stack([np.asarray(plane, np.float32) for plane in planes])

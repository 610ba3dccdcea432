"""Images before and after they are fitted to a network, and the batches that metrics are computed on."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import ClassVar, Protocol, runtime_checkable

import numpy as np

from nasctl.data._decoding import ValueScale
from nasctl.data._protocols import Kind, Part
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
        """Yield images, each (C, H, W) uint8 or float32, of its own size and with 1 or 3 channels.

        Values are from 0 to 255, unless the content has a `span` (`HasSpan`).
        """
        ...


@runtime_checkable
class LabelledImages(Protocol):
    """Data of images that a network can be trained on."""

    def image_parts(self) -> Mapping[Part, ImageContent]:
        """Return the images by part.

        Returns:
            "train": all images that the data does not set apart; "validation" and "test": those that it sets apart, if
            there are any, with a label each. Labels have one numbering in all parts.

        Raises:
            NasctlError: A part cannot be read, or has a class without training images.
        """
        ...


@runtime_checkable
class HasSpan(Protocol):
    """Content whose values may have another range than 0 to 255."""

    @property
    def span(self) -> tuple[float, float]:
        """The lowest and the highest value of all images."""
        ...


@runtime_checkable
class HasBytes(Protocol):
    """Content whose images can be compared without being decoded."""

    def byte_sizes(self, indices: np.ndarray) -> np.ndarray:
        """Return the number of bytes of each image, (N,) int64. Equal images have equal numbers."""
        ...

    def contents(self, indices: np.ndarray) -> Iterator[bytes]:
        """Yield the bytes of each image."""
        ...

    def name_of(self, index: int) -> str:
        """Return a name of an image for a message."""
        ...


class ContentImages(ABC):
    """Images with labels, wherever they are kept.

    A batch is a piece of a random order of all images, and another order begins when too few images are left. An image
    is cropped in its middle to the requested proportions and resized, bicubically and without aliasing. Mean and
    standard deviation of a channel are computed from up to 512 images at their own size, every image with the same
    weight, and are the same for every batch. Grey images are repeated in every channel. Coloured images turn grey for
    one channel.
    """

    kind: ClassVar[Kind] = "images"

    name: str  # the name of the data, or of its file or folder without its place

    @property
    @abstractmethod
    def _content(self) -> ImageContent:
        """The images that metrics are computed on."""

    @property
    def _place(self) -> Path | None:
        """The file or folder of the images, if there is any."""
        return None

    def image_parts(self) -> Mapping[Part, ImageContent]:
        """Return the images by part, as in `LabelledImages`; by default no images are set apart."""
        return {"train": self._content}

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
                f"{self} has {len(content)} images, too few for a batch of {number}; give --fidelity"
                f" batch={len(content)} or less"
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
        mean, deviation = _statistics(self, self._place, shape[0])
        pictures = content.pictures(indices)
        images = np.stack([_resized(_recoloured(picture, shape[0]), *shape[1:]) for picture in pictures])
        return (images - mean) / deviation, None if content.labels is None else content.labels[indices]


def _batch_indices(length: int, number: int, seed: int, place: int) -> np.ndarray:
    """Return the indices of a batch, (N,), without repetition."""
    order, piece = divmod(place, length // number)
    shuffled = np.random.default_rng([seed, order]).permutation(length)
    return shuffled[piece * number : (piece + 1) * number]


@lru_cache(maxsize=4)
def _statistics(data: ContentImages, place: Path | None, channels: int) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and standard deviation of every channel, (C, 1, 1) float32 each.

    The place is an argument because data at two places may be equal, and one of the two may be gone.
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


def pixel_range(content: ImageContent) -> tuple[float, float]:
    """Return the values of content that stand for black and white.

    They are 0 and 1, 255, or 65535 if the values lie in one of these usual ranges, else the range of the values.
    """
    if not isinstance(content, HasSpan):
        return 0.0, 255.0
    scale = ValueScale.of_range("F", *content.span)
    return scale.low, scale.high


def fitted(picture: np.ndarray, shape: tuple[int, ...], span: tuple[float, float] = (0, 255)) -> np.ndarray:
    """Return an image fitted to a network as `ContentImages` does, in 8 bits, (C, H, W) uint8.

    Values are rounded, and clipped to 0 to 255.

    Args:
        picture: The image, (1 or 3, any height, any width) uint8 or float32.
        shape: (C, H, W).
        span: The values that become 0 and 255. Those of uint8 stay as they are.

    Raises:
        NasctlError: The network takes neither one channel nor the channels of the image.
    """
    if picture.dtype != np.uint8 and tuple(span) != (0, 255):
        picture = ((picture - span[0]) * (255 / ((span[1] - span[0]) or 1.0))).astype(np.float32)
    picture = _recoloured(picture, shape[0])
    if picture.shape[1:] != tuple(shape[1:]):
        picture = _resized(picture, *shape[1:])
    if picture.dtype == np.uint8:
        return picture
    rounded: np.ndarray = np.rint(picture.clip(0, 255)).astype(np.uint8)
    return rounded


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


__all__ = ["ContentImages", "ImageContent", "LabelledImages", "fitted", "pixel_range"]

"""Mean and standard deviation of training images, and how much they are enlarged."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nasctl.data import ImageContent, fitted
from nasctl.errors import NasctlError

SAMPLE = 1024  # the most training images that the statistics are computed from

ENLARGED_MOST = 8  # times per side that images may be enlarged


@dataclass(frozen=True)
class ImageStatistics:
    """Statistics of training images.

    Attributes:
        mean: Mean of each channel, in units of pixels from 0 to 255.
        deviation: Standard deviation of each channel over all pixels; 1 where it is 0.
        sampled: Number of images that all statistics are computed from.
        enlarged: Number of these images that are smaller than the input of the network.
        factor: Median over these images of the times that they are enlarged per side; below 1 if they shrink.
    """

    mean: tuple[float, ...]
    deviation: tuple[float, ...]
    sampled: int
    enlarged: int
    factor: float

    def check(self, data: object, shape: tuple[int, ...]) -> None:
        """Check that most images are not far smaller than the input of the network.

        Raises:
            NasctlError: Half of the images or more would be enlarged over eight times.
        """
        if self.factor > ENLARGED_MOST:
            side = int(max(shape[1:]) / self.factor)
            raise NasctlError(
                f"Cannot train on {data}: the images are {self.factor:.3g} times smaller per side than the network's"
                f" input of {shape[2]}x{shape[1]} pixels. Give a space of a smaller one, such as"
                f" SPACE:resolution={max(32, side)} where the space has this option."
            )


def statistics(
    content: ImageContent, indices: np.ndarray, shape: tuple[int, ...], span: tuple[float, float]
) -> ImageStatistics:
    """Return the statistics of up to 1,024 training images, as they are fitted to the input of a network.

    Args:
        content: The images of a file or folder.
        indices: Indices of the training images, (N,) int64.
        shape: The input of the network, (C, H, W).
        span: The values that become 0 and 255.

    Raises:
        NasctlError: An image cannot be decoded, or its values are far from the span.
    """
    sample = np.sort(np.random.default_rng(0).permutation(len(indices))[:SAMPLE])
    # Sums of whole numbers are exact, whatever their order.
    sums, squares = np.zeros((2, shape[0]), np.int64)
    factors = []
    for picture in content.pictures(indices[sample].tolist()):
        factors.append(max(shape[1] / picture.shape[1], shape[2] / picture.shape[2]))
        _check_values(picture, span)
        pixels = fitted(picture, shape, span).reshape(shape[0], -1).astype(np.int64)
        sums += pixels.sum(axis=1)
        squares += (pixels**2).sum(axis=1)
    number = len(sample) * shape[1] * shape[2]
    mean = sums / number
    deviation = np.sqrt(np.maximum(squares / number - mean**2, 0))
    deviation[deviation < 1e-6] = 1  # a constant channel stays at 0
    return ImageStatistics(
        tuple(mean.tolist()),
        tuple(deviation.tolist()),
        len(sample),
        sum(factor > 1 for factor in factors),
        float(np.median(factors)),
    )


def _check_values(picture: np.ndarray, span: tuple[float, float]) -> None:
    """Check that values are not clipped.

    Raises:
        NasctlError: Values lie outside of the span.
    """
    if picture.dtype != np.uint8 and (picture.min() < span[0] - 1 or picture.max() > span[1] + 1):
        raise NasctlError(
            f"Cannot train on images with values from {picture.min():g} to {picture.max():g}: the data plug-in states"
            f" {span[0]:g} to {span[1]:g}. State the range of all values in its `span`."
        )


__all__ = ["ImageStatistics", "statistics"]

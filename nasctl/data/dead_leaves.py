"""Dead leaves: random images with the statistics of photographs."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from nasctl.data._protocols import Kind
from nasctl.data.noise import GaussianNoise

RADIUS_RATIO = 128  # the longer side of an image, which is the largest radius, over the smallest radius
PAINTED_PIXELS = 128  # the fewest pixels in the longer side of a painted image, before it is averaged down
LAYER_COVER = 3.0  # leaves over a point, on average, that are drawn at once
# The range of a channel's deviation over the range of the brightness. Channels correlate with 0.9; those of CIFAR-10
# correlate with 0.82 to 0.92.
HUE = 1 / 3


@dataclass(frozen=True)
class DeadLeaves:
    """Disks of every size that occlude one another, each with one colour.

    Radii have a density proportional to ``r ** -3``, so an image looks the same from every distance: its power falls
    with the square of the frequency and its edges are sharp, as in photographs. Centres are uniform. Leaves are laid
    one behind the other until every point is covered. An image is painted at least twice as large as requested, and at
    least 128 pixels large, and is then averaged down. Square images of one seed and place show the same scenes at every
    size.

    Departures from the paper, whose images are grey: a leaf's colour is a uniform brightness plus a uniform deviation
    of each channel a third as wide. The largest radius is the longer side of the image, the smallest 1/128 of it.

    Examples that are not (C, H, W), such as vectors, show no scene. For them the values are Gaussian noise.

    References:
        Lee, Mumford and Huang, "Occlusion models for natural images: a statistical study of a scale-invariant dead
        leaves model", International Journal of Computer Vision 41, 2001, section 3.
    """

    kind: ClassVar[Kind] = "images"
    classes: ClassVar[None] = None

    def __str__(self) -> str:
        return "dead_leaves"

    def images(self, shape: tuple[int, ...], number: int, seed: int, place: int = 0) -> tuple[np.ndarray, None]:
        """Return images, (N, C, H, W) float32, standardised over all N images, and no labels."""
        if len(shape) != 3:
            return GaussianNoise().images(shape, number, seed, place)
        rng = np.random.default_rng([seed, place])
        channels, height, width = shape
        images = np.stack([_image(one, channels, height, width) for one in rng.spawn(number)])
        images -= images.mean(axis=(0, 2, 3), keepdims=True)
        spread = images.std(axis=(0, 2, 3), keepdims=True)
        images /= np.where(spread > 0, spread, 1)  # a single leaf may fill one small image
        return images.astype(np.float32), None


def _image(rng: np.random.Generator, channels: int, height: int, width: int) -> np.ndarray:
    """Return one image, (C, H, W) float64."""
    times = max(2, -(-PAINTED_PIXELS // max(height, width)))
    visible, colours = _painted(rng, channels, height * times, width * times)
    painted = colours[:, visible].reshape(channels, height, times, width, times)
    averaged: np.ndarray = painted.mean(axis=(2, 4))
    return averaged


def _painted(rng: np.random.Generator, channels: int, height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the index of the visible leaf at every pixel, (H * W,), and the colours of all leaves, (C, number)."""
    largest = max(height, width)
    # Centres fall so far outside that the density of leaves is the same at the border and in the middle.
    field = np.array([[height], [width]]) + 2.0 * largest
    narrowing = 1 - RADIUS_RATIO**-2.0
    mean_area = 2 * math.pi * (largest / RADIUS_RATIO) ** 2 * math.log(RADIUS_RATIO) / narrowing
    number = math.ceil(LAYER_COVER * field.prod() / mean_area)
    visible = np.full(height * width, -1)
    colours: list[np.ndarray] = []  # (C, number) each
    while (visible < 0).any():  # from the front to the back
        # Radii are drawn by the inverse of their distribution function.
        radius = largest / RADIUS_RATIO / np.sqrt(1 - narrowing * rng.random(number))
        centre = field * rng.random((2, number)) - largest
        leaf, pixel = _pixels(centre, radius, height, width, visible < 0)
        layer = np.full_like(visible, -1)
        layer[pixel] = leaf + len(colours) * number  # of several leaves at one pixel, the last one is visible
        visible = np.where(visible < 0, layer, visible)
        colours.append(rng.random(number) + HUE * rng.random((channels, number)))
    return visible, np.concatenate(colours, axis=1)


def _pixels(
    centre: np.ndarray, radius: np.ndarray, height: int, width: int, bare: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the pixels of every disk: disk indices and pixel indices, (P,) each, in the order of the disks.

    Args:
        centre: (2, number), row and column.
        radius: (number,).
        height: H.
        width: W.
        bare: A mask of the pixels that are still to be covered, (H * W,). A row of a disk without any is left out.
    """
    disk, row = _integers_within(centre[0] - radius, centre[0] + radius, height)
    half = np.sqrt(np.maximum(radius[disk] ** 2 - (row - centre[0, disk]) ** 2, 0))
    first, size = _clipped(centre[1, disk] - half, centre[1, disk] + half, width)
    first += row * width
    bare_before = np.concatenate([[0], np.cumsum(bare)])
    useful = np.flatnonzero(bare_before[first + size] > bare_before[first])
    interval, pixel = _expanded(first[useful], size[useful])
    return disk[useful][interval], pixel


def _integers_within(low: np.ndarray, high: np.ndarray, end: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the integers from 0 to `end` - 1 within every interval: interval indices and integers."""
    return _expanded(*_clipped(low, high, end))


def _clipped(low: np.ndarray, high: np.ndarray, end: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the first integer from 0 to `end` - 1 within every interval, and the number of such integers."""
    first = np.clip(np.ceil(low), 0, end).astype(np.int64)
    last = np.clip(np.floor(high), -1, end - 1).astype(np.int64)
    return first, np.maximum(last - first + 1, 0)


def _expanded(first: np.ndarray, size: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return `size` consecutive integers from each `first`: interval indices and integers."""
    interval = np.repeat(np.arange(len(first)), size)
    offset = np.cumsum(size) - size
    return interval, np.arange(len(interval)) + (first - offset)[interval]


__all__ = ["DeadLeaves"]

"""Image files to pixels, in every format and mode that Pillow decodes by itself."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from io import BytesIO
from typing import TYPE_CHECKING, Literal

import numpy as np

if TYPE_CHECKING:
    from PIL import Image

# Formats that are asked first, because other formats recognise nothing at the beginning of a file.
COMMON = ("PNG", "JPEG", "BMP", "WEBP", "GIF", "PPM", "TIFF")

# Formats for which Pillow needs another program or a handler, and videos.
UNDECODED = frozenset({"EPS", "PDF", "MPEG", "WMF", "BUFR", "GRIB", "HDF5", "IPTC"})

DEEP = ("I;16", "I;16L", "I;16B", "I;16N")  # modes of 16 bits

SAMPLE_FORMAT = 339  # TIFF tag: 1, the default, for unsigned and 2 for signed integers

PHOTOMETRIC = 262  # TIFF tag: 0 if 0 is white

NOT_FINITE = "it has values that are not finite"

NEAR = 1e-3  # distance, in steps of 8 bits, within which a scaled value counts as a value of 8 bits


@dataclass(frozen=True, slots=True)
class ValueScale:
    """The affine map from the values of 32-bit images to values from 0 to 255.

    Attributes:
        low: The value that becomes 0.
        high: The value that becomes 255.
    """

    low: float = 0.0
    high: float = 1.0

    @classmethod
    def of_range(cls, mode: str, low: float, high: float) -> ValueScale:
        """Return the scale of a set of images of a mode, "I" or "F", whose values lie in a range.

        Values from 0 to 1 in "F", to 255 and to 65535 are taken as images in that usual range. Any other range becomes
        0 to 255 as it is.
        """
        if low >= 0:
            usual = (1.0, 255.0, 65535.0) if mode == "F" else (255.0, 65535.0)
            high = next((bound for bound in usual if high <= bound), high)
            return cls(0.0, high) if high in usual else cls(low, high)
        return cls(low, high)


@cache
def suffixes() -> frozenset[str]:
    """Return the lower-case suffixes of the image files that are read."""
    from PIL import Image

    return frozenset(suffix for suffix, name in Image.registered_extensions().items() if name in _formats()) | {".mpo"}


@cache
def _formats() -> tuple[str, ...]:
    """Return Pillow's names of the formats that are read; a file of another format may not pass by its suffix."""
    from PIL import Image

    known = set(Image.registered_extensions().values()) & set(Image.OPEN) - UNDECODED
    return (*(name for name in COMMON if name in known), *sorted(known.difference(COMMON)))


@contextmanager
def decoded(content: bytes) -> Iterator[DecodedImage]:
    """Decode an image file.

    Raises:
        Exception: Of any type, if Pillow cannot decode the file, or the image has over 89 million pixels.
    """
    from PIL import Image

    with warnings.catch_warnings():
        # Pillow warns about images that unpack to hundreds of megabytes, and refuses images of twice that size.
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        # Other warnings are about broken metadata, which are not read, and about formats that Pillow will drop.
        warnings.filterwarnings("ignore", category=UserWarning)
        warnings.filterwarnings("ignore", category=DeprecationWarning)
        with Image.open(BytesIO(content), formats=_formats()) as image:
            image.load()
            turned = _upright(image)
            values = None if (depth := _depth(image)) == "8" else _values(image, np.asarray(turned))
            yield DecodedImage(turned, image.mode, depth, turned is not image, _has_frames(image), values)


@dataclass(frozen=True, slots=True)
class DecodedImage:
    """A decoded image, and what matters to read it.

    Attributes:
        image: The image, after the EXIF orientation is applied.
        mode: Pillow's name of the mode.
        depth: The range of values: that of 8 or of 16 bits, or "I" or "F" if the mode does not tell it.
        turned: True if an EXIF orientation was applied.
        frames: True if the file has several frames or pages, of which the first counts.
        values: The values of an image of more than 8 bits, (H, W).
    """

    image: Image.Image
    mode: str
    depth: Literal["8", "16", "I", "F"]
    turned: bool
    frames: bool
    values: np.ndarray | None

    def span(self) -> tuple[float, float]:
        """Return the lowest and the highest value of an image of depth "I" or "F".

        Raises:
            ValueError: A value is not finite.
        """
        values = np.zeros(1) if self.values is None else self.values
        low, high = float(values.min()), float(values.max())
        if not math.isfinite(low + high):
            raise ValueError(NOT_FINITE)
        return low, high

    def pixels(self, scales: Mapping[str, ValueScale]) -> np.ndarray:
        """Return the pixels in red, green and blue, (3, H, W), as uint8, or as float32 from 0 to 255 if they are finer.

        Transparency and colour profiles are ignored. Values of more than 8 bits are scaled, not clipped. If all of them
        are values of 8 bits, they become exactly these.

        Args:
            scales: The scale of each of the depths "I" and "F".

        Raises:
            ValueError: A value is not finite.
        """
        if self.values is None:
            # Pillow makes colours of these modes only by way of the modes without "premultiplied" values.
            premultiplied = {"La": "LA", "RGBa": "RGBA"}.get(self.image.mode)
            image = self.image.convert(premultiplied) if premultiplied else self.image
            return np.asarray(image.convert("RGB")).transpose(2, 0, 1)
        scale = ValueScale(0.0, 65535.0) if self.depth == "16" else scales[self.depth]
        values = (self.values.astype(np.float64) - scale.low) * 255 / ((scale.high - scale.low) or 1.0)
        if not np.isfinite(values).all():
            raise ValueError(NOT_FINITE)
        whole = np.rint(values)
        is_8_bit = bool((np.abs(values - whole) < NEAR).all()) and whole.min() >= 0 and whole.max() <= 255
        grey = whole.astype(np.uint8) if is_8_bit else values.astype(np.float32)
        return np.stack([grey] * 3)


def _upright(image: Image.Image) -> Image.Image:
    """Return the image with its EXIF orientation applied; the image itself if it is upright or its EXIF is broken."""
    from PIL import ExifTags, ImageOps

    try:
        if image.getexif().get(ExifTags.Base.Orientation, 1) == 1:
            return image
        return ImageOps.exif_transpose(image)
    except Exception:  # the many types that broken metadata raise; the pixels are whole
        return image


def _depth(image: Image.Image) -> Literal["8", "16", "I", "F"]:
    """Return the range of the values of an image."""
    if image.mode in DEEP or (image.mode == "I" and image.format in ("PPM", "PNG")):  # where Pillow scales to 16 bits
        return "16"
    return "I" if image.mode == "I" else "F" if image.mode == "F" else "8"


def _values(image: Image.Image, values: np.ndarray) -> np.ndarray:
    """Return the values of an image of more than 8 bits as the file means them, (H, W).

    Pillow has no mode for unsigned integers of 32 bits, and does not invert TIFF images of 16 bits in which 0 is white.
    """
    tags = getattr(image, "tag_v2", {})
    if image.format == "TIFF" and image.mode == "I" and tags.get(SAMPLE_FORMAT, (1,))[0] == 1:
        return values.view(np.uint32)
    if image.format == "TIFF" and image.mode in DEEP and tags.get(PHOTOMETRIC) == 0:
        return 65535 - values
    return values


def _has_frames(image: Image.Image) -> bool:
    """Return whether the file has several frames or pages."""
    try:
        return bool(getattr(image, "is_animated", False))
    except Exception:  # a later frame is broken; the first one is whole
        return True


__all__ = ["DecodedImage", "ValueScale", "decoded", "suffixes"]

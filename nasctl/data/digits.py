"""The handwritten digits that scikit-learn contains: 1,797 grey images of 8x8 pixels."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from typing import ClassVar

from nasctl.data._content_images import ContentImages
from nasctl.data._image_arrays import ImageArrays

LARGEST = 16  # the largest value of a pixel in scikit-learn's array


@dataclass(frozen=True)
class Digits(ContentImages):
    """Handwritten digits of 43 writers, 1,797 grey images of 8x8 pixels in ten classes of 174 to 183 images.

    The values from 0 to 16 become 0 to 255.

    References:
        Alpaydin & Kaynak, "Optical recognition of handwritten digits", UCI Machine Learning Repository, 1998; the test
        set, as in `sklearn.datasets.load_digits`.
    """

    name: str = field(default="digits", init=False)
    mirrored_keeps_class: ClassVar[bool] = False

    def __str__(self) -> str:
        return "digits"

    @property
    def _content(self) -> ImageArrays:
        return _images()


@lru_cache(maxsize=1)
def _images() -> ImageArrays:
    import numpy as np
    from sklearn.datasets import load_digits  # type: ignore[import-untyped]

    found = load_digits()
    images = np.rint(found.images * (255 / LARGEST)).astype(np.uint8)[:, None]
    images.flags.writeable = False
    names = tuple(map(str, range(10)))
    return ImageArrays(images, found.target.astype(np.int64), "digits", names, "scikit-learn")


__all__ = ["Digits"]

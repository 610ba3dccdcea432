"""Images in an .npz file of arrays."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from nasctl.data._image_arrays import ImageArrays, numbered
from nasctl.data._stored_images import StoredImages
from nasctl.errors import NasctlError

IMAGES = ("images", "x_train", "x", "data")  # names of the array of images, the first that exists

LABELS = ("labels", "y_train", "y")  # names of the array of labels, the first that exists

LIMIT = 1 << 33  # bytes of all arrays, unpacked


class NpzImages(StoredImages):
    """Images in an .npz file of arrays, with integer labels if there are any."""

    accepted = "an .npz with `images` and `labels`"

    @classmethod
    def claims(cls, path: Path) -> bool:
        return path.suffix.lower() == ".npz" and not path.is_dir()

    @classmethod
    def read(cls, path: Path) -> ImageArrays:
        return read(path)


def read(path: Path) -> ImageArrays:
    """Return the images of an .npz, of shape (K, H, W, C), (K, C, H, W) or (K, H, W), and labels, (K,), if any.

    Nothing in the file is run: pickled objects are refused.

    Raises:
        NasctlError: The file is not an .npz, or the arrays have other shapes or types.
    """
    try:
        # NumPy would leave a broken file open that it opened itself.
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as file:
            if sum(entry.file_size for entry in file.zip.infolist()) > LIMIT:
                raise ValueError(f"it unpacks to over {LIMIT >> 30} GiB, too large")
            names = set(file.files)
            images, labels = (next((file[name] for name in known if name in names), None) for known in (IMAGES, LABELS))
            if not all(isinstance(found, np.ndarray | None) for found in (images, labels)):
                raise TypeError("a file in it is no array")  # for such a file NumPy returns bytes
    except Exception as error:  # NumPy, zipfile and four decoders raise many types
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise NasctlError(f"{path} cannot be read as an .npz of numbers ({reason})") from None
    if images is None:
        raise NasctlError(f"{path} has no array called {', '.join(IMAGES[:-1])} or {IMAGES[-1]}")
    images = _channels_first(path, _numbers(path, images))
    if labels is None:
        return ImageArrays(images, None)
    if labels.size != len(images) or labels.dtype.kind not in "iu":
        raise NasctlError(f"{path} needs one integer label for each of its {len(images)} images")
    return ImageArrays(images, numbered(labels.ravel()))


def _numbers(path: Path, images: np.ndarray) -> np.ndarray:
    """Return the images as uint8 or float32.

    Raises:
        NasctlError: The images are not finite numbers.
    """
    if images.dtype.kind not in "iuf":
        raise NasctlError(f"{path} has images of type {images.dtype}; give uint8 or float32")
    if images.dtype == np.uint8:
        return images
    images = images.astype(np.float32)
    if not np.isfinite(images).all():
        raise NasctlError(f"{path} has values that are not finite")
    return images


def _channels_first(path: Path, images: np.ndarray) -> np.ndarray:
    """Return the images as (K, C, H, W).

    Raises:
        NasctlError: The images have another shape.
    """
    if images.ndim == 3:
        return images[:, None]
    if images.ndim == 4 and images.shape[3] in (1, 3):
        return images.transpose(0, 3, 1, 2)
    if images.ndim == 4 and images.shape[1] in (1, 3):
        return images
    raise NasctlError(
        f"{path} has images of shape {images.shape}; give (K, H, W), (K, H, W, C) or (K, C, H, W) with 1 or 3 channels"
    )


__all__ = ["NpzImages"]

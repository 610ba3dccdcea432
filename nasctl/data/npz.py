"""Images in an .npz file of arrays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from zipfile import BadZipFile, ZipFile

import numpy as np

from nasctl.data._array_file import NEW_AXIS, ArrayFile
from nasctl.data._array_labels import class_of_each
from nasctl.data._content_images import ImageContent
from nasctl.data._image_arrays import ImageArrays, aligned, value_range
from nasctl.data._protocols import Part
from nasctl.data._stored_images import StoredImages, digest_of, revised
from nasctl.errors import NasctlError

# Names of the array of images, in lower case, the first that exists; of the array of labels likewise.
IMAGES = ("images", "x_train", "x", "data", "train_images", "train_x", "x_tr", "inputs", "imgs", "image", "arr_0")

LABELS = ("labels", "y_train", "y", "train_labels", "train_y", "y_tr", "targets", "target", "label", "arr_1")

# Names of arrays of images and of labels that are set apart, by part.
HELD_OUT: Mapping[Part, Sequence[str]] = {
    "validation": ("x_val", "x_valid", "x_validation", "val_images", "valid_images", "validation_images", "val_x"),
    "test": ("x_test", "test_images", "test_x", "x_te"),
}

HELD_OUT_LABELS: Mapping[Part, Sequence[str]] = {
    "validation": ("y_val", "y_valid", "y_validation", "val_labels", "valid_labels", "validation_labels", "val_y"),
    "test": ("y_test", "test_labels", "test_y", "y_te"),
}

READING = "2"  # changes whenever images or labels are read otherwise than before

FIRST_LABELS = ("labels", "y_train", "y")  # names of arrays of labels that the first version read

LIMIT = 1 << 33  # bytes of arrays that are loaded, unpacked

IN_MEMORY = 256 * 2**20  # bytes of images up to which they are loaded even if they can be read from disk

UNUSED = "Arrays that are not used: "  # the beginning of a note

UNCOMPRESSED = "save the images with numpy.savez, which does not compress, and they are read from disk"


class NpzImages(StoredImages):
    """Images in an .npz file of arrays, with a label for each image if there are any."""

    accepted = "an .npz with `images` and `labels`"

    @classmethod
    def claims(cls, path: Path) -> bool:
        return path.suffix.lower() == ".npz" and not path.is_dir()

    @classmethod
    def _identity(cls, path: Path) -> str:
        # The first version drew labels where no array had one of three names.
        names = _names(path)
        label = next((name for name in map(names.get, LABELS) if name), None)
        return digest_of(path) if label in (None, *FIRST_LABELS) else revised(digest_of(path), READING)

    @classmethod
    def read(cls, path: Path) -> ImageArrays:
        return read(path)

    @classmethod
    def read_held_out(cls, path: Path, train: ImageContent) -> Mapping[Part, ImageArrays]:
        assert isinstance(train, ImageArrays)
        found = {part: read_held_out(path, part, train) for part in HELD_OUT}
        return {part: images for part, images in found.items() if images is not None}

    def image_parts(self) -> Mapping[Part, ImageContent]:
        """Return the images by part, as in `LabelledImages`, with notes on the arrays that no part uses."""
        parts = dict(super().image_parts())
        train, names = parts["train"], _names(self.path)
        assert isinstance(train, ImageArrays)
        groups: list[Sequence[str]] = [IMAGES, LABELS]
        groups += [some[part] for part in parts if part != "train" for some in (HELD_OUT, HELD_OUT_LABELS)]
        used = {next((names[one] for one in known if one in names), None) for known in groups}
        unused = [name for name in names.values() if name not in used]
        notes = [note for note in train.notes if not note.startswith(UNUSED)]
        notes += [f"{UNUSED}{', '.join(unused)}."] if unused else []
        return {**parts, "train": replace(train, notes=tuple(notes))}


def _names(path: Path) -> dict[str, str]:
    """Return the names of the arrays of an .npz by their lower-case form; none if the file is broken."""
    try:
        with ZipFile(path) as archive:
            names = [name.removesuffix(".npy") for name in archive.namelist()]
    except (BadZipFile, ValueError, NotImplementedError):
        return {}
    return {name.lower(): name for name in reversed(names)}


def read(path: Path) -> ImageArrays:
    """Return the images of an .npz, of shape (K, H, W, C), (K, C, H, W) or (K, H, W), and one label each, if any.

    Nothing in the file is run: pickled objects are refused.

    Raises:
        NasctlError: The file is not an .npz, or the arrays have other shapes or types.
    """
    images, labels, used, unused = _arrays(path, IMAGES, LABELS)
    if images is None:
        raise NasctlError(f"{path} has no array called {', '.join(IMAGES[:-1])} or {IMAGES[-1]}")
    return _labelled(path, images, labels, used, [f"{UNUSED}{', '.join(unused)}."] if unused else [])


def read_held_out(path: Path, part: Part, train: ImageArrays) -> ImageArrays | None:
    """Return the images that an .npz sets apart for validation or test; None if there are none with labels.

    Args:
        path: The .npz.
        part: "validation" or "test".
        train: The other images.

    Raises:
        NasctlError: As for `read`, or a class has no training images.
    """
    images, labels, used, _ = _arrays(path, HELD_OUT[part], HELD_OUT_LABELS[part])
    if images is None or labels is None:
        return None
    return aligned(_labelled(path, images, labels, used, []), train, part)


def _arrays(
    path: Path, image_names: Sequence[str], label_names: Sequence[str]
) -> tuple[np.ndarray | ArrayFile | None, np.ndarray | None, str, list[str]]:
    """Return arrays of an .npz by their names, in lower case, the first that exists.

    Returns:
        The images and the labels, None if no array has such a name; the name of the labels; the names of the others.

    Raises:
        NasctlError: The file is not an .npz.
    """
    try:
        # NumPy would leave a broken file open that it opened itself.
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as file:
            sizes = {entry.filename.removesuffix(".npy"): entry.file_size for entry in file.zip.infolist()}
            names = {name.lower(): name for name in reversed(file.files)}
            used = [next((names[one] for one in known if one in names), None) for known in (image_names, label_names)]
            images: np.ndarray | ArrayFile | None = None
            if used[0] is not None and sizes.get(used[0], 0) > IN_MEMORY:
                images = ArrayFile.find(path, used[0])
            loaded = [name for name in (used[0] if images is None else None, used[1]) if name is not None]
            if sum(sizes.get(name, 0) for name in loaded) > LIMIT:
                raise ValueError(f"it unpacks to over {LIMIT >> 30} GiB, too large; {UNCOMPRESSED}")
            read = {name: file[name] for name in loaded}
            if not all(isinstance(found, np.ndarray) for found in read.values()):
                raise TypeError("a file in it is no array")  # for such a file NumPy returns bytes
            if images is None and used[0] is not None:
                images = read[used[0]]
            labels = None if used[1] is None else read[used[1]]
            return images, labels, used[1] or "", [name for name in file.files if name not in used]
    except MemoryError:
        raise NasctlError(f"Cannot read {path}: it does not fit into memory; {UNCOMPRESSED}.") from None
    except Exception as error:  # NumPy, zipfile and four decoders raise many types
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        if "allow_pickle" in reason:  # NumPy's advice, which is not followed here
            reason = "an array is of Python objects; save labels as integers or strings, images as numbers"
        raise NasctlError(f"{path} cannot be read as an .npz of numbers ({reason})") from None


def _labelled(
    path: Path, images: np.ndarray | ArrayFile, labels: np.ndarray | None, name: str, notes: list[str]
) -> ImageArrays:
    """Return images with their labels.

    Args:
        path: The .npz.
        images: The array of images.
        labels: The array of labels; None without labels.
        name: The name of the array of labels.
        notes: Sentences about the file.

    Raises:
        NasctlError: The arrays have other shapes or types.
    """
    images = _channels_first(path, _numbers(path, images))
    if labels is None:
        reason = "no array has a name such as labels or y"
        return ImageArrays(images, None, path.name, None, reason, tuple(notes))
    try:
        classes, known, remarks = class_of_each(labels, len(images))
    except ValueError as error:
        raise NasctlError(f"{path} has labels that cannot be used for its {len(images)} images: {error}") from None
    notes.extend(remarks)
    if len(known) < 2:
        reason = f"all images have the label {''.join(known)}" if len(images) else "there are no images"
        return ImageArrays(images, None, path.name, known, reason, tuple(notes))
    return ImageArrays(images, classes, path.name, known, f"array {name}", tuple(notes))


def _numbers(path: Path, images: np.ndarray | ArrayFile) -> np.ndarray | ArrayFile:
    """Return the images as uint8 or float32.

    Raises:
        NasctlError: The images are not finite numbers.
    """
    if images.dtype.kind not in "iufb":
        raise NasctlError(f"{path} has images of type {images.dtype}; give uint8 or float32")
    if images.dtype == np.uint8:
        return images
    if isinstance(images, np.ndarray):
        with np.errstate(over="ignore"):  # an overflow of float64 becomes infinite, and is refused
            images = images.astype(np.float32)
    if not np.isfinite(value_range(images)).all():
        raise NasctlError(f"{path} has values that are not finite")
    return images


def _channels_first(path: Path, images: np.ndarray | ArrayFile) -> np.ndarray | ArrayFile:
    """Return the images as (K, C, H, W).

    Raises:
        NasctlError: The images have another shape.
    """
    axes: Sequence[int] = ()  # of an item
    if len(images.shape) == 3:
        axes = (NEW_AXIS, 0, 1)
    elif len(images.shape) == 4 and images.shape[3] in (1, 3):
        axes = (2, 0, 1)
    elif len(images.shape) == 4 and images.shape[1] in (1, 3):
        axes = (0, 1, 2)
    if axes:
        return images.with_axes(*axes) if isinstance(images, ArrayFile) else _with_axes(images, axes)
    raise NasctlError(
        f"{path} has images of shape {images.shape}; give (K, H, W), (K, H, W, C) or (K, C, H, W) with 1 or 3 channels"
    )


def _with_axes(images: np.ndarray, axes: Sequence[int]) -> np.ndarray:
    """Return images with the axes of an item in another order, among them a new one."""
    return images[:, None] if NEW_AXIS in axes else images.transpose(0, *(axis + 1 for axis in axes))


__all__ = ["NpzImages"]

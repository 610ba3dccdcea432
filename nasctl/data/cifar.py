"""CIFAR-10 and CIFAR-100 as their site ships them, in the pickled and the binary format; no pickle is ever loaded."""

from __future__ import annotations

import pickletools
import re
import tarfile
from collections.abc import Iterator, Mapping
from io import BytesIO
from pathlib import Path

import numpy as np

from nasctl.data._content_images import ImageContent
from nasctl.data._image_arrays import ImageArrays, aligned, numbered
from nasctl.data._protocols import Part
from nasctl.data._stored_images import StoredImages
from nasctl.errors import NasctlError
from nasctl.system import files

SHAPE = (3, 32, 32)  # channels, rows and columns of an image

IMAGE_BYTES = 3 * 32 * 32

TRAINING = re.compile(r"(data_batch_\d+|train)(\.bin)?")  # the names of files with training images

TEST = re.compile(r"(test_batch|test)(\.bin)?")  # the names of files with test images

ARCHIVES = (".tar", ".tar.gz", ".tgz")

LIMIT = 256 * 2**20  # bytes of an archive, unpacked, and of all its images; CIFAR's archives have up to 186 MB

OPERATIONS = 4_000_000  # operations of a pickle; CIFAR-100's pickle has some 300,000

LABELS = ("labels", "fine_labels")  # keys of the labels in a pickled dictionary

INTEGERS = ("BININT", "BININT1", "BININT2")  # operations of a pickle that push an integer


class Cifar(StoredImages):
    """The training images of CIFAR-10 or CIFAR-100, in an archive or in a folder unpacked from it."""

    accepted = "CIFAR as its site ships it (.tar.gz or the folder from it)"

    @classmethod
    def claims(cls, path: Path) -> bool:
        if path.is_dir():
            return bool(_files(path, TRAINING))
        return path.is_file() and path.name.endswith(ARCHIVES)

    @classmethod
    def read(cls, path: Path) -> ImageArrays:
        return read(path)

    @classmethod
    def read_held_out(cls, path: Path, train: ImageContent) -> Mapping[Part, ImageArrays]:
        assert isinstance(train, ImageArrays)
        found = read_files(path, TEST)
        return {} if found is None else {"test": aligned(found, train, "test")}


def read(path: Path) -> ImageArrays:
    """Return the training images with their labels, which are the fine labels for CIFAR-100.

    Raises:
        NasctlError: The path is no archive or folder with CIFAR's files, or a file is broken.
    """
    found = read_files(path, TRAINING)
    if found is None:
        raise NasctlError(
            f"{path} holds no training images of CIFAR-10 or CIFAR-100 (data_batch_1, train.bin, ...);"
            " unpack an archive of other images, and give the folder"
        )
    return found


def read_files(path: Path, pattern: re.Pattern[str]) -> ImageArrays | None:
    """Return the images of the files of some names with their labels; None if there are no such files.

    Raises:
        NasctlError: The path is no archive or folder with CIFAR's files, or a file is broken.
    """
    try:
        found = dict(_archived(path, pattern) if path.is_file() else _unpacked(path, pattern))
    except OSError as error:
        raise NasctlError(f"{path} cannot be read ({error.strerror or error})") from None
    except (tarfile.TarError, ValueError):  # ValueError comes from headers whose numbers are not numbers
        raise NasctlError(f"{path} is no tar archive, or a broken one") from None
    if not found:
        return None
    images, labels = [], []
    for name, content in sorted(found.items()):
        try:
            some = _binary(name, content) if name.endswith(".bin") else _pickled(content)
        except ValueError as error:  # pickletools raises it too
            raise NasctlError(f"{name} in {path} is not as CIFAR's site ships it ({error})") from None
        images.append(some[0])
        labels.append(some[1])
    known = np.concatenate(labels)
    names = tuple(map(str, np.unique(known)))
    origin = "the archive" if len(names) > 1 else f"all images have the label {names[0]}"
    pixels = np.concatenate(images).reshape(-1, *SHAPE)
    return ImageArrays(pixels, numbered(known), path.name, names, origin)


def _files(folder: Path, pattern: re.Pattern[str]) -> list[Path]:
    """Return the files in a folder whose names match a pattern."""
    return [path for path in folder.iterdir() if pattern.fullmatch(path.name) and path.is_file()]


def _unpacked(folder: Path, pattern: re.Pattern[str]) -> Iterator[tuple[str, bytes]]:
    """Yield the name and the content of each file in a folder whose name matches a pattern."""
    return ((path.name, files.read(path, LIMIT)) for path in _files(folder, pattern))


def _archived(path: Path, pattern: re.Pattern[str]) -> Iterator[tuple[str, bytes]]:
    """Yield the name and the content of each file in an archive whose name matches a pattern.

    Nothing is unpacked onto the disk. The unpacked size of the archive is bounded. So is the sum of the sizes that its
    headers state, because holes in a file take no space in the archive.
    """
    content, left = files.read(path, LIMIT), LIMIT
    if content.startswith(files.GZIP):
        content = files.unpacked(content, LIMIT)
    with tarfile.open(fileobj=BytesIO(content), mode="r:") as archive:
        for member in archive:
            name = member.name.rpartition("/")[2]
            stream = archive.extractfile(member) if pattern.fullmatch(name) and member.isfile() else None
            if stream is not None:
                if not 0 <= member.size <= left:
                    raise tarfile.ReadError
                left -= member.size
                yield name, stream.read()


def _binary(name: str, content: bytes) -> tuple[np.ndarray, np.ndarray]:
    """Return images, (K, 3072) uint8, and labels, (K,), of a file of records, each of labels and an image.

    Raises:
        ValueError: The file does not consist of whole records.
    """
    labels = 2 if name in ("train.bin", "test.bin") else 1  # CIFAR-100 has a coarse label before the fine label
    if not content or len(content) % (labels + IMAGE_BYTES):
        raise ValueError(f"{len(content)} bytes are no records of {labels + IMAGE_BYTES}")
    records = np.frombuffer(content, np.uint8).reshape(-1, labels + IMAGE_BYTES)
    return records[:, labels:], records[:, labels - 1]


def _pickled(content: bytes) -> tuple[np.ndarray, np.ndarray]:
    """Return images, (K, 3072) uint8, and labels, (K,), of a pickled dictionary; its operations are read and not run.

    The images are the longest string in the pickle. The labels are the integers between the key of the labels and the
    next string. Python 3 writes bytes as text to be encoded as "latin1", and writes that word after each text.

    Raises:
        ValueError: The pickle is broken, is too long, or has not one image for each label.
    """
    longest: str | bytes = b""
    labels: list[int] = []
    in_labels = False
    for count, (operation, argument, _) in enumerate(pickletools.genops(content)):
        if count > OPERATIONS:
            raise ValueError(f"it has more than {OPERATIONS:,} operations")
        if isinstance(argument, str | bytes) and operation.name != "GLOBAL":
            text = (
                argument.decode("latin-1") if isinstance(argument, bytes) and len(argument) < IMAGE_BYTES else argument
            )
            in_labels = text in LABELS or (in_labels and text == "latin1")
            longest = max(longest, argument, key=len)
        elif in_labels and operation.name in INTEGERS and isinstance(argument, int):
            labels.append(argument)
    data = longest.encode("latin-1") if isinstance(longest, str) else longest
    if not labels or len(data) != len(labels) * IMAGE_BYTES:
        raise ValueError(f"{len(data)} bytes of images and {len(labels)} labels")
    return np.frombuffer(data, np.uint8).reshape(-1, IMAGE_BYTES), np.array(labels)


__all__ = ["Cifar"]

"""CIFAR-10 and CIFAR-100 as their site ships them, in both formats; no pickle is ever loaded."""

from __future__ import annotations

import pickletools
import re
import tarfile
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import numpy as np

from nasctl.data.arrays import Arrays, compact
from nasctl.errors import NasctlError
from nasctl.system import files

SHAPE = (3, 32, 32)
BYTES = 3 * 32 * 32
TRAINING = re.compile(r"(data_batch_\d+|train)(\.bin)?")  # names of files with training images
ARCHIVES = (".tar", ".tar.gz", ".tgz")
LIMIT = 256 * 2**20  # bytes of an archive, unpacked, and of all its images; theirs have up to 186 MB
OPERATIONS = 4_000_000  # of a pickle; CIFAR-100's has some 300,000
LABELS = ("labels", "fine_labels")
INTEGERS = ("BININT", "BININT1", "BININT2")


def shipped(path: Path) -> bool:
    """Whether that is an archive of theirs by its name, or a folder with such files."""
    return path.name.endswith(ARCHIVES) if path.is_file() else bool(_paths(path))


def read(path: Path) -> Arrays:
    """The training images, and CIFAR-100's fine labels.

    Raises:
        NasctlError: It is no archive, holds no such files, or they are not as they should be.
    """
    try:
        found = dict(_archived(path) if path.is_file() else ((at.name, files.read(at, LIMIT)) for at in _paths(path)))
    except OSError as error:
        raise NasctlError(f"{path} cannot be read ({error.strerror or error})") from None
    except (tarfile.TarError, ValueError):  # the latter of numbers in headers that are none
        raise NasctlError(f"{path} is no tar archive, or a broken one") from None
    if not found:
        raise NasctlError(f"{path} holds no training images of CIFAR-10 or CIFAR-100 (data_batch_1, train.bin, ...)")
    images, labels = [], []
    for name, content in sorted(found.items()):
        try:
            some = _binary(name, content) if name.endswith(".bin") else _pickled(content)
        except ValueError as error:  # what the reader of pickles raises too
            raise NasctlError(f"{name} in {path} is not as CIFAR's site ships it ({error})") from None
        images.append(some[0])
        labels.append(some[1])
    return Arrays(np.concatenate(images).reshape(-1, *SHAPE), compact(np.concatenate(labels)))


def _paths(folder: Path) -> list[Path]:
    """The files with training images in a folder."""
    return [path for path in folder.iterdir() if TRAINING.fullmatch(path.name) and path.is_file()]


def _archived(path: Path) -> Iterator[tuple[str, bytes]]:
    """The files with training images, by their own names; nothing is unpacked onto the disk.

    What the archive unpacks to is bounded, and so is what it says of its files, whose holes take no space in it.
    """
    content, left = files.read(path, LIMIT), LIMIT
    if content.startswith(files.GZIP):
        content = files.unpacked(content, LIMIT)
    with tarfile.open(fileobj=BytesIO(content), mode="r:") as archive:
        for member in archive:
            name = member.name.rpartition("/")[2]
            stream = archive.extractfile(member) if TRAINING.fullmatch(name) and member.isfile() else None
            if stream is not None:
                if not 0 <= member.size <= left:
                    raise tarfile.ReadError
                left -= member.size
                yield name, stream.read()


def _binary(name: str, content: bytes) -> tuple[np.ndarray, np.ndarray]:
    """Images, (K, 3072) uint8, and labels, (K,), of records of labels and an image."""
    labels = 2 if name == "train.bin" else 1  # CIFAR-100 has a coarse one before the fine one
    if not content or len(content) % (labels + BYTES):
        raise ValueError(f"{len(content)} bytes are no records of {labels + BYTES}")
    records = np.frombuffer(content, np.uint8).reshape(-1, labels + BYTES)
    return records[:, labels:], records[:, labels - 1]


def _pickled(content: bytes) -> tuple[np.ndarray, np.ndarray]:
    """Images, (K, 3072) uint8, and labels, (K,), of a pickled dictionary, whose operations are read and not run.

    The images are the longest string in it, and the labels are the integers after the name of the labels and before
    the next string. Python 3 writes bytes as text to be encoded as "latin1", and says so after each.
    """
    longest: str | bytes = b""
    labels: list[int] = []
    listing = False
    for count, (operation, argument, _) in enumerate(pickletools.genops(content)):
        if count > OPERATIONS:
            raise ValueError(f"it has more than {OPERATIONS:,} operations")
        if isinstance(argument, str | bytes) and operation.name != "GLOBAL":
            text = argument.decode("latin-1") if isinstance(argument, bytes) and len(argument) < BYTES else argument
            listing = text in LABELS or (listing and text == "latin1")
            longest = max(longest, argument, key=len)
        elif listing and operation.name in INTEGERS and isinstance(argument, int):
            labels.append(argument)
    data = longest.encode("latin-1") if isinstance(longest, str) else longest
    if not labels or len(data) != len(labels) * BYTES:
        raise ValueError(f"{len(data)} bytes of images and {len(labels)} labels")
    return np.frombuffer(data, np.uint8).reshape(-1, BYTES), np.array(labels)

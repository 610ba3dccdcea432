"""Arrays in an .npz file that stay on disk, and are read item by item."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from io import FileIO
from pathlib import Path
from typing import Any
from zipfile import ZIP_STORED, ZipFile

import numpy as np

from nasctl.errors import NasctlError

LOCAL_HEADER = struct.Struct("<4s5H3I2H")  # the header of a zip entry, which its name, extra field and bytes follow

SIGNATURE = b"PK\3\4"  # the first bytes of such a header

CHUNK = 64 * 2**20  # bytes that are read at once to find the range of an array

NEW_AXIS = -1  # in place of the number of an axis

Type = np.dtype[Any]


@dataclass(frozen=True)
class ArrayFile:
    """An array of numbers on disk. A copy for a worker is small.

    Attributes:
        path: The file.
        offset: The first byte of the numbers in the file.
        stored: The type of the numbers in the file.
        length: The number of items, K.
        item: The shape of an item in the file.
        axes: The axes of an item in the order in which they are returned; `NEW_AXIS` for one of
            length 1.
    """

    path: Path
    offset: int
    stored: Type = field(compare=False)
    length: int
    item: tuple[int, ...]
    axes: tuple[int, ...]

    @classmethod
    def find(cls, path: Path, name: str) -> ArrayFile | None:
        """Return an array of an .npz; None if it is compressed, is no array of numbers, or varies fastest over items.

        Args:
            path: The .npz.
            name: The name of the array.

        Raises:
            Exception: Of many types, if the file is no .npz or has no such array.
        """
        with ZipFile(path) as archive:
            entry = archive.getinfo(name if name in archive.namelist() else f"{name}.npy")
            if entry.compress_type != ZIP_STORED:
                return None
            with archive.open(entry) as stream:
                if np.lib.format.read_magic(stream) != (1, 0):
                    return None
                shape, fortran, dtype = np.lib.format.read_array_header_1_0(stream)
                header = stream.tell()
        with path.open("rb") as file:
            file.seek(entry.header_offset)
            signature, *_, name_length, extra_length = LOCAL_HEADER.unpack(file.read(LOCAL_HEADER.size))
        begin = entry.header_offset + LOCAL_HEADER.size + name_length + extra_length + header
        size = dtype.itemsize * int(np.prod([int(one) for one in shape], dtype=object))
        if signature != SIGNATURE or header + size != entry.file_size or dtype.kind not in "iufb":
            return None
        if fortran or len(shape) < 2:
            return None
        return cls(path, begin, dtype, shape[0], tuple(shape[1:]), tuple(range(len(shape) - 1)))

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape, (K, ...)."""
        return (self.length, *(1 if axis < 0 else self.item[axis] for axis in self.axes))

    @property
    def dtype(self) -> Type:
        """The type of the numbers that are returned: uint8, or float32 for all other numbers."""
        return np.dtype(np.uint8 if self.stored == np.uint8 else np.float32)

    def with_axes(self, *axes: int) -> ArrayFile:
        """Return the array with other axes of an item, each the number of an axis of the file or `NEW_AXIS`."""
        return replace(self, axes=axes)

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, place: int) -> np.ndarray:
        """Return an item, uint8 or float32.

        Raises:
            NasctlError: The file has vanished or become shorter.
        """
        kept = self._read(int(place), 1)[0].transpose([axis for axis in self.axes if axis >= 0])
        return np.expand_dims(kept, tuple(k for k, axis in enumerate(self.axes) if axis < 0))

    def range(self) -> tuple[float, float]:
        """Return the lowest and the highest number; NaN or infinite where a number is not finite.

        Raises:
            NasctlError: The file has vanished or become shorter.
        """
        low, high = np.inf, -np.inf
        for some in self._chunks():
            low, high = np.minimum(low, some.min()), np.maximum(high, some.max())  # which keep NaN
        return float(low), float(high)

    def _chunks(self) -> Iterator[np.ndarray]:
        """Yield all items, many at once."""
        step = max(1, CHUNK // max(1, self._item_bytes))
        for begin in range(0, self.length, step):
            yield self._read(begin, min(step, self.length - begin))

    @property
    def _item_bytes(self) -> int:
        return int(np.prod(self.item, dtype=np.int64)) * self.stored.itemsize

    def _read(self, begin: int, number: int) -> np.ndarray:
        """Return consecutive items with the axes of the file."""
        size = number * self._item_bytes
        try:
            with self.path.open("rb", buffering=0) as file:
                file.seek(self.offset + begin * self._item_bytes)
                content = _whole(file, size)
            if len(content) < size:
                raise OSError(0, "it ends too early")
        except OSError as error:
            raise NasctlError(f"Cannot read {self.path}: {error.strerror or error}. Put the whole file back.") from None
        with np.errstate(over="ignore"):  # an overflow of float64 becomes infinite, as in arrays in memory
            return np.frombuffer(content, self.stored).reshape(number, *self.item).astype(self.dtype)


def _whole(file: FileIO, size: int) -> bytearray:
    """Return bytes of a file, or fewer at its end. One call may read less than it is asked for."""
    content = bytearray(size)
    view, read = memoryview(content), 0
    while read < size and (more := file.readinto(view[read:])):
        read += more
    return content[:read] if read < size else content


__all__ = ["NEW_AXIS", "ArrayFile"]

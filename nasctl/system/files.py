"""Files: read with care for what strangers put into them, and written whole or not at all."""

from __future__ import annotations

import errno
import gzip
import json
import os
import stat
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO

from nasctl.errors import NasctlError

GZIP = b"\x1f\x8b"  # what is packed with it begins so


@contextmanager
def opened(path: Path | str) -> Iterator[BinaryIO]:
    """A regular file to read from. A pipe could keep its reader waiting for ever, and a device has no end.

    Raises:
        OSError: It cannot be opened, or is no regular file.
    """
    if "\0" in str(path):  # which open() has another error for
        raise OSError(errno.EINVAL, "its name holds a NUL")
    with open(path, "rb", opener=_at_once) as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise OSError(errno.EINVAL, "it is no regular file")
        yield file


def read(path: Path | str, limit: int) -> bytes:
    """What a regular file holds.

    Args:
        path: Of the file.
        limit: Bytes that it may have.

    Raises:
        OSError: It cannot be read, is no regular file, or has more bytes.
    """
    with opened(path) as file:
        return _within(file.read(limit + 1), limit)


def unpacked(content: bytes, limit: int) -> bytes:
    """What was packed with gzip, of which a few bytes can hold any number of zeros.

    Raises:
        OSError: It is broken, or holds more bytes than that.
    """
    try:
        with gzip.open(BytesIO(content)) as file:
            return _within(file.read(limit + 1), limit)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise OSError(errno.EINVAL, f"it is broken: {error}") from None


def parsed(text: str | bytes) -> Any:
    """JSON as values; an object with a key twice is refused, for nobody knows which is meant.

    Raises:
        ValueError: It is none.
    """
    try:
        return json.loads(text, object_pairs_hook=_unique)
    except RecursionError:
        raise ValueError("it nests too deep") from None


def write(path: Path, content: bytes | str, instead: str = "name another file") -> None:
    """Write a file under another name first, so that a killed run leaves the old one or the new one.

    Args:
        path: Of the file, which may be there.
        content: Text is written as UTF-8.
        instead: What a person should do if it cannot be written.

    Raises:
        NasctlError: It cannot be written.
    """
    if path.exists() and not path.is_file():  # a device would be replaced by a file of its name
        raise NasctlError(f"{path} is no file; {instead}")
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        draft.write_bytes(content.encode() if isinstance(content, str) else content)
        draft.replace(path)
    except OSError as error:
        draft.unlink(missing_ok=True)
        raise NasctlError(f"{path} cannot be written ({error.strerror}); {instead}") from None


def _at_once(path: str, flags: int) -> int:
    """Open a pipe too without waiting for its writer; Windows has no such pipes."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def _within(content: bytes, limit: int) -> bytes:
    if len(content) > limit:
        raise OSError(errno.EFBIG, f"it is over {limit >> 20} MiB, too large")
    return content


def _unique(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        ((twice, _),) = Counter(key for key, _ in pairs).most_common(1)
        raise ValueError(f"{twice[:60]!r} is there twice")
    return found

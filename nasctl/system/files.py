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
from contextlib import contextmanager, suppress
from io import BytesIO
from pathlib import Path
from secrets import token_hex
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
    """Write a whole file, or leave the old one.

    Args:
        path: The file, which may exist.
        content: Bytes, or text that is encoded as UTF-8.
        instead: The remedy that the error message gives.

    Raises:
        NasctlError: The file cannot be written.
    """
    with replacement(path, instead) as draft:
        draft.write_bytes(content.encode() if isinstance(content, str) else content)


@contextmanager
def replacement(path: Path, instead: str = "name another file", suffix: str | None = None) -> Iterator[Path]:
    """Yield an empty draft beside a file, and give it the file's name when the block ends without an error.

    Every file that nasctl writes goes through this function. After a kill or a power cut the file is the old one or
    the new one, never a part of either. The draft exists before the block begins, so that a folder that takes no file
    is found before the work.

    Args:
        path: The file, which may exist.
        instead: The remedy that the error message gives.
        suffix: The suffix of the draft, by which some libraries choose a format; by default the suffix of the file.

    Raises:
        NasctlError: The path is no regular file, or the block or the system cannot write it (`OSError`).
    """
    draft = path.with_name(f".{path.stem}.{token_hex(4)}{path.suffix if suffix is None else suffix}")
    try:
        if path.exists() and not path.is_file():  # a device would be replaced by a file of its name
            raise NasctlError(f"{path} is no file; {instead}")
        draft.touch(exist_ok=False)
        yield draft
        with draft.open("rb+") as written:  # the name must not reach the disk before the content does
            os.fsync(written.fileno())
        draft.replace(path)
    except OSError as error:
        raise NasctlError(f"{path} cannot be written ({error.strerror or error}); {instead}") from None
    finally:
        with suppress(OSError):
            draft.unlink()  # after success there is none


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

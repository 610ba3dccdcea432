"""Files: reading within limits, whatever a file holds, and the one atomic writer."""

from __future__ import annotations

import errno
import gzip
import json
import os
import re
import shutil
import stat
import time
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO

from nasctl.errors import NasctlError

NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)  # errors of a full disk, a full quota, a limit of the file size
STALE = 2.0  # seconds from its last change on, after which a draft without a lock is of a killed process
GZIP = b"\x1f\x8b"  # the first bytes of a gzip file


@contextmanager
def opened(path: Path | str) -> Iterator[BinaryIO]:
    """Open a regular file to read bytes from. A pipe could keep its reader waiting for ever, and a device has no end.

    Raises:
        OSError: The file cannot be opened, or is no regular file.
    """
    if "\0" in str(path):  # open() would raise a ValueError
        raise OSError(errno.EINVAL, "its name holds a NUL")
    with open(path, "rb", opener=_at_once) as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise OSError(errno.EINVAL, "it is no regular file")
        yield file


def read(path: Path | str, limit: int) -> bytes:
    """Return the content of a regular file.

    Args:
        path: The file.
        limit: Largest size, in bytes.

    Raises:
        OSError: The file cannot be read, is no regular file, or is larger.
    """
    with opened(path) as file:
        return _within(file.read(limit + 1), limit)


def unpacked(content: bytes, limit: int) -> bytes:
    """Return the content of a gzip file, a few bytes of which can hold any number of zeros.

    Args:
        content: The gzip file.
        limit: Largest size of its content, in bytes.

    Raises:
        OSError: The gzip file is broken, or its content is larger.
    """
    try:
        with gzip.open(BytesIO(content)) as file:
            return _within(file.read(limit + 1), limit)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise OSError(errno.EINVAL, f"it is broken: {error}") from None


def parsed(text: str | bytes) -> Any:
    """Return the values of a JSON text.

    Raises:
        ValueError: The text is no JSON, or an object has a key twice, so that its value is ambiguous.
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
def replacement(
    path: Path, instead: str = "name another file", suffix: str | None = None, beside: str = ""
) -> Iterator[Path]:
    """Yield an empty draft beside a file, and give it the file's name when the block ends without an error.

    Every file that nasctl writes goes through this function. After a kill or a power cut the file is the old one or
    the new one, never a part of either. The draft exists before the block begins, so that a folder that takes no file
    is found before the work. Drafts that killed processes left of the same file are removed.

    Args:
        path: The file, which may exist.
        instead: The remedy that the error message gives.
        suffix: The suffix of the draft, by which some libraries choose a format; by default the suffix of the file.
        beside: Suffix of a second file that the block writes beside the draft, under its name; "" if there is none.

    Raises:
        NasctlError: The path is no regular file, or the block or the system cannot write it (`OSError`).
    """
    suffix = path.suffix if suffix is None else suffix
    draft = path.with_name(f".{path.stem}.{os.urandom(4).hex()}{suffix}")
    second = draft.with_suffix(beside) if beside else draft
    try:
        if path.exists() and not path.is_file():  # a device would be replaced by a file of its name
            raise NasctlError(f"{path} is no file; {instead}")
        with draft.open("xb") as held:
            _locked(held)
            _remove_stale(path, suffix)
            yield draft
        for written in (second, draft) if beside else (draft,):
            with written.open("rb+") as file:  # the name must not reach the disk before the content does
                os.fsync(file.fileno())
        if beside:
            second.replace(path.with_suffix(beside))
        draft.replace(path)
    except OSError as error:
        if error.errno in NO_ROOM and not re.match("free|make room", instead):
            instead = f"free some space, or {instead}"
        raise NasctlError(f"{path} cannot be written ({error.strerror or error}); {instead}") from None
    finally:
        for left in (draft, second):
            with suppress(OSError):
                left.unlink()  # after success there is none


@contextmanager
def folder_replacement(path: Path, instead: str = "name another folder") -> Iterator[Path]:
    """Yield the name of a draft beside a folder, and give it the folder's name when the block ends without an error.

    The block makes the folder. An older folder of the name is removed after the new one is complete.

    Args:
        path: The folder, which may exist.
        instead: The remedy that the error message gives.

    Raises:
        NasctlError: The path is no folder, or the block or the system cannot write it (`OSError`).
    """
    draft, old = (path.with_name(f".{path.stem}.{os.urandom(4).hex()}{path.suffix}") for _ in range(2))
    try:
        if path.exists() and not path.is_dir():
            raise NasctlError(f"{path} is no folder; {instead}")
        draft.mkdir()  # a parent folder that takes nothing is found before the work
        draft.rmdir()
        yield draft
        if path.exists():
            path.rename(old)
        draft.rename(path)
    except OSError as error:
        raise NasctlError(f"{path} cannot be written ({error.strerror or error}); {instead}") from None
    finally:
        for left in (draft, old):
            shutil.rmtree(left, ignore_errors=True)


def room_error(draft: Path, size: int) -> OSError | None:
    """Return the error with which a draft takes no more bytes, or None; the content of the draft is lost.

    Libraries hide a full disk in errors of their own. A trial tells it from other errors.

    Args:
        draft: The draft of `replacement`.
        size: Bytes to try.
    """
    block = bytes(1 << 20)
    try:
        with draft.open("wb") as file:
            for start in range(0, size, len(block)):
                file.write(block[: size - start])
            file.flush()
            os.fsync(file.fileno())
            file.truncate(0)
    except OSError as error:
        return error if error.errno in NO_ROOM else None
    return None


def _remove_stale(path: Path, suffix: str) -> None:
    """Remove the drafts of a file that killed processes have left; the system has released their locks."""
    name = re.compile(re.escape(f".{path.stem}.") + "[0-9a-f]{8}" + re.escape(suffix))
    with suppress(OSError):
        for stale in [one for one in path.parent.iterdir() if name.fullmatch(one.name)]:
            with suppress(OSError), stale.open("rb+") as held:
                # A draft of this moment may not be locked yet.
                if time.time() - stale.stat().st_mtime > STALE and _locked(held):
                    stale.unlink()


def _locked(file: BinaryIO) -> bool:
    """Lock an open file until it is closed, if no other process has locked it; False where there are no such locks."""
    try:
        import fcntl  # POSIX alone has it

        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (ImportError, OSError):
        return False
    return True


def _at_once(path: str, flags: int) -> int:
    """Open a file; of a pipe, do not wait for the writer. Windows has no such pipes."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def _within(content: bytes, limit: int) -> bytes:
    """Return the content, or raise an `OSError` if it has more bytes than the limit."""
    if len(content) > limit:
        raise OSError(errno.EFBIG, f"it is over {limit >> 20} MiB, too large")
    return content


def _unique(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    """Return the pairs of a JSON object as a dict, or raise a `ValueError` if a key is there twice."""
    found = dict(pairs)
    if len(found) < len(pairs):
        ((twice, _),) = Counter(key for key, _ in pairs).most_common(1)
        raise ValueError(f"{twice[:60]!r} is there twice")
    return found

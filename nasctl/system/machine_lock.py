"""A lock that keeps measurements of this machine's latency apart from searches, which would disturb them.

The lock is `flock` on one file of the temporary folder. Searches share it, a measurement of latency excludes others,
and the system releases it when a process ends. The library filelock does not serve here. Its `FileLock` has no shared
mode. Its `ReadWriteLock` has one, but is a SQLite file that every user has to be able to write, whereas the file of
another user can be locked but not written; and it would not exclude an older nasctl on the same machine.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Literal

from nasctl.errors import NasctlError


@contextmanager
def exclusive_machine() -> Iterator[None]:
    """Keep measurements of latency and searches off this machine inside the block.

    Raises:
        NasctlError: One of them is running, or the system has no such locks.
    """
    with _locked("LOCK_EX", "another `nasctl device profile`, or a search, is running on this machine"):
        yield


@contextmanager
def shared_machine() -> Iterator[None]:
    """Keep measurements of latency off this machine inside the block; other searches are welcome.

    Raises:
        NasctlError: A measurement is running, or the system has no such locks.
    """
    with _locked("LOCK_SH", "a `nasctl device profile` is measuring on this machine"):
        yield


@contextmanager
def _locked(kind: Literal["LOCK_EX", "LOCK_SH"], conflict: str) -> Iterator[None]:
    """Hold a lock of a kind inside the block.

    Args:
        kind: The operation of `flock`.
        conflict: What holds the lock if this process cannot have it.
    """
    try:
        import fcntl  # POSIX alone has it
    except ImportError:
        raise NasctlError(
            "what runs or times networks needs the file locks of Linux or macOS, which this system lacks; run it there,"
            " or on Windows in WSL"
        ) from None
    path = Path(tempfile.gettempdir()) / "nasctl-device-profile.lock"
    try:
        with suppress(PermissionError):  # another user's file can be locked, but not touched
            path.touch()
        file = path.open()
    except OSError as error:
        raise NasctlError(f"{path} cannot be opened ({error.strerror}); remove it, or set TMPDIR") from None
    with file:
        try:
            fcntl.flock(file, getattr(fcntl, kind) | fcntl.LOCK_NB)
        except BlockingIOError:
            raise NasctlError(f"{conflict}; type the same command when it is done") from None
        yield

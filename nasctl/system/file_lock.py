"""Locks on files that the system releases when a process ends, however it ends: `flock` of POSIX."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from nasctl.errors import NasctlError


@contextmanager
def locked(path: Path, conflict: str, remedy: str, shared: bool = False) -> Iterator[None]:
    """Hold a lock on a file inside the block. The file is created if it does not exist, and stays.

    Args:
        path: The file.
        conflict: What holds the lock if this process cannot have it, and what to do then.
        remedy: What to do if the file cannot be opened.
        shared: Admit other processes that ask for a shared lock.

    Raises:
        NasctlError: Another process holds the lock, the file cannot be opened, or the system has no such locks.
    """
    try:
        import fcntl  # POSIX alone has it
    except ImportError:
        raise NasctlError(
            "what runs or times networks needs the file locks of Linux or macOS, which this system lacks; run it there,"
            " or on Windows in WSL"
        ) from None
    try:
        with suppress(PermissionError):  # another user's file can be locked, but not touched
            path.touch()
        file = path.open()
    except OSError as error:
        raise NasctlError(f"{path} cannot be opened ({error.strerror}); {remedy}") from None
    with file:
        try:
            fcntl.flock(file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except BlockingIOError:
            raise NasctlError(conflict) from None
        yield

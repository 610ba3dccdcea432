"""Locks on files that the system releases when a process ends, however it ends: `flock` of POSIX."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from nasctl.errors import NasctlError

POLL = 0.1  # seconds between two tries to get a lock that is waited for


class Wait(NamedTuple):
    """How long a process waits for a lock.

    Attributes:
        seconds: Longest wait.
        begun: Called once if another process holds the lock and is waited for.
    """

    seconds: float
    begun: Callable[[], object] = lambda: None


class LockHeld(NasctlError):
    """Another process holds a lock."""


@contextmanager
def locked(path: Path, conflict: str, remedy: str, shared: bool = False, wait: Wait | None = None) -> Iterator[None]:
    """Hold a lock on a file inside the block. The file is created if it does not exist, and stays.

    Args:
        path: The file.
        conflict: What holds the lock if this process cannot have it, and what to do then.
        remedy: What to do if the file cannot be opened.
        shared: Admit other processes that ask for a shared lock.
        wait: How long to wait for the lock; None not to wait.

    Raises:
        LockHeld: Another process holds the lock.
        NasctlError: The file cannot be opened, or the system has no such locks.
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
        end: float | None = None
        while True:
            try:
                fcntl.flock(file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if end is None and wait is not None and wait.seconds > 0:
                    end = time.monotonic() + wait.seconds
                    wait.begun()
                if end is None or time.monotonic() >= end:
                    raise LockHeld(conflict) from None
                time.sleep(POLL)  # a blocking flock has no limit of time
        yield

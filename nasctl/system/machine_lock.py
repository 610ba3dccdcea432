"""Keeps what measures the latency of this machine apart from searches, which would disturb it."""

from __future__ import annotations

import fcntl
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from nasctl.errors import NasctlError


@contextmanager
def exclusive_machine() -> Iterator[None]:
    """Keep profiles and searches off this machine for the time being.

    Raises:
        NasctlError: One is running.
    """
    with _held(fcntl.LOCK_EX, "another `nasctl device profile`, or a search, is running on this machine"):
        yield


@contextmanager
def shared_machine() -> Iterator[None]:
    """Keep profiles off this machine; others that run modules are welcome.

    Raises:
        NasctlError: A profile is running.
    """
    with _held(fcntl.LOCK_SH, "a `nasctl device profile` is measuring on this machine"):
        yield


@contextmanager
def _held(kind: int, else_said: str) -> Iterator[None]:
    path = Path(tempfile.gettempdir()) / "nasctl-device-profile.lock"
    try:
        with suppress(PermissionError):  # somebody else's file can be locked, but not touched
            path.touch()
        lock = path.open()
    except OSError as error:
        raise NasctlError(f"{path} cannot be opened ({error.strerror}); remove it, or set TMPDIR") from None
    with lock:
        try:
            fcntl.flock(lock, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            raise NasctlError(f"{else_said}; type the same command when it is done") from None
        yield

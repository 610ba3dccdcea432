"""A lock that keeps measurements of this machine's latency apart from searches, which would disturb them.

The lock is `flock` on one file of the temporary folder. Searches share it, a measurement of latency excludes others,
and the system releases it when a process ends. The library filelock does not serve here. Its `FileLock` has no shared
mode. Its `ReadWriteLock` has one, but is a SQLite file that every user has to be able to write, whereas the file of
another user can be locked but not written; and it would not exclude an older nasctl on the same machine.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from nasctl.system.file_lock import Wait, locked


@contextmanager
def exclusive_machine(wait: float = 0.0, waiting: Callable[[], object] = lambda: None) -> Iterator[None]:
    """Keep measurements of latency and searches off this machine inside the block.

    Args:
        wait: Seconds to wait for a search or another measurement to end.
        waiting: Called once if one of them is running and is waited for.

    Raises:
        NasctlError: One of them is running, also after the wait, or the system has no such locks.
    """
    conflict = "another `nasctl device profile`, or a search, is running on this machine"
    with _locked(conflict, shared=False, wait=Wait(wait, waiting)):
        yield


@contextmanager
def shared_machine() -> Iterator[None]:
    """Keep measurements of latency off this machine inside the block; other searches are welcome.

    Raises:
        NasctlError: A measurement is running, or the system has no such locks.
    """
    with _locked("a `nasctl device profile` is measuring on this machine", shared=True):
        yield


@contextmanager
def _locked(conflict: str, shared: bool, wait: Wait | None = None) -> Iterator[None]:
    """Hold the lock inside the block.

    Args:
        conflict: What holds the lock if this process cannot have it.
        shared: Admit other processes that ask for a shared lock.
        wait: How long to wait for the lock; None not to wait.
    """
    path = Path(tempfile.gettempdir()) / "nasctl-device-profile.lock"
    with locked(path, f"{conflict}; type the same command when it is done", "remove it, or set TMPDIR", shared, wait):
        yield

"""A lock that keeps measurements of this machine's latency apart from searches, which would disturb them.

The lock is `flock` on a file of the temporary folder. Searches share it, a measurement of latency excludes others,
and the system releases it when a process ends. A second file keeps measurements apart, one of which may accept the
noise of searches. The library filelock does not serve here. Its `FileLock` has no shared
mode. Its `ReadWriteLock` has one, but is a SQLite file that every user has to be able to write, whereas the file of
another user can be locked but not written; and it would not exclude an older nasctl on the same machine.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from nasctl.system.file_lock import LockHeld, Wait, locked
from nasctl.system.lock_holders import lock_holders, processes_text

MACHINE = "nasctl-device-profile.lock"  # held by searches, which share it, and by measurements
MEASUREMENT = "nasctl-device-measurement.lock"  # held by measurements alone
MEASURED = (
    "another `nasctl device profile` or `nasctl device validate` is measuring on this machine{}. Type the same command"
    " when it is done, or add --wait MINUTES, which waits for it."
)
SEARCHED = (
    "a search is running on this machine{}. Type the same command when it is done, add --wait MINUTES, which waits for"
    " it, or --accept-noise, which measures beside it."
)
REFUSED = "a `nasctl device profile` is measuring on this machine{}. Stop it, or type the same command when it is done."


@contextmanager
def exclusive_machine(
    wait: float = 0.0, waiting: Callable[[], object] = lambda: None, beside: bool = False
) -> Iterator[bool]:
    """Keep measurements of latency and searches off this machine inside the block.

    Args:
        wait: Seconds to wait for a search or another measurement to end.
        waiting: Called once if one of them is running and is waited for.
        beside: Measure beside searches that are running after the wait, and admit others. Measurements are kept off.

    Yields:
        Whether a search is running.

    Raises:
        LockHeld: One of them is running, also after the wait.
        NasctlError: The system has no such locks.
    """
    end, told = time.monotonic() + wait, [waiting]

    def tell() -> None:
        if told:
            told.pop()()

    with ExitStack() as held:
        _hold(held, MEASUREMENT, MEASURED, Wait(wait, tell))
        try:
            _hold(held, MACHINE, SEARCHED, Wait(end - time.monotonic(), tell))
            searched = False
        except LockHeld:
            if not beside:
                raise
            _hold(held, MACHINE, MEASURED, shared=True)  # refused by a measurement of an older nasctl
            searched = True
        yield searched


@contextmanager
def shared_machine() -> Iterator[None]:
    """Keep measurements of latency off this machine inside the block; other searches are welcome.

    Raises:
        LockHeld: A measurement is running that does not accept noise.
        NasctlError: The system has no such locks.
    """
    with ExitStack() as held:
        _hold(held, MACHINE, REFUSED, shared=True)
        yield


def machine_users() -> str:
    """Return the other processes that search or measure on this machine; "" for none, or if they are not known."""
    folder = Path(tempfile.gettempdir())
    pids = {pid for name in (MACHINE, MEASUREMENT) for pid in lock_holders(folder / name)}
    return processes_text(sorted(pids - {os.getpid()}))


def _hold(held: ExitStack, name: str, conflict: str, wait: Wait | None = None, shared: bool = False) -> None:
    """Take a lock until `held` is closed.

    Args:
        held: Releases the lock.
        name: Name of the file.
        conflict: Message if this process cannot have the lock, with {} where the processes that hold it are named.
        wait: How long to wait for the lock; None not to wait.
        shared: Admit other processes that ask for a shared lock.
    """
    path = Path(tempfile.gettempdir()) / name
    try:
        held.enter_context(locked(path, conflict, "remove it, or set TMPDIR", shared, wait))
    except LockHeld:
        who = processes_text(lock_holders(path))
        raise LockHeld(conflict.format(f": {who}" if who else "")) from None

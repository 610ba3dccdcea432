"""Ctrl-C, and SIGTERM of a cluster: the first ends a command after the write that is under way, the second at once."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM)
ECHO = 0.3  # seconds: some programs that start others pass on a signal which these got already; nobody presses so fast

_writes = 0  # that are under way in this process
_asked = False  # whether a signal came
_waiting = 0  # that signal, while it waits for a write


class Stopped(KeyboardInterrupt):
    """Somebody asked to stop.

    Args:
        number: Of the signal.
    """

    def __init__(self, number: int) -> None:
        super().__init__()
        self.code = 128 + number  # what a shell makes of it


def exit_code(stop: KeyboardInterrupt) -> int:
    """The exit code after an interrupt."""
    return stop.code if isinstance(stop, Stopped) else 128 + signal.SIGINT


@contextmanager
def stoppable() -> Iterator[None]:
    """Raise `Stopped` at the first signal, after the write that is under way; leave the process at the second.

    Outside the main thread, which signals come to, it does nothing.
    """
    global _asked, _waiting
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    _asked, _waiting = False, 0
    read, write = os.pipe()
    os.set_blocking(write, False)
    before = [signal.signal(number, _first) for number in SIGNALS]
    wakeup = signal.set_wakeup_fd(write, warn_on_full_buffer=False)
    # Python's own handlers wait until the main thread is back from torch or SQLite; that thread does not.
    threading.Thread(target=_leave_at_the_second, args=(read,), daemon=True).start()
    try:
        yield
    finally:
        signal.set_wakeup_fd(wakeup)
        for number, handler in zip(SIGNALS, before, strict=True):
            # Who was asked to stop has only Python's own end before it, which another signal may cut short.
            signal.signal(number, signal.SIG_DFL if _asked else handler)
        os.close(write)


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Finish what is inside before a signal is heeded."""
    global _writes
    _writes += 1
    try:
        yield
    finally:
        _writes -= 1
    heed()


def heed() -> None:
    """Stop now if it was asked for while that had to wait.

    Raises:
        Stopped: It was.
    """
    global _waiting
    if _waiting:
        number, _waiting = _waiting, 0
        raise Stopped(number)


def _first(number: int, frame: FrameType | None) -> None:
    global _asked, _waiting
    if _asked:
        return
    _asked = True
    if not _writes:
        raise Stopped(number)
    _waiting = number


def _leave_at_the_second(read: int) -> None:
    first: float | None = None
    while numbers := os.read(read, 1):
        if numbers[0] not in SIGNALS:
            continue
        now = time.monotonic()
        first = now if first is None else first
        if now - first > ECHO:
            os._exit(128 + numbers[0])
    os.close(read)

"""Ctrl-C, and the SIGTERM of a cluster: the first ends a command after the write in progress, the second at once."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM)

# Seconds within which a further signal counts as the first one again. Some programs that start others pass on a signal
# that these have already received; no person presses a key twice in that time.
ECHO = 0.3

_writes = 0  # writes in progress in this process
_asked = False  # whether a signal has arrived
_waiting = 0  # the number of the signal that waits for a write; 0 for none


class Stopped(KeyboardInterrupt):
    """A request to stop.

    Args:
        number: The signal that brought it.
    """

    def __init__(self, number: int) -> None:
        super().__init__()
        self.code = 128 + number  # the exit code that a shell gives a process ended by this signal


def exit_code(stop: KeyboardInterrupt) -> int:
    """Return the exit code of a command that an interrupt ended."""
    return stop.code if isinstance(stop, Stopped) else 128 + signal.SIGINT


@contextmanager
def stoppable(*, ends_at_second: bool = True) -> Iterator[None]:
    """Raise `Stopped` in the block at the first signal, after the write in progress; end the process at the second.

    Args:
        ends_at_second: Whether the second signal ends the process. False for a process that its parent ends.

    Outside the main thread, to which no signals come, and on systems other than POSIX this does nothing: Python then
    raises `KeyboardInterrupt` itself.
    """
    global _asked, _waiting
    if threading.current_thread() is not threading.main_thread() or not hasattr(os, "set_blocking"):
        yield
        return
    _asked, _waiting = False, 0
    before = [signal.signal(number, _stop_at_the_first) for number in SIGNALS]
    try:
        with _ended_by_the_second() if ends_at_second else nullcontext():
            yield
    finally:
        for number, handler in zip(SIGNALS, before, strict=True):
            # After a stop request, only interpreter shutdown is left, which another signal may cut short.
            signal.signal(number, signal.SIG_DFL if _asked else handler)


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Finish the block before a signal takes effect; of nested blocks, the outer one."""
    global _writes
    _writes += 1
    try:
        yield
    finally:
        _writes -= 1
    if not _writes:
        stop_if_asked()


def stop_asked() -> bool:
    """Return whether a signal waits for the end of an `uninterrupted` block."""
    return _waiting != 0


def stop_if_asked() -> None:
    """Stop now if a signal has waited for a write.

    Raises:
        Stopped: A signal has waited.
    """
    global _waiting
    if _waiting:
        number, _waiting = _waiting, 0
        raise Stopped(number)


def _stop_at_the_first(number: int, frame: FrameType | None) -> None:
    """Handle a signal: raise `Stopped` at the first, or leave that to `stop_if_asked` while a write is in progress."""
    global _asked, _waiting
    if _asked:
        return
    _asked = True
    if not _writes:
        raise Stopped(number)
    _waiting = number


@contextmanager
def _ended_by_the_second() -> Iterator[None]:
    """End the process at the second signal in the block."""
    read, write = os.pipe()
    os.set_blocking(write, False)
    wakeup = signal.set_wakeup_fd(write, warn_on_full_buffer=False)
    # Python runs its handlers in the main thread once a call of torch or SQLite returns. This thread does not wait.
    threading.Thread(target=_exit_at_the_second, args=(read,), daemon=True).start()
    try:
        yield
    finally:
        signal.set_wakeup_fd(wakeup)
        os.close(write)


def _exit_at_the_second(read: int) -> None:
    """End the process at the second signal, by the numbers that Python's wakeup writes to a pipe.

    Args:
        read: The descriptor of the pipe's reading end.
    """
    first: float | None = None
    while numbers := os.read(read, 1):
        if numbers[0] not in SIGNALS:
            continue
        now = time.monotonic()
        first = now if first is None else first
        if now - first > ECHO:
            os._exit(128 + numbers[0])
    os.close(read)

"""Use of a machine's processors by other processes: waiting until it is low, and its mean during a measurement."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Self

from nasctl.errors import NasctlError

MAX_BUSY = 0.1  # processors that others may keep busy on a quiet machine
SAMPLE = 2.0  # seconds over which the use of the processors is counted
QUIET_SAMPLES = 3  # successive quiet samples that make a machine quiet
USED_FIELDS = (0, 1, 2, 5, 6, 7)  # user, nice, system, irq, softirq and steal, the time that the host gives to others


def wait_until_quiet(
    limit: float,
    busy: Callable[[], float] | None = None,
    clock: Callable[[], float] = time.monotonic,
    report: Callable[[float, float], None] = lambda used, left: None,
) -> bool:
    """Wait until other processes use less than `MAX_BUSY` processors in `QUIET_SAMPLES` samples in a row.

    Args:
        limit: Longest wait, in seconds.
        busy: Takes a sample, and returns the number of processors that others keep busy.
        clock: Returns the time in seconds.
        report: Called after each sample with the number of busy processors and the seconds that are left.

    Returns:
        False if the machine was not quiet within the limit.
    """
    sample = busy or busy_processors
    end, quiet = clock() + limit, 0
    while True:
        used = sample()
        quiet = quiet + 1 if used < MAX_BUSY else 0
        if quiet == QUIET_SAMPLES:
            return True
        if (left := end - clock()) <= 0:
            return False
        report(used, left)


def busy_processors(seconds: float = SAMPLE) -> float:
    """Return how many processors others keep busy, over some seconds in which this process sleeps.

    Raises:
        NasctlError: The system does not count the use of its processors.
    """
    before = _used()
    time.sleep(seconds)
    after = _used()
    return max(after - before, 0.0) / seconds


class BusyMeter:
    """A context manager that counts the processors that other processes keep busy during its block.

    Attributes:
        processors: Mean number of these processors; None where the system does not count their use.
    """

    processors: float | None = None

    def __enter__(self) -> Self:
        self._begun, self._before = time.monotonic(), _used_if_counted()
        return self

    def __exit__(self, *error: object) -> None:
        after, seconds = _used_if_counted(), time.monotonic() - self._begun
        if self._before is not None and after is not None and seconds > 0:
            self.processors = max(after - self._before, 0.0) / seconds

    @property
    def remark(self) -> str:
        """A remark on timings of the block, "" if the machine was quiet."""
        if self.processors is None or self.processors < MAX_BUSY:
            return ""
        return f"other processes kept {self.processors:.1f} of {os.cpu_count()} processors busy"


def _used_if_counted() -> float | None:
    try:
        return _used()
    except NasctlError:
        return None


def _used() -> float:
    """Return the processor time that all processes but this one have used, in seconds."""
    try:
        fields = [int(one) for one in Path("/proc/stat").read_text().partition("\n")[0].split()[1:]]
    except (OSError, ValueError):
        raise NasctlError(
            "Cannot wait for a quiet machine: this system does not count the use of its processors in /proc/stat. "
            "Leave --wait out."
        ) from None
    own = time.process_time()
    return sum(fields[k] for k in USED_FIELDS if k < len(fields)) / os.sysconf("SC_CLK_TCK") - own

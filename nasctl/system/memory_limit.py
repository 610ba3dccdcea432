"""A limit on the memory that this process may take."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from nasctl.errors import NasctlError


@contextmanager
def limited_memory(room: int | None) -> Iterator[None]:
    """Let this process take a number of bytes more than it has, and raise `MemoryError` beyond.

    Args:
        room: Bytes; None for no limit.

    Raises:
        NasctlError: The system is not Linux.
    """
    if room is None:
        yield
        return
    try:
        import resource

        pages = int(Path("/proc/self/statm").read_text().split()[5])
    except (ImportError, OSError):
        raise NasctlError("--candidate-memory works on Linux alone; leave it out") from None
    # RLIMIT_DATA counts these pages, and neither shared libraries nor files that are mapped.
    most = pages * resource.getpagesize() + room
    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (most if hard == resource.RLIM_INFINITY else min(most, hard), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))

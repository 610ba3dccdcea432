"""A lock that tells a search that another process of the machine works on the same run."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from nasctl.errors import NasctlError
from nasctl.system.file_lock import locked

CONFLICT = "another process works on the run"


@contextmanager
def in_use(store: str, run: str) -> Iterator[list[str]]:
    """Mark a run as in use inside the block, and yield a sentence for a user if another process has marked it before.

    Two processes on one run do no harm: the first measurement of a candidate counts. They do the work of one.

    Args:
        store: Path of the store.
        run: Name of the run.

    Yields:
        The sentence in a list, which is empty without another process, and where the system has no locks.
    """
    digest = hashlib.sha256(f"{Path(store).resolve()}\n{run}".encode()).hexdigest()[:16]
    path = Path(tempfile.gettempdir()) / f"nasctl-run-{digest}.lock"
    said: list[str] = []
    with ExitStack() as held:
        try:
            held.enter_context(locked(path, CONFLICT, "remove it, or set TMPDIR"))
            held.callback(_remove, path)
        except NasctlError as error:
            if str(error) == CONFLICT:
                said = [
                    f"Warning: another process works on run {run} too. Both measure the same candidates, so that two"
                    " take as long as one; stop one of them."
                ]
        yield said


def _remove(path: Path) -> None:
    """Remove the file of a lock that is still held."""
    with suppress(OSError):
        path.unlink()


__all__ = ["in_use"]

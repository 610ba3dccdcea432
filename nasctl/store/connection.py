"""The SQLite file of a store: every fault of it is a sentence, and every write is whole or not at all."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from weakref import finalize

from nasctl.errors import NasctlError
from nasctl.store import schema
from nasctl.system import files
from nasctl.system.signals import heed, uninterrupted

PATIENCE = 60.0  # seconds to wait for another process that writes
CHECKED = 32 << 20  # bytes up to which a file is read through when it is opened, which takes 0.1 s
MENDS = {  # by what SQLite says
    "full": "free some space and type the same command again",
    "locked": "another process holds it: type the same command when that is done",
    "I/O": "look whether the disk is full, over its quota or gone, and type the same command again",
    "unable to open": "look whether its folder is there and may be written, or give another with --store",
    "": "mend that, or give another with --store",
}


class Connection:
    """A connection to a store's file.

    Args:
        path: The file; made if it does not exist.
        reading: Change nothing: no file is made, and an older store stays as it is.

    Raises:
        NasctlError: The path cannot be used, or holds something else or a damaged store, which is left as it is.
    """

    def __init__(self, path: Path | str, reading: bool = False) -> None:
        self.path, self._file = str(path), Path(path).absolute()
        _check_header(Path(path))
        with guarded(self.path):
            self._connect(self._address() if reading else str(self._file))
            found = schema.version(self.connection)
            if found > schema.VERSION:
                raise _newer(self.path)
            if found and self._file.stat().st_size <= CHECKED:
                (said,) = self.connection.execute("PRAGMA quick_check(1)").fetchone()
                if said != "ok":
                    raise sqlite3.DatabaseError(said)
            if reading and found < schema.VERSION:  # of an older one, or of none, there is a copy in memory
                self._copy()
            elif found < schema.VERSION:
                with uninterrupted(), self._transaction():
                    schema.bring_up(self.connection, self._file)
        self._place = self._found()
        if reading:
            self.connection.execute("PRAGMA query_only = 1")
        else:
            # In WAL mode readers never wait, and NORMAL is safe against a kill (a power cut may cost the last ones).
            with suppress(sqlite3.OperationalError):  # this statement does not wait for a lock; others will set it
                self.connection.execute("PRAGMA journal_mode=WAL")
            self.connection.execute("PRAGMA synchronous=NORMAL")

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """One transaction, which a signal to stop waits for.

        Raises:
            NasctlError: The store cannot be written, or is no longer where it was.
        """
        with uninterrupted(), guarded(self.path):
            if self._found() != self._place:  # SQLite would go on in a file that nobody can open again
                raise NasctlError(
                    f"the store {self.path} was removed or replaced while it was in use; put it back, or type the same"
                    " command again to start a new one"
                )
            with self._transaction():
                yield self.connection

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """Questions to the store.

        Raises:
            NasctlError: The store cannot be read.
        """
        with guarded(self.path):
            yield self.connection

    def text(self, value: str) -> int:
        """The number that stands for a text; within a transaction."""
        self.connection.execute("INSERT OR IGNORE INTO text (value) VALUES (?)", (value,))
        (number,) = self.connection.execute("SELECT id FROM text WHERE value = ?", (value,)).fetchone()
        return int(number)

    def _connect(self, address: str) -> None:
        # Between waits of 5 s Python looks whether somebody pressed Ctrl-C. Whichever thread collects it may close it.
        self.connection = sqlite3.connect(
            address, timeout=min(PATIENCE, 5), uri=address.startswith("file:"), check_same_thread=False
        )
        finalize(self, self.connection.close)

    def _address(self) -> str:
        """Where to read the file."""
        if not self._file.exists() or not self._file.stat().st_size:
            return ":memory:"
        if os.access(self._file, os.W_OK) and os.access(self._file.parent, os.W_OK):
            return str(self._file)
        log = self._file.with_name(f"{self._file.name}-wal")  # of a process that runs, or was killed
        return f"{self._file.as_uri()}?{'mode=ro' if log.exists() and log.stat().st_size else 'immutable=1'}"

    def _copy(self) -> None:
        """Work on a copy in memory that has the tables of this version."""
        with closing(self.connection) as older:
            self._connect(":memory:")
            older.backup(self.connection)
        schema.bring_up(self.connection, None)

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        end = time.monotonic() + PATIENCE
        while not self.connection.in_transaction:
            try:
                self.connection.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > end:
                    raise
                heed()
        with self.connection:
            yield

    def _found(self) -> tuple[int, int] | None:
        """What is at the path."""
        try:
            there = os.stat(self._file)
        except OSError:
            return None
        return there.st_dev, there.st_ino


@contextmanager
def guarded(path: str) -> Iterator[None]:
    """Turn what SQLite says into a sentence for the user."""
    try:
        yield
    except sqlite3.OperationalError as error:
        mend = next(mend for said, mend in MENDS.items() if said in str(error))
        raise NasctlError(f"the store {path} cannot be used ({error}); {mend}") from error
    except sqlite3.DatabaseError as error:
        reason = " ".join(str(error).split())[:100]
        raise NasctlError(
            f"the store {path} is damaged ({reason}); it is left as it is: restore a copy, or give another with --store"
        ) from error


def _check_header(path: Path) -> None:
    """Refuse what is no store before SQLite touches it.

    Raises:
        NasctlError: It is none, or one of a newer nasctl.
    """
    try:
        with files.opened(path) as file:
            header = file.read(100)
    except FileNotFoundError:
        return
    except OSError as error:
        raise NasctlError(f"the store {path} cannot be read ({error.strerror}); give another with --store") from error
    if not header:
        return
    application, version = int.from_bytes(header[68:72]), int.from_bytes(header[60:64])
    if not header.startswith(b"SQLite format 3\0") or application != schema.APPLICATION:
        raise NasctlError(f"{path} is not a store of nasctl; it is left as it is: give another with --store")
    if version > schema.VERSION:
        raise _newer(str(path))


def _newer(path: str) -> NasctlError:
    return NasctlError(f"the store {path} is of a newer nasctl; update nasctl, or give another with --store")

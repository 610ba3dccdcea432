"""A connection to the SQLite file of a store: whole transactions, and a one-sentence error for every fault."""

from __future__ import annotations

import os
import sqlite3
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from weakref import finalize

from nasctl.errors import NasctlError
from nasctl.store import schema
from nasctl.system import files
from nasctl.system.signals import stop_if_asked, uninterrupted

WRITE_WAIT = 60.0  # seconds to wait for another process that writes
CHECKED_SIZE = 32 << 20  # bytes up to which a file is checked as a whole when it is opened, which takes 0.1 s
REMEDIES = {  # by a part of SQLite's message; the last one is for all other messages
    "full": "free some space and type the same command again",
    "locked": "another process holds it: type the same command when that is done",
    "I/O": "look whether the disk is full, over its quota or gone, and type the same command again",
    "unable to open": "look whether its folder is there and may be written, or give another with --store",
    "": "mend that, or give another with --store",
}

# Connections that this process has open, by the device and the inode of their file. Closing any descriptor of a file
# gives up all locks of the process on that file (POSIX), those of SQLite too, and another process could then remove the
# write-ahead log that a connection reads. So a file with a connection is never opened by hand.
_connections: Counter[tuple[int, int]] = Counter()


class Connection:
    """A connection to a store's file.

    Args:
        path: The file, which is created if it does not exist.
        reading: Change nothing: create no file, and leave an older store as it is.

    Raises:
        NasctlError: The path cannot be used, or holds another file or a damaged store. The file is left as it is.
    """

    def __init__(self, path: Path | str, reading: bool = False) -> None:
        self.path, self._file = str(path), Path(path).absolute()
        self._texts: dict[str, int] = {}  # numbers of texts that were looked up; a text never leaves the store
        if not _connections[self._file_identity() or (0, 0)]:
            _check_header(Path(path))
        with guarded(self.path):
            self._connect(self._address() if reading else str(self._file))
            found = schema.version(self.connection)
            if found > schema.VERSION:
                raise _newer(self.path)
            if found and self._file.stat().st_size <= CHECKED_SIZE:
                (fault,) = self.connection.execute("PRAGMA quick_check(1)").fetchone()
                if fault != "ok":
                    raise sqlite3.DatabaseError(fault)
            if reading and found < schema.VERSION:  # an older store, or no store yet
                self._copy_to_memory()
            elif found < schema.VERSION:
                with uninterrupted(), self._transaction():
                    schema.upgrade(self.connection, self._file)
        self._identity = self._file_identity()
        if reading:
            self.connection.execute("PRAGMA query_only = 1")
        else:
            # With a write-ahead log readers never wait. NORMAL survives a kill; a power cut may cost the last writes.
            with suppress(sqlite3.OperationalError):  # this statement does not wait for a lock; a later process sets it
                self.connection.execute("PRAGMA journal_mode=WAL")
            self.connection.execute("PRAGMA synchronous=NORMAL")

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """Run the block in one transaction; a signal to stop takes effect after it.

        Raises:
            NasctlError: The store cannot be written, or another file has its path now.
        """
        with uninterrupted(), guarded(self.path):
            if self._file_identity() != self._identity:  # SQLite would go on in a file that no path leads to
                raise NasctlError(
                    f"the store {self.path} was removed or replaced while it was in use; put it back, or type the same"
                    " command again to start a new one"
                )
            with self._transaction():
                yield self.connection

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """Run the queries of the block.

        Raises:
            NasctlError: The store cannot be read.
        """
        with guarded(self.path):
            yield self.connection

    def text(self, value: str) -> int:
        """Return the number that stands for a text in other tables; call it inside `writing`."""
        if value not in self._texts:
            self.connection.execute("INSERT OR IGNORE INTO text (value) VALUES (?)", (value,))
            (number,) = self.connection.execute("SELECT id FROM text WHERE value = ?", (value,)).fetchone()
            self._texts[value] = int(number)
        return self._texts[value]

    def _connect(self, address: str) -> None:
        # Python handles Ctrl-C between waits of 5 s. Any thread may collect this object, and so close the connection.
        self.connection = sqlite3.connect(
            address, timeout=min(WRITE_WAIT, 5), uri=address.startswith("file:"), check_same_thread=False
        )
        identity = None if address == ":memory:" else self._file_identity()
        self._close = finalize(self, _close, self.connection, identity)
        if identity:
            _connections[identity] += 1

    def _address(self) -> str:
        """Return the path or SQLite address under which this process can read the file."""
        if not self._file.exists() or not self._file.stat().st_size:
            return ":memory:"
        if os.access(self._file, os.W_OK) and os.access(self._file.parent, os.W_OK):
            return str(self._file)
        log = self._file.with_name(f"{self._file.name}-wal")  # left by a process that runs, or was killed
        return f"{self._file.as_uri()}?{'mode=ro' if log.exists() and log.stat().st_size else 'immutable=1'}"

    def _copy_to_memory(self) -> None:
        """Replace the connection by one to a copy in memory, and upgrade the copy to this version."""
        older, close = self.connection, self._close
        self._connect(":memory:")
        older.backup(self.connection)
        close()
        schema.upgrade(self.connection, None)

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        """Run the block in a transaction, and wait `WRITE_WAIT` for one of another process to end."""
        end = time.monotonic() + WRITE_WAIT
        while not self.connection.in_transaction:
            try:
                self.connection.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > end:
                    raise
                stop_if_asked()
        try:
            with self.connection:
                yield
        except BaseException:
            self._texts.clear()  # the transaction was rolled back, and with it perhaps a text
            raise

    def _file_identity(self) -> tuple[int, int] | None:
        """Return the device and the inode of the file at the path; None if there is no file."""
        try:
            status = os.stat(self._file)
        except OSError:
            return None
        return status.st_dev, status.st_ino


def _close(connection: sqlite3.Connection, identity: tuple[int, int] | None) -> None:
    """Close a connection to the file of a device and an inode, or to a database in memory."""
    connection.close()
    if identity:
        _connections[identity] -= 1


@contextmanager
def guarded(path: str) -> Iterator[None]:
    """Turn errors of SQLite in the block into one-sentence errors with a remedy.

    Args:
        path: The store, as the user wrote it.

    Raises:
        NasctlError: SQLite raised an error.
    """
    try:
        yield
    except sqlite3.OperationalError as error:
        remedy = next(remedy for part, remedy in REMEDIES.items() if part in str(error))
        raise NasctlError(f"the store {path} cannot be used ({error}); {remedy}") from error
    except sqlite3.DatabaseError as error:
        reason = " ".join(str(error).split())[:100]
        raise NasctlError(
            f"the store {path} is damaged ({reason}); it is left as it is: restore a copy, or give another with --store"
        ) from error


def _check_header(path: Path) -> None:
    """Refuse a file that is no store before SQLite opens it.

    Raises:
        NasctlError: The file is no store, or a store of a newer nasctl.
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
    if not header.startswith(b"SQLite format 3\0") or application != schema.APPLICATION_ID:
        raise NasctlError(f"{path} is not a store of nasctl; it is left as it is: give another with --store")
    if version > schema.VERSION:
        raise _newer(str(path))


def _newer(path: str) -> NasctlError:
    return NasctlError(f"the store {path} is of a newer nasctl; update nasctl, or give another with --store")

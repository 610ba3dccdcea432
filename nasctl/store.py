"""What is on disk: every measurement ever made, shared by all runs, and which genomes each run visited."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple
from weakref import finalize

from nasctl.errors import NasctlError, RunChanged, UnknownName
from nasctl.record import Record
from nasctl.values import Evaluation, Genome

APPLICATION = 0x4E415343  # "NASC" in the header of the file says that it is a store
VERSION = 1  # of the schema
SCHEMA = """
BEGIN IMMEDIATE;
CREATE TABLE IF NOT EXISTS text (id INTEGER PRIMARY KEY, value TEXT NOT NULL UNIQUE);
CREATE TABLE IF NOT EXISTS genome (
    id INTEGER PRIMARY KEY, space INTEGER NOT NULL REFERENCES text, genes TEXT NOT NULL, UNIQUE (space, genes)
);
CREATE TABLE IF NOT EXISTS measurement (
    genome INTEGER REFERENCES genome, label INTEGER REFERENCES text, value REAL, error TEXT, seconds REAL,
    PRIMARY KEY (genome, label)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS run (
    id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL UNIQUE, spec TEXT NOT NULL, started REAL
);
CREATE TABLE IF NOT EXISTS visit (
    run INTEGER REFERENCES run, position INTEGER, genome INTEGER NOT NULL REFERENCES genome,
    PRIMARY KEY (run, position)
) WITHOUT ROWID;
PRAGMA application_id = %d;
PRAGMA user_version = %d;
COMMIT;
"""  # `text` holds specs of spaces and labels of objectives, which are long and few
MEASURED = """
SELECT text.value, m.value, m.error, m.seconds FROM genome
JOIN measurement m ON m.genome = genome.id JOIN text ON text.id = m.label WHERE genome.space = ? AND genome.genes = ?
"""
VISITED = """
SELECT visit.position, genome.genes, text.value, m.value, m.error, m.seconds FROM visit
JOIN genome ON genome.id = visit.genome
LEFT JOIN measurement m ON m.genome = genome.id LEFT JOIN text ON text.id = m.label
WHERE visit.run = ? ORDER BY visit.position
"""


class Measurement(NamedTuple):
    """One objective of one genome: a value or what went wrong, and the seconds that it took."""

    value: float | None
    error: str | None
    seconds: float


class Summary(NamedTuple):
    """One line about a run."""

    name: str
    record: Record
    started: float  # seconds since the epoch, when it was last started or resumed
    visited: int


class Store:
    """A SQLite file. Several processes may use it at once; one that is killed leaves it whole.

    Args:
        path: The file; made if it does not exist.

    Raises:
        NasctlError: The path cannot be written, or holds something else or a damaged store, which is left as it is.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = str(path)
        _check_header(Path(path))
        self._connect(str(Path(path).absolute()))  # so that ":memory:" is a file like others

    @classmethod
    def reading(cls, path: Path | str) -> Store:
        """A store to read from; where there is no file an empty one in memory, so that none is made.

        Raises:
            NasctlError: As for a store that is written.
        """
        file = Path(path)
        there = file.exists() and (file.is_dir() or file.stat().st_size > 0)
        if there and os.access(file, os.W_OK) and os.access(file.absolute().parent, os.W_OK):
            return cls(path)
        store = cls.__new__(cls)
        store.path = str(path)
        _check_header(file)
        store._connect(f"{file.absolute().as_uri()}?immutable=1" if there else ":memory:")
        return store

    def _connect(self, database: str) -> None:
        with _guarded(self.path):
            self.database = sqlite3.connect(database, timeout=60, uri=database.startswith("file:"))
            finalize(self, self.database.close)
            if not self.database.execute("PRAGMA user_version").fetchone()[0]:
                self.database.executescript(SCHEMA % (APPLICATION, VERSION))
            (found,) = self.database.execute("PRAGMA quick_check(1)").fetchone()
            if found != "ok":
                raise sqlite3.DatabaseError(found)
        # In WAL mode readers never wait, and NORMAL is safe against a kill (a power cut may cost the last candidates).
        with suppress(sqlite3.OperationalError):  # the one statement that does not wait for a lock; others will set it
            self.database.execute("PRAGMA journal_mode=WAL")
        self.database.execute("PRAGMA synchronous=NORMAL")

    def journal(self, run: str, record: Record) -> Journal:
        """Start a run, or take it up again from its beginning.

        Args:
            run: Its name.
            record: What was asked for.

        Raises:
            NasctlError: There is a run of that name which asked for something else.
        """
        text = record.json()
        with _guarded(self.path), self.database:
            row = self.database.execute("SELECT spec FROM run WHERE name = ?", (run,)).fetchone()
            after = Record.parsed(text)
            before = Record.parsed(row[0]) if row else after
            keys = {*before.asked, *after.asked}
            if other := sorted(key for key in keys if before.asked.get(key) != after.asked.get(key)):
                raise NasctlError(
                    f"run {run!r} was started with another {', '.join(other)}; give this one another name with --run"
                )
            if before.labels != after.labels:
                changed = sorted(name for name in after.labels if before.labels.get(name) != after.labels[name])
                raise RunChanged(
                    f"run {run!r} was made with another version of {', '.join(changed)} and is left as it is;"
                    " give this one another name with --run"
                )
            self.database.execute(
                "INSERT INTO run (name, spec, started) VALUES (?1, ?2, ?3)"
                " ON CONFLICT (name) DO UPDATE SET spec = ?2, started = ?3",
                (run, text, time.time()),
            )
            (number,) = self.database.execute("SELECT id FROM run WHERE name = ?", (run,)).fetchone()
            labels = {label: self._text(label) for label in record.labels.values()}
            return Journal(self, record, run, number, self._text(record.space), labels)

    def ledger(self, space: str, labels: Collection[str]) -> Ledger:
        """Where measurements under these labels are kept, of a space by its spec with every default written out."""
        with _guarded(self.path), self.database:
            return Ledger(self, self._text(space), {label: self._text(label) for label in labels})

    def run(self, name: str | None = None) -> tuple[str, Record]:
        """A run and its name, by its name or a beginning of it that no other has, or of the one started last.

        Raises:
            UnknownName: There is no such run.
            NasctlError: There is no run at all, or more than one is meant.
        """
        with _guarded(self.path):
            runs = dict(self.database.execute("SELECT name, spec FROM run ORDER BY started DESC"))
        if not runs:
            raise NasctlError(f"the store {self.path} holds no run yet; `nasctl search` starts one")
        begun = [one for one in runs if name is None or one.startswith(name)]
        if name is not None and name not in runs and len(begun) > 1:
            raise NasctlError(f"{len(begun)} runs begin with {name!r}: {', '.join(begun)}; give more of the name")
        if not begun:
            raise UnknownName("run", str(name), list(runs))
        chosen = str(name if name in runs else begun[0])
        return chosen, Record.parsed(runs[chosen])

    def runs(self) -> list[Summary]:
        """All runs, the one started last first."""
        with _guarded(self.path):
            rows = self.database.execute(
                "SELECT name, spec, started, (SELECT count(*) FROM visit WHERE run = run.id) FROM run"
                " ORDER BY started DESC"
            ).fetchall()
        return [Summary(name, Record.parsed(spec), started, visited) for name, spec, started, visited in rows]

    def delete(self, run: str) -> None:
        """Forget a run; what it measured stays, for other runs share it."""
        with _guarded(self.path), self.database:
            self.database.execute("DELETE FROM visit WHERE run = (SELECT id FROM run WHERE name = ?)", (run,))
            self.database.execute("DELETE FROM run WHERE name = ?", (run,))

    def evaluations(self, run: str) -> list[Evaluation]:
        """What a run has visited, in order, with what was measured of it."""
        return [found for found, _ in self.visits(run)]

    def visits(self, run: str) -> Iterator[tuple[Evaluation, float]]:
        """What a run has visited, in order, with what was measured of it and the seconds that it took.

        Of what breaks a constraint by its cost alone that is its costs, as in the search, whatever other runs know.
        """
        run, record = self.run(run)
        with _guarded(self.path):
            (number,) = self.database.execute("SELECT id FROM run WHERE name = ?", (run,)).fetchone()
            rows = self.database.execute(VISITED, (number,)).fetchall()
        by_position: dict[int, tuple[str, dict[str, Measurement]]] = {}
        for position, genes, label, *rest in rows:
            by_position.setdefault(position, (genes, {}))[1][label] = Measurement(*rest)
        for genes, found in by_position.values():
            labels = seen(record, _genome(genes), found)
            seconds = sum(found[label].seconds for label in labels.values() if label in found)
            yield evaluation(_genome(genes), labels, found), seconds

    def spaces(self) -> list[str]:
        """Specs of all spaces of which something was measured."""
        with _guarded(self.path):
            query = "SELECT DISTINCT text.value FROM genome JOIN text ON text.id = genome.space"
            return [space for (space,) in self.database.execute(query)]

    def genomes(self, space: str) -> list[Genome]:
        """All genomes of a space, by its spec, of which something was measured."""
        query = "SELECT genes FROM genome JOIN text ON text.id = genome.space WHERE text.value = ?"
        with _guarded(self.path):
            return [_genome(genes) for (genes,) in self.database.execute(query, (space,))]

    def _text(self, value: str) -> int:
        """The number that stands for a text."""
        self.database.execute("INSERT OR IGNORE INTO text (value) VALUES (?)", (value,))
        (number,) = self.database.execute("SELECT id FROM text WHERE value = ?", (value,)).fetchone()
        return int(number)


class Ledger:
    """The measurements of one space."""

    def __init__(self, store: Store, space: int, labels: Mapping[str, int]) -> None:
        self._store = store  # which closes the file when nobody holds it
        self._space, self._labels = space, labels

    def known(self, genome: Genome, labels: Collection[str]) -> dict[str, Measurement]:
        """What any run has measured of a genome under these labels."""
        with _guarded(self._store.path):
            rows = self._store.database.execute(MEASURED, (self._space, _text(genome))).fetchall()
        return {label: Measurement(*rest) for label, *rest in rows if label in labels}

    def file(self, genome: Genome, measured: Mapping[str, Measurement]) -> None:
        """Keep what was newly measured of a genome."""
        with _guarded(self._store.path), self._store.database:
            self._file(genome, measured)

    def _file(self, genome: Genome, measured: Mapping[str, Measurement]) -> int:
        """Keep it as a part of the transaction that is open; returns the genome's number."""
        key, database = (self._space, _text(genome)), self._store.database
        database.execute("INSERT OR IGNORE INTO genome (space, genes) VALUES (?, ?)", key)
        (number,) = database.execute("SELECT id FROM genome WHERE space = ? AND genes = ?", key).fetchone()
        rows = [(number, self._labels[label], *measurement) for label, measurement in measured.items()]
        database.executemany("INSERT OR IGNORE INTO measurement VALUES (?, ?, ?, ?, ?)", rows)
        return int(number)


class Journal(Ledger):
    """One run's view of the store."""

    def __init__(
        self, store: Store, record: Record, run: str, number: int, space: int, labels: Mapping[str, int]
    ) -> None:
        super().__init__(store, space, labels)
        self.record = record
        self._run, self._number, self._position = run, number, 0

    def visit(self, genome: Genome, measured: Mapping[str, Measurement]) -> None:
        """Record the run's next genome and what was newly measured of it: both or neither.

        Raises:
            RunChanged: The run went to another genome at this point before; nothing is recorded.
        """
        where, database = (self._number, self._position), self._store.database
        with _guarded(self._store.path), database:
            if not database.execute("SELECT 1 FROM run WHERE id = ?", (self._number,)).fetchone():
                raise NasctlError(f"run {self._run!r} was deleted while it ran; type the same command to start it anew")
            database.execute("INSERT OR IGNORE INTO visit VALUES (?, ?, ?)", (*where, self._file(genome, measured)))
            query = "SELECT genes FROM visit JOIN genome ON genome.id = visit.genome WHERE run = ? AND position = ?"
            (before,) = database.execute(query, where).fetchone()
            if before != _text(genome):
                raise RunChanged(
                    f"run {self._run!r} went to {before} as candidate {self._position} before and to {_text(genome)}"
                    " now: nasctl or a library has changed; start a new run with another --seed or --run name"
                )
        self._position += 1


def evaluation(genome: Genome, labels: Mapping[str, str], found: Mapping[str, Measurement]) -> Evaluation:
    """Measurements by label as an evaluation by objective."""
    by_name = {name: found[label] for name, label in labels.items() if label in found}
    values = {name: measurement.value for name, measurement in by_name.items() if measurement.value is not None}
    errors = {name: measurement.error for name, measurement in by_name.items() if measurement.error is not None}
    return Evaluation(genome, values, errors)


def seen(record: Record, genome: Genome, found: Mapping[str, Measurement]) -> Mapping[str, str]:
    """The labels that count for a genome: all, or those that need no module where these break a constraint."""
    values = evaluation(genome, record.cheap, found).values
    broken = any(constraint.violation(values) for constraint in record.bounded)
    return record.cheap if broken else record.labels


@contextmanager
def _guarded(path: str) -> Iterator[None]:
    """Turn what SQLite says into a sentence for the user."""
    try:
        yield
    except sqlite3.OperationalError as error:
        full, held = "full" in str(error), "locked" in str(error)
        mend = "free some space and type the same command again" if full else "mend that, or give another with --store"
        mend = "another process holds it: type the same command when that is done" if held else mend
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
        with path.open("rb") as file:
            header = file.read(100)
    except FileNotFoundError:
        return
    except OSError as error:
        raise NasctlError(f"the store {path} cannot be read ({error.strerror}); give another with --store") from error
    if not header:
        return
    application, version = int.from_bytes(header[68:72]), int.from_bytes(header[60:64])
    if not header.startswith(b"SQLite format 3\0") or application != APPLICATION:
        raise NasctlError(f"{path} is not a store of nasctl; it is left as it is: give another with --store")
    if version > VERSION:
        raise NasctlError(f"the store {path} is of a newer nasctl; update nasctl, or give another with --store")


def _text(genome: Genome) -> str:
    return ",".join(map(str, genome))


def _genome(text: str) -> Genome:
    return tuple(map(int, text.split(",")))

"""The tables of a store, and the upgrade of a store that an older nasctl wrote."""

from __future__ import annotations

import sqlite3
import sys
from contextlib import closing
from itertools import count
from pathlib import Path

from nasctl.system.files import replacement

APPLICATION_ID = 0x4E415343  # "NASC", by which the header of a SQLite file says that the file is a store
VERSION = 4  # version of the schema
# `spec` and `result` are JSON, see `nasctl.store.training_table`.
TRAINING = """CREATE TABLE training (
    id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL UNIQUE, genome INTEGER NOT NULL REFERENCES genome,
    spec TEXT NOT NULL, state TEXT NOT NULL, result TEXT NOT NULL, seconds REAL, started REAL, folder TEXT
)"""
TABLES = (
    # Specs of spaces, labels of measurements and names of machines, which are long and few.
    "CREATE TABLE text (id INTEGER PRIMARY KEY, value TEXT NOT NULL UNIQUE)",
    """CREATE TABLE genome (
        id INTEGER PRIMARY KEY, space INTEGER NOT NULL REFERENCES text, genes TEXT NOT NULL, UNIQUE (space, genes)
    )""",
    """CREATE TABLE measurement (
        genome INTEGER REFERENCES genome, label INTEGER REFERENCES text, value REAL, error TEXT, seconds REAL,
        machine INTEGER REFERENCES text, PRIMARY KEY (genome, label)
    ) WITHOUT ROWID""",
    # `turn` orders runs by their last start, whatever the clock said then.
    """CREATE TABLE run (
        id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL UNIQUE, spec TEXT NOT NULL, started REAL, turn INTEGER
    )""",
    # `failed` is JSON, {label: error}: the failures that the run was told of. They may have been measured again since.
    """CREATE TABLE visit (
        run INTEGER REFERENCES run, position INTEGER, genome INTEGER NOT NULL REFERENCES genome, failed TEXT,
        PRIMARY KEY (run, position)
    ) WITHOUT ROWID""",
    TRAINING,
    f"PRAGMA application_id = {APPLICATION_ID}",
    f"PRAGMA user_version = {VERSION}",
)
UPGRADES = {  # statements that turn the tables of a version into those of the next one
    1: (
        "ALTER TABLE visit ADD COLUMN failed TEXT",
        """UPDATE visit SET failed = (
            SELECT json_group_object(label, error) FROM measurement m
            WHERE m.genome = visit.genome AND error IS NOT NULL
        ) WHERE genome IN (SELECT genome FROM measurement WHERE error IS NOT NULL)""",
        "ALTER TABLE run ADD COLUMN turn INTEGER",
        "UPDATE run SET turn = (SELECT count(*) FROM run o WHERE (o.started, o.id) <= (run.started, run.id))",
    ),
    # The machine of a value that is there already stays unknown.
    2: ("ALTER TABLE measurement ADD COLUMN machine INTEGER REFERENCES text",),
    3: (TRAINING,),
}


def version(connection: sqlite3.Connection) -> int:
    """Return the version of the schema; 0 in a file without tables."""
    (found,) = connection.execute("PRAGMA user_version").fetchone()
    return int(found)


def upgrade(connection: sqlite3.Connection, file: Path | None) -> None:
    """Create the tables of a new store, or bring the tables of an older store to this version.

    Call it in an open transaction.

    Args:
        connection: The store.
        file: The store's file, beside which a copy of an older store is left; None if the store is a copy itself.
    """
    found = version(connection)  # another process may have been faster
    copy = _backup(file, found) if 0 < found < VERSION and file is not None else None
    for statement in _statements(found):
        connection.execute(statement)
    if copy is not None:
        print(f"the store is brought up to this version of nasctl; as it was it stays in {copy}", file=sys.stderr)


def _statements(found: int) -> tuple[str, ...]:
    """Return the statements that turn the tables of a version into those of this version; of version 0, a new file."""
    if not 0 < found < VERSION:
        return () if found else TABLES
    steps = (statement for version in range(found, VERSION) for statement in UPGRADES[version])
    return (*steps, f"PRAGMA user_version = {VERSION}")


def _backup(file: Path, version: int) -> Path:
    """Copy a store of an older version to a free name beside it, and return the path of the copy."""
    places = (file.with_name(f"{file.name}.v{version}.bak{number or ''}") for number in count())
    place = next(place for place in places if not place.exists())
    with (
        replacement(place, "make room beside the store, or give another with --store") as draft,
        closing(sqlite3.connect(file)) as source,
        closing(sqlite3.connect(draft)) as target,
    ):
        source.backup(target)
    return place

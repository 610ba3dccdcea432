"""The tables of a store, and how one of an older nasctl gets them."""

from __future__ import annotations

import sqlite3
import sys
from contextlib import closing
from itertools import count
from pathlib import Path

from nasctl.system.files import replacement

APPLICATION = 0x4E415343  # "NASC" in the header of the file says that it is a store
VERSION = 2  # of the schema
TABLES = (
    # Specs of spaces and labels of objectives, which are long and few.
    "CREATE TABLE text (id INTEGER PRIMARY KEY, value TEXT NOT NULL UNIQUE)",
    """CREATE TABLE genome (
        id INTEGER PRIMARY KEY, space INTEGER NOT NULL REFERENCES text, genes TEXT NOT NULL, UNIQUE (space, genes)
    )""",
    """CREATE TABLE measurement (
        genome INTEGER REFERENCES genome, label INTEGER REFERENCES text, value REAL, error TEXT, seconds REAL,
        PRIMARY KEY (genome, label)
    ) WITHOUT ROWID""",
    # `turn` orders runs by when they were last started, whatever the clock said then.
    """CREATE TABLE run (
        id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL UNIQUE, spec TEXT NOT NULL, started REAL, turn INTEGER
    )""",
    # `failed` is JSON, {label: error}: what had failed when the run was there, for it may be measured again since.
    """CREATE TABLE visit (
        run INTEGER REFERENCES run, position INTEGER, genome INTEGER NOT NULL REFERENCES genome, failed TEXT,
        PRIMARY KEY (run, position)
    ) WITHOUT ROWID""",
    f"PRAGMA application_id = {APPLICATION}",
    f"PRAGMA user_version = {VERSION}",
)
UPGRADE = (  # from version 1
    "ALTER TABLE visit ADD COLUMN failed TEXT",
    """UPDATE visit SET failed = (
        SELECT json_group_object(label, error) FROM measurement m WHERE m.genome = visit.genome AND error IS NOT NULL
    ) WHERE genome IN (SELECT genome FROM measurement WHERE error IS NOT NULL)""",
    "ALTER TABLE run ADD COLUMN turn INTEGER",
    "UPDATE run SET turn = (SELECT count(*) FROM run o WHERE (o.started, o.id) <= (run.started, run.id))",
    f"PRAGMA user_version = {VERSION}",
)


def version(connection: sqlite3.Connection) -> int:
    """Of the schema; 0 in a file that has none."""
    (found,) = connection.execute("PRAGMA user_version").fetchone()
    return int(found)


def bring_up(connection: sqlite3.Connection, file: Path | None) -> None:
    """Make the tables, or those of this version of an older one's; within a transaction that is open.

    Args:
        connection: To the store.
        file: Beside which a copy of an older store is left; None where the store is a copy itself.
    """
    found = version(connection)  # another process may have been faster
    copy = _copied(file, found) if 0 < found < VERSION and file is not None else None
    for statement in {0: TABLES, VERSION: ()}.get(found, UPGRADE):
        connection.execute(statement)
    if copy is not None:
        print(f"the store is brought up to this version of nasctl; as it was it stays in {copy}", file=sys.stderr)


def _copied(file: Path, found: int) -> Path:
    """Copy a store of that version beside it, under a name that is free, whole or not at all; returns the copy."""
    places = (file.with_name(f"{file.name}.v{found}.bak{number or ''}") for number in count())
    place = next(place for place in places if not place.exists())
    with (
        replacement(place, "make room beside the store, or give another with --store") as draft,
        closing(sqlite3.connect(file)) as source,
        closing(sqlite3.connect(draft)) as target,
    ):
        source.backup(target)
    return place

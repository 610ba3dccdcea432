"""The tables of a store: created once, and upgraded with a copy beside the store."""

import sqlite3

import pytest

from nasctl.errors import NasctlError
from nasctl.store import schema
from nasctl.store.store import Store

VERSION_1 = """
CREATE TABLE run (id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL UNIQUE, spec TEXT NOT NULL, started REAL);
CREATE TABLE visit (run INTEGER, position INTEGER, genome INTEGER, PRIMARY KEY (run, position)) WITHOUT ROWID;
CREATE TABLE measurement (
    genome INTEGER, label INTEGER, value REAL, error TEXT, seconds REAL, PRIMARY KEY (genome, label)
) WITHOUT ROWID;
INSERT INTO run VALUES (1, 'later', '', 20.0), (2, 'first', '', 10.0), (3, 'tied', '', 20.0);
INSERT INTO visit VALUES (1, 0, 7), (1, 1, 8);
INSERT INTO measurement VALUES (7, 4, 1.0, NULL, 0.1), (7, 5, NULL, 'no room', 0.1), (8, 4, 2.0, NULL, 0.1);
PRAGMA application_id = 1312904003;
PRAGMA user_version = 1;
"""


@pytest.fixture
def opened(tmp_path):
    """A function that opens a file of this name, after the statements of a script."""
    made = []

    def open_after(name, script=""):
        made.append(sqlite3.connect(tmp_path / name))
        made[-1].executescript(script)
        return made[-1]

    yield open_after
    for connection in made:
        connection.close()


def test_a_file_without_tables_has_version_0(opened):
    connection = opened("store")
    assert schema.version(connection) == 0
    connection.execute("PRAGMA user_version = 7")
    assert schema.version(connection) == 7


def test_a_new_store_has_all_tables_and_nothing_is_said(opened, tmp_path, capsys):
    connection = opened("store")
    schema.upgrade(connection, tmp_path / "store")
    tables = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'")
    assert {name for (name,) in tables} == {"text", "genome", "measurement", "run", "visit", "training"}
    assert schema.version(connection) == schema.VERSION
    assert connection.execute("PRAGMA application_id").fetchone() == (1312904003,)
    assert [path.name for path in tmp_path.iterdir()] == ["store"]
    assert capsys.readouterr() == ("", "")


def test_the_tables_of_version_1_are_upgraded(opened, tmp_path, capsys):
    connection = opened("store", VERSION_1)
    schema.upgrade(connection, tmp_path / "store")
    assert schema.version(connection) == schema.VERSION
    assert connection.execute("SELECT position, failed FROM visit").fetchall() == [(0, '{"5":"no room"}'), (1, None)]
    turns = connection.execute("SELECT name, turn FROM run ORDER BY turn").fetchall()
    assert turns == [("first", 1), ("later", 2), ("tied", 3)]
    copy = tmp_path / "store.v1.bak"
    assert capsys.readouterr() == (
        "",
        f"the store is brought up to this version of nasctl; as it was it stays in {copy}\n",
    )
    assert schema.version(opened("store.v1.bak")) == 1


def test_the_tables_of_version_2_are_upgraded_and_old_values_have_no_machine(opened, tmp_path, capsys):
    connection = opened("store", VERSION_1)
    for statement in (*schema.UPGRADES[1], "PRAGMA user_version = 2"):
        connection.execute(statement)
    connection.commit()
    schema.upgrade(connection, tmp_path / "store")
    assert schema.version(connection) == schema.VERSION
    found = connection.execute("SELECT genome, value, machine FROM measurement").fetchall()
    assert found == [(7, 1.0, None), (7, None, None), (8, 2.0, None)]
    assert f"as it was it stays in {tmp_path / 'store.v2.bak'}" in capsys.readouterr().err


def test_the_tables_of_version_3_are_upgraded_and_hold_no_training(opened, tmp_path, capsys):
    connection = opened("store")
    for statement in schema.TABLES:
        connection.execute(statement)
    connection.execute("DROP TABLE training")  # the only change since version 3
    connection.execute("INSERT INTO run VALUES (1, 'kept', '{}', 1.0, 1)")
    connection.execute("PRAGMA user_version = 3")
    connection.commit()
    schema.upgrade(connection, tmp_path / "store")
    assert schema.version(connection) == schema.VERSION == 4
    assert connection.execute("SELECT count(*) FROM training").fetchone() == (0,)
    assert connection.execute("SELECT name FROM run").fetchone() == ("kept",)
    assert f"as it was it stays in {tmp_path / 'store.v3.bak'}" in capsys.readouterr().err


def test_an_upgraded_store_has_the_tables_of_a_new_one(opened, tmp_path):
    def columns(connection):
        names = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        return {name: {row[1] for row in connection.execute(f"PRAGMA table_info({name})")} for name in names}

    store = Store(tmp_path / "new")
    new = columns(store.database.connection)
    for version in range(1, schema.VERSION):
        connection = opened(f"store{version}", VERSION_1)
        for step in range(1, version):
            for statement in schema.UPGRADES[step]:
                connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {version}")
        connection.commit()
        schema.upgrade(connection, None)
        assert columns(connection).items() <= new.items()
        assert "training" in columns(connection)


def test_copies_are_numbered(opened, tmp_path):
    (tmp_path / "store.v1.bak").write_text("mine")
    (tmp_path / "store.v1.bak1").write_text("mine too")
    schema.upgrade(opened("store", VERSION_1), tmp_path / "store")
    assert sorted(path.name for path in tmp_path.glob("store.*")) == ["store.v1.bak", "store.v1.bak1", "store.v1.bak2"]
    assert schema.version(opened("store.v1.bak2")) == 1


def test_a_copy_in_memory_is_upgraded_without_a_copy_beside_it(opened, tmp_path, capsys):
    connection = opened("store", VERSION_1)
    schema.upgrade(connection, None)
    assert schema.version(connection) == schema.VERSION
    assert list(tmp_path.glob("*.bak*")) == []
    assert capsys.readouterr().err == ""


def test_a_store_that_another_process_has_upgraded_is_left_alone(opened, tmp_path, capsys):
    Store(tmp_path / "store")
    connection = opened("store")
    schema.upgrade(connection, tmp_path / "store")
    assert list(tmp_path.glob("*.bak*")) == []
    assert capsys.readouterr().err == ""


def test_a_store_without_room_for_its_copy_stays_as_it_is(opened, tmp_path):
    name = "s" * 240  # the name of a draft of the copy is longer than a file system takes
    opened(name, VERSION_1)
    with pytest.raises(NasctlError) as raised:
        Store(tmp_path / name)
    assert str(raised.value) == (
        f"{tmp_path / name}.v1.bak cannot be written (File name too long); make room beside the store, or give another"
        " with --store"
    )
    assert schema.version(opened(name)) == 1

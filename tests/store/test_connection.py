"""Connections to a file: which file is opened, what a reader sees and leaves, and what is said of each fault."""

import os
import shutil
import sqlite3
import subprocess
import sys
import threading

import pytest

from nasctl.errors import NasctlError
from nasctl.problem.searcher import Goal
from nasctl.store import connection
from nasctl.store.connection import guarded
from nasctl.store.measurements import Measurement
from nasctl.store.run_record import Column, RunRecord
from nasctl.store.store import Store

RECORD = RunRecord("chain", {"size": Column("size v1", "B", "network", Goal("size", "min", "identity", "network"))})


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def pragma(store, name):
    with store.database.reading() as database:
        return database.execute(f"PRAGMA {name}").fetchone()[0]


def run_names(store):
    return [run.name for run in store.runs()]


def torn(path):
    """Make a store of many pages, overwrite its pages 2 to 5, and return its size."""
    log = Store(path).journal("run", RECORD)
    for number in range(60):
        log.visit((number,), {"size v1": Measurement(None, "much " * 100, 0.0)})
    database = sqlite3.connect(path)
    database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    database.close()
    whole = path.read_bytes()
    path.write_bytes(whole[:4096] + bytes(range(256)) * 64 + whole[4096 + 16384 :])
    return len(whole)


@pytest.fixture
def path(tmp_path, monkeypatch):
    """The path of a store that does not exist yet, in a folder that is the current one."""
    monkeypatch.chdir(tmp_path)
    return tmp_path / "store"


@pytest.fixture
def deny(monkeypatch):
    """A function that takes the right to write some paths, which root has everywhere."""

    def take(*paths):
        monkeypatch.setattr(os, "access", lambda path, mode: not (path in paths and mode == os.W_OK))

    return take


def test_a_new_store_is_one_file_with_a_write_ahead_log(path, capsys):
    store = Store(path)
    assert store.path == str(path)
    assert (pragma(store, "journal_mode"), pragma(store, "synchronous")) == ("wal", 1)  # 1 is NORMAL
    del store
    assert names(path.parent) == ["store"]
    assert capsys.readouterr().err == ""


def test_a_store_without_a_file_is_in_memory(path):
    store = Store.reading(path)
    assert store.runs() == []
    assert names(path.parent) == []


def test_an_empty_file_is_a_store_without_runs(path):
    path.touch()
    assert Store.reading(path).runs() == []
    assert path.read_bytes() == b""
    Store(path).journal("run", RECORD)
    assert run_names(Store.reading(path)) == ["run"]


def test_a_reader_sees_what_is_written_after_it_opened_the_store(path):
    writer = Store(path)
    reader = Store.reading(path)
    writer.journal("run", RECORD)
    assert run_names(reader) == ["run"]
    with pytest.raises(NasctlError, match=r"attempt to write a readonly database"):
        reader.journal("other", RECORD)


@pytest.mark.parametrize("denied", ["file", "folder"])
def test_a_reader_without_the_right_to_write_leaves_no_file_beside_the_store(denied, path, deny):
    Store(path).journal("run", RECORD)
    deny(path if denied == "file" else path.parent)
    reader = Store.reading(path)
    assert run_names(reader) == ["run"]
    assert names(path.parent) == ["store"]


def test_an_empty_write_ahead_log_is_no_reason_to_write_beside_the_store(path, deny):
    Store(path).journal("run", RECORD)
    (path.parent / "store-wal").touch()
    deny(path)
    reader = Store.reading(path)
    assert run_names(reader) == ["run"]
    assert names(path.parent) == ["store", "store-wal"]


def test_a_reader_without_the_right_to_write_leaves_the_write_ahead_log_of_a_killed_process(path, tmp_path, deny):
    writer = Store(path)
    writer.journal("run", RECORD)
    killed = tmp_path / "killed"
    killed.mkdir()
    for name in ("store", "store-wal"):  # as they lie while the writer runs
        shutil.copy(tmp_path / name, killed / name)
    before = [(killed / name).read_bytes() for name in ("store", "store-wal")]
    deny(killed / "store")
    reader = Store.reading(killed / "store")
    assert run_names(reader) == ["run"]
    del reader
    assert [(killed / name).read_bytes() for name in ("store", "store-wal")] == before


def test_a_store_is_used_and_left_by_any_thread(path):
    store, seen = Store(path), []

    def use():
        store.journal("run", RECORD)
        seen.extend(run_names(store))

    thread = threading.Thread(target=use)
    thread.start()
    thread.join()
    assert seen == ["run"]


def test_a_connection_is_closed_with_its_store(path):
    store = Store(path)
    inner = store.database.connection
    del store
    with pytest.raises(sqlite3.ProgrammingError, match="closed database"):
        inner.execute("SELECT 1")


@pytest.mark.parametrize(("wait", "milliseconds"), [(60.0, 5000), (0.25, 250)])
def test_python_handles_a_signal_between_waits_for_a_lock(wait, milliseconds, path, monkeypatch):
    monkeypatch.setattr(connection, "WRITE_WAIT", wait)
    assert pragma(Store(path), "busy_timeout") == milliseconds


def test_a_store_opens_while_another_process_writes_and_waits_when_it_writes_itself(path, monkeypatch):
    first = Store(path)
    monkeypatch.setattr(connection, "WRITE_WAIT", 0.0)
    with first.database.writing():
        second = Store(path)
        assert second.runs() == []
        with pytest.raises(NasctlError) as raised:
            second.journal("run", RECORD)
    assert str(raised.value) == (
        f"the store {path} cannot be used (database is locked);"
        " another process holds it: type the same command when that is done"
    )
    second.journal("run", RECORD)
    assert run_names(first) == ["run"]


def test_a_store_opens_while_a_reader_keeps_its_journal_from_changing(path, monkeypatch):
    Store(path)
    monkeypatch.setattr(connection, "WRITE_WAIT", 0.0)
    other = sqlite3.connect(path)
    other.execute("PRAGMA journal_mode=DELETE")
    other.execute("BEGIN")
    other.execute("SELECT * FROM run").fetchall()
    assert pragma(Store(path), "journal_mode") == "delete"
    other.close()
    assert pragma(Store(path), "journal_mode") == "wal"  # a later process sets it


@pytest.mark.parametrize("header", [True, False], ids=["in the header", "in the write-ahead log"])
@pytest.mark.parametrize("opened", [Store, Store.reading])
def test_a_store_of_a_newer_nasctl_is_refused(opened, header, path):
    Store(path)
    other = sqlite3.connect(path)
    other.execute("PRAGMA user_version = 99")
    if header:
        other.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    with pytest.raises(NasctlError) as raised:
        opened(path)
    other.close()
    assert str(raised.value) == (f"the store {path} is of a newer nasctl; update nasctl, or give another with --store")


@pytest.mark.parametrize("content", [b"not a database", b"SQLite format 3\0", b"sqlite format 3\0" + bytes(84)])
def test_a_file_that_is_no_store_is_refused(content, path):
    path.write_bytes(content)
    with pytest.raises(NasctlError) as raised:
        Store(path)
    assert str(raised.value) == f"{path} is not a store of nasctl; it is left as it is: give another with --store"
    assert path.read_bytes() == content


def test_a_path_that_is_no_file_is_refused(path):
    path.mkdir()
    with pytest.raises(NasctlError) as raised:
        Store(path)
    assert str(raised.value) == f"the store {path} cannot be read (Is a directory); give another with --store"


def test_a_folder_that_is_not_there_is_one_sentence(path):
    with pytest.raises(NasctlError) as raised:
        Store(path / "none" / "store")
    assert str(raised.value) == (
        f"the store {path}/none/store cannot be used (unable to open database file);"
        " look whether its folder is there and may be written, or give another with --store"
    )


def test_a_fault_in_a_page_is_named_up_to_the_size_that_is_checked(path, monkeypatch):
    size = torn(path)
    monkeypatch.setattr(connection, "CHECKED_SIZE", size)
    with pytest.raises(NasctlError) as raised:
        Store(path)
    said = str(raised.value)
    assert said.startswith(f"the store {path} is damaged (")
    assert said.endswith("); it is left as it is: restore a copy, or give another with --store")
    assert "*** in database main ***" in said or "malformed" in said
    monkeypatch.setattr(connection, "CHECKED_SIZE", size - 1)
    Store.reading(path)  # found where the page is used


@pytest.mark.parametrize(
    ("message", "remedy"),
    [
        ("database or disk is full", "free some space and type the same command again"),
        ("disk I/O error", "look whether the disk is full, over its quota or gone, and type the same command again"),
        ("no such table: run", "mend that, or give another with --store"),
    ],
)
def test_every_fault_has_its_remedy(message, remedy):
    with pytest.raises(NasctlError) as raised, guarded("mine"):
        raise sqlite3.OperationalError(message)
    assert str(raised.value) == f"the store mine cannot be used ({message}); {remedy}"


def test_a_long_fault_is_cut_to_a_line():
    with pytest.raises(NasctlError) as raised, guarded("mine"):
        raise sqlite3.DatabaseError("a  b\n" + "x" * 200)
    assert str(raised.value) == (
        f"the store mine is damaged (a b {'x' * 96}); it is left as it is: restore a copy, or give another with --store"
    )


@pytest.mark.parametrize("replaced", [False, True])
def test_a_store_that_was_removed_in_use_is_written_no_more(replaced, path):
    store = Store(path)
    path.rename(path.with_name("moved"))
    if replaced:
        Store(path)
    with pytest.raises(NasctlError) as raised:
        store.journal("run", RECORD)
    assert str(raised.value) == (
        f"the store {path} was removed or replaced while it was in use; put it back, or type the same command again"
        " to start a new one"
    )
    path.with_name("moved").replace(path)
    store.journal("run", RECORD)
    assert run_names(store) == ["run"]


def written_by_another_process(path):
    write = (
        "import sqlite3, sys\n"
        "database = sqlite3.connect(sys.argv[1])\n"
        "database.execute(\"INSERT INTO text (value) VALUES ('more')\")\n"
        "database.commit()\n"
        "database.close()\n"
    )
    subprocess.run([sys.executable, "-c", write, str(path)], check=True)


def test_a_second_connection_leaves_the_locks_of_the_first(path):
    Store(path).journal("run", RECORD)
    first = Store(path)
    assert run_names(first) == ["run"]
    assert run_names(Store.reading(path)) == ["run"]  # and is closed
    # The process that closes the last connection removes the write-ahead log. It must not think that it is the last.
    written_by_another_process(path)
    assert names(path.parent) == [path.name, f"{path.name}-shm", f"{path.name}-wal"]
    assert run_names(Store.reading(path)) == run_names(first) == ["run"]


def test_a_closed_store_is_looked_at_before_it_is_opened_again(path):
    Store(path).journal("run", RECORD)
    path.write_text("no store")
    with pytest.raises(NasctlError, match="is not a store of nasctl"):
        Store(path)

"""A store of an older nasctl is brought up to this one: nothing is lost, and it can be had back as it was."""

import os
import sqlite3
import subprocess
import sys

import pytest
from click.testing import CliRunner

from nasctl.cli import cli
from nasctl.errors import NasctlError
from nasctl.evaluation.task import Task
from nasctl.search.loop import evaluate
from nasctl.search.run import Run
from nasctl.store import schema
from nasctl.store.measurements import Measurement
from nasctl.store.store import Store
from nasctl.testing import Chain, found

RUN = Run("nbmacro", ("params", "macs"), "random")
VERSION_1 = """
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
PRAGMA application_id = 1312904003;
PRAGMA user_version = 1;
PRAGMA journal_mode = WAL;
"""
COLUMNS = {
    "text": "*",
    "genome": "*",
    "measurement": "genome, label, value, error, seconds",
    "run": "id, name, spec, started",
    "visit": "run, position, genome",
}


class Broken:
    unit, direction, transform, needs, version = "s", "max", "identity", frozenset({"network"}), "1"

    def __call__(self, candidate):
        return 1.0 / candidate.genome[0]


def older(path, store):
    """What version 1 would have written in place of this store."""
    database = sqlite3.connect(path)
    database.executescript(VERSION_1)
    database.execute("ATTACH ? AS new", (str(store),))
    for table, columns in COLUMNS.items():
        database.execute(f"INSERT INTO {table} SELECT {columns} FROM new.{table}")
    database.commit()
    database.close()
    return path


def version(path):
    database = sqlite3.connect(path)
    (number,) = database.execute("PRAGMA user_version").fetchone()
    database.close()
    return number


@pytest.fixture
def old(tmp_path):
    found(Run("nbmacro", ("params",), "random", called="first"), tmp_path / "new", 10)
    found(RUN, tmp_path / "new", 20)
    return older(tmp_path / "old", tmp_path / "new")


def test_an_older_store_goes_on_and_stays_beside_as_it_was(old, tmp_path, capsys):
    whole = found(RUN, tmp_path / "new", 40)
    assert found(RUN, old, 40) == whole
    said = capsys.readouterr()
    copy = tmp_path / "old.v1.bak"
    assert said.err == f"the store is brought up to this version of nasctl; as it was it stays in {copy}\n"
    assert (version(old), version(copy)) == (schema.VERSION, 1)
    store = Store.reading(copy)
    assert store.evaluations(RUN.name) == whole[:20]
    assert [run.name for run in store.runs()] == [RUN.name, "first"]
    found(RUN, old, 40)
    assert capsys.readouterr().err == ""


def test_a_copy_is_never_written_over(old, tmp_path):
    (tmp_path / "old.v1.bak").write_text("mine")
    Store(old)
    assert (tmp_path / "old.v1.bak").read_text() == "mine"
    assert version(tmp_path / "old.v1.bak1") == 1


def test_what_had_failed_before_is_known_of_every_visit(tmp_path):
    task = Task(Chain(), {"broken": Broken()})
    for genome in ((0, 1), (1, 1)):
        evaluate(task, genome, Store(tmp_path / "new").journal(f"run{genome}", task.record("chain")))
    store = Store(older(tmp_path / "old", tmp_path / "new"))
    label = task.record("chain").labels["broken"]
    store.ledger("chain", [label]).replace((0, 1), {label: Measurement(5.0, None, 0.1)})
    journal = store.journal("run(0, 1)", task.record("chain"))
    assert journal.known((0, 1), [label])[label].value == 5.0
    assert journal.known((0, 1), [label], 0)[label].error == "ZeroDivisionError: float division by zero"
    assert store.journal("run(1, 1)", task.record("chain")).known((1, 1), [label], 0)[label].value == 1.0


@pytest.mark.parametrize("writable", [True, False])
def test_who_reads_an_older_store_leaves_it_as_it_is(writable, old, monkeypatch):
    if not writable:
        monkeypatch.setattr(os, "access", lambda path, mode: mode != os.W_OK)  # which root may everywhere
    before = old.read_bytes()
    for words in (["runs", "list"], ["runs", "show"], ["pareto", "show"]):
        done = CliRunner().invoke(cli, [*words, "--json", "--store", str(old)], catch_exceptions=False)
        assert (done.exit_code, done.stderr) == (0, "")
    assert old.read_bytes() == before
    with pytest.raises(NasctlError, match="readonly"):
        Store.reading(old).delete("first")


def test_two_processes_that_find_an_older_store_bring_it_up_once(old, tmp_path):
    code = f"import sys; from nasctl.store import Store; sys.stdin.read(1); Store({str(old)!r})"
    both = [
        subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stderr=subprocess.PIPE) for _ in range(2)
    ]
    for one in both:
        one.stdin.write(b"\n")
        one.stdin.flush()
    said = [one.communicate()[1] for one in both]
    assert [one.returncode for one in both] == [0, 0]
    assert sorted(text.count(b"\n") for text in said) == [0, 1]
    assert [path.name for path in tmp_path.glob("old.v1*")] == ["old.v1.bak"]
    assert len(Store(old).evaluations(RUN.name)) == 20


@pytest.mark.parametrize("place", ["copy", "tables"])
def test_an_older_store_that_cannot_be_brought_up_stays_as_it_is(place, old, tmp_path, monkeypatch):
    def full(*given):
        raise sqlite3.OperationalError("database or disk is full")

    if place == "copy":
        monkeypatch.setattr(schema, "_backup", full)
    else:
        monkeypatch.setitem(schema.UPGRADES, 2, (*schema.UPGRADES[2], "INSERT INTO nothing VALUES (1)"))
    with pytest.raises(NasctlError, match="cannot be used"):
        Store(old)
    assert version(old) == 1
    assert [path for path in tmp_path.iterdir() if path.name.startswith(".")] == []
    monkeypatch.undo()
    assert len(Store.reading(old).evaluations(RUN.name)) == 20
    assert len(found(RUN, old, 30)) == 30

"""What a store promises: shared, whole whatever happens to its users, and never written over what is no store."""

import os
import sqlite3
import subprocess
import sys

import pytest

from nasctl.errors import NasctlError, RunChanged, UnknownName
from nasctl.evaluation.task import Task
from nasctl.search.loop import evaluate
from nasctl.search.run import Run
from nasctl.store.measurements import Measurement
from nasctl.store.store import Store
from nasctl.testing import Chain, found

NASCTL = [sys.executable, "-m", "nasctl"]
RUN = Run("nbmacro", ("params", "macs"), "random")


class Broken:
    unit, direction, transform, needs, version = "s", "max", "identity", frozenset({"network"}), "1"

    def __call__(self, candidate):
        return 1.0 / candidate.genome[0]


def count(path, table):
    database = sqlite3.connect(path)
    (rows,) = database.execute(f"SELECT count(*) FROM {table}").fetchone()
    database.close()
    return rows


def test_a_second_search_never_pays_twice(tmp_path):
    found(RUN, tmp_path / "store", 30)
    found(Run("nbmacro:classes=10", ("macs",), "random"), tmp_path / "store", 30)
    assert count(tmp_path / "store", "measurement") == 30 * 2
    assert count(tmp_path / "store", "run") == 2


def test_a_run_that_takes_another_path_says_so_and_records_nothing(tmp_path):
    task, store = Task(Chain(), {"broken": Broken()}), Store(tmp_path / "store")
    evaluate(task, (1, 1), store.journal("run", task.record("chain")))
    with pytest.raises(RunChanged, match="1,1 as candidate 0 before and to 1,0 now"):
        evaluate(task, (1, 0), store.journal("run", task.record("chain")))
    assert count(tmp_path / "store", "measurement") == count(tmp_path / "store", "visit") == 1


def test_a_name_stands_for_one_question(tmp_path):
    named = Run("nbmacro", ("params", "macs"), "random", called="mine")
    found(named, tmp_path / "store", 5)
    assert len(found(named, tmp_path / "store", 8)) == 8
    with pytest.raises(NasctlError, match="was started with other values of seed; give this one another name"):
        found(Run("nbmacro", ("params", "macs"), "random", seed=1, called="mine"), tmp_path / "store", 5)


def test_runs_are_found_by_the_beginning_of_their_name(tmp_path):
    store = Store(tmp_path / "store")
    for seed in (0, 1):
        list(Run("nbmacro", ("params",), "random", seed, called=f"seed{seed}").search(store, 2))
    assert [store.run()[0], store.run("seed0")[0]] == ["seed1", "seed0"]
    with pytest.raises(NasctlError, match="2 runs begin with 'seed': seed1, seed0"):
        store.run("seed")
    with pytest.raises(UnknownName, match="did you mean 'seed0'"):
        store.run("sed0")
    store.delete("seed1")
    assert [summary.name for summary in store.runs()] == ["seed0"]
    assert len(store.genomes(RUN.asked["space"])) == 4  # what was measured stays


@pytest.mark.parametrize(
    "content",
    [b"not a database, but somebody's thesis", b"SQLite format 3\0", "foreign", "truncated", "torn", "newer"],
    ids=lambda content: content if isinstance(content, str) else "bytes",
)
def test_what_is_no_sound_store_is_refused_and_left_as_it_is(content, tmp_path):
    path = tmp_path / "store"
    if content == "foreign":
        database = sqlite3.connect(path)
        database.execute("CREATE TABLE thesis (chapter TEXT)")
        database.commit()
        database.close()
    elif isinstance(content, bytes):
        path.write_bytes(content)
    else:
        found(RUN, path, 200)
        database = sqlite3.connect(path)
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        if content == "newer":
            database.execute("PRAGMA user_version = 99")
        database.close()
        whole = path.read_bytes()
        middle = len(whole) // 2 // 4096 * 4096
        if content == "truncated":
            path.write_bytes(whole[:middle])
        if content == "torn":
            path.write_bytes(whole[:4096] + bytes(range(256)) * 64 + whole[4096 + 16384 :])
    before = path.read_bytes()
    with pytest.raises(NasctlError, match=r"not a store of nasctl|is damaged|of a newer nasctl"):
        Store(path)
    assert path.read_bytes() == before


def test_reading_makes_no_file(tmp_path):
    assert Store.reading(tmp_path / "none").runs() == []
    assert list(tmp_path.iterdir()) == []


def test_a_store_that_may_not_be_written_can_be_read(tmp_path, monkeypatch):
    found(RUN, tmp_path / "store", 5)
    monkeypatch.setattr(os, "access", lambda path, mode: mode != os.W_OK)  # which root may everywhere
    store = Store.reading(tmp_path / "store")
    assert len(store.evaluations(RUN.name)) == 5
    with pytest.raises(NasctlError, match="cannot be used"):
        store.delete(RUN.name)


def test_a_full_disk_is_one_sentence_and_costs_nothing_that_was_recorded(tmp_path):
    store = Store(tmp_path / "store")
    (pages,) = (ask := store.database.connection.execute)("PRAGMA page_count").fetchone()
    ask(f"PRAGMA max_page_count = {pages + 8}")  # SQLite then says what it says of a full disk
    seen = []
    with pytest.raises(NasctlError, match=r"disk is full\); free some space and type the same command again"):
        seen.extend(visit.evaluation for visit in RUN.search(store, 2000))
    del store
    assert 0 < len(seen) < 2000
    assert Store(tmp_path / "store").evaluations(RUN.name) == seen
    assert found(RUN, tmp_path / "store", 300) == found(RUN, tmp_path / "other", 300)


@pytest.mark.slow  # it starts two processes
def test_two_processes_share_a_store(tmp_path):
    options = ["--space=mbconv", "--objective=params,macs", "--searcher=random", "--budget=1000"]
    searches = [
        subprocess.Popen([*NASCTL, "search", *options, "--seed", str(seed), "--store", str(tmp_path / "store")],
                         stderr=subprocess.DEVNULL)
        for seed in (0, 0, 1)  # two at the same run, and another
    ]  # fmt: skip
    assert [search.wait() for search in searches] == [0, 0, 0]
    store = Store(tmp_path / "store")
    assert sorted(summary.visited for summary in store.runs()) == [1000, 1000]
    for summary in store.runs():
        own = [f"--seed={summary.record.asked['seed']}", f"--store={tmp_path / 'alone'}"]
        subprocess.run([*NASCTL, "search", *options, *own], stderr=subprocess.DEVNULL, check=True)
        assert Store(tmp_path / "alone").evaluations(summary.name) == store.evaluations(summary.name)


def test_two_searches_of_one_run_are_told_the_same(tmp_path):
    """What failed for the one and not for the other, for want of memory perhaps, is what the faster one found."""
    task = Task(Chain(), {"broken": Broken()})
    (label,) = task.record("chain").labels.values()
    failure, value = Measurement(None, "MemoryError: ", 0.1), Measurement(5.0, None, 0.1)
    first, second = (Store(tmp_path / "store").journal("run", task.record("chain")) for _ in range(2))
    assert first.visit((0, 1), {label: failure}) == second.visit((0, 1), {label: value}) == {label: failure}
    assert first.visit((1, 1), {label: value}) == second.visit((1, 1), {label: failure}) == {label: value}
    first.replace((0, 1), {label: value})  # what a person has measured again meanwhile
    third = Store(tmp_path / "store").journal("run", task.record("chain"))
    assert third.known((0, 1), [label], 0) == third.visit((0, 1), {}) == {label: failure}
    assert third.known((0, 1), [label]) == {label: value}


def test_a_large_store_is_not_read_through_when_it_is_opened(tmp_path, monkeypatch):
    found(RUN, tmp_path / "store", 200)
    path = tmp_path / "store"
    database = sqlite3.connect(path)
    database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    database.close()
    whole = path.read_bytes()
    path.write_bytes(whole[:4096] + bytes(range(256)) * 64 + whole[4096 + 16384 :])
    monkeypatch.setattr("nasctl.store.connection.CHECKED_SIZE", 0)
    with pytest.raises(NasctlError, match="is damaged"):  # which is found where it is used
        found(RUN, path, 300)

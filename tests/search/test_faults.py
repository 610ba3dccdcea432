"""What goes wrong on disk and in other people's code: it is a sentence or one failed candidate, and nothing is lost."""

import json
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import threading
from contextlib import closing
from multiprocessing import get_context

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from nasctl import registry
from nasctl.candidates.setting import Setting
from nasctl.cli import cli
from nasctl.data import source
from nasctl.errors import NasctlError
from nasctl.evaluation.search_problem import SearchProblem
from nasctl.evaluation.task import Task
from nasctl.problem.fidelity import Fidelity
from nasctl.search.loop import search
from nasctl.search.run import Run
from nasctl.store import connection
from nasctl.store.store import Store
from nasctl.testing import found

RUN = Run("nbmacro", ("params", "macs"), "random")


@pytest.fixture
def disk(tmp_path):
    """A file system of its own, of 512 KB, and how it is mounted in another way."""
    folder = tmp_path / "disk"
    folder.mkdir()

    def mounted(*words):
        return subprocess.run(["mount", *words, folder], capture_output=True, check=False).returncode == 0

    if shutil.which("mount") is None or not mounted("-t", "tmpfs", "-o", "size=512k", "none"):
        pytest.skip("nothing can be mounted here")
    yield folder, lambda how: mounted("-o", f"remount,{how}")
    subprocess.run(["umount", "--lazy", folder], check=True)


def test_a_search_that_fills_its_disk_goes_on_when_there_is_room(disk, tmp_path):
    folder, mounted = disk
    seen, store = [], Store(folder / "store")
    with pytest.raises(NasctlError, match=r"free some space|look whether the disk is full"):
        seen.extend(visit.evaluation for visit in RUN.search(store, 3000))
    assert mounted("size=32m")
    assert store.database.connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    assert 0 < len(seen) < 3000
    assert store.evaluations(RUN.name) == seen
    assert found(RUN, folder / "store", 3000) == found(RUN, tmp_path / "other", 3000)


def _killed(path):
    for number, _ in enumerate(RUN.search(Store(path), 50), 1):
        if number == 30:
            os.kill(os.getpid(), signal.SIGKILL)


def test_a_store_on_a_disk_that_may_not_be_written_is_read_and_not_written(disk):
    folder, mounted = disk
    assert mounted("size=4m")
    process = get_context("spawn").Process(target=_killed, args=(folder / "store",))
    process.start()
    process.join()
    assert (folder / "store-wal").stat().st_size  # what the process wrote last lies beside the store
    assert mounted("ro")
    assert len(Store.reading(folder / "store").evaluations(RUN.name)) == 30
    with pytest.raises(NasctlError, match=r"the store .* cannot be used"):
        found(RUN, folder / "store", 50)
    with pytest.raises(NasctlError, match=r"the store .* cannot be used"):
        found(RUN, folder / "other", 50)
    assert mounted("rw")
    assert len(found(RUN, folder / "store", 50)) == 50


@pytest.mark.parametrize("fault", ["removed", "replaced"])
def test_a_store_that_is_taken_away_ends_the_search(fault, tmp_path):
    folder = tmp_path / "folder"
    folder.mkdir()
    visits = RUN.search(Store(folder / "store"), 50)
    for _ in range(20):
        next(visits)
    folder.rename(tmp_path / "elsewhere")
    if fault == "replaced":
        folder.mkdir()
        Store(folder / "store")
    with pytest.raises(NasctlError, match="was removed or replaced while it was in use"):
        next(visits)
    assert len(Store(tmp_path / "elsewhere" / "store").evaluations(RUN.name)) == 20


def test_who_finds_a_store_locked_waits_and_then_says_so(tmp_path, monkeypatch):
    store = Store(tmp_path / "store")
    other = sqlite3.connect(tmp_path / "store", check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")
    threading.Timer(0.3, other.rollback).start()
    list(RUN.search(store, 5))
    other.execute("BEGIN IMMEDIATE")
    monkeypatch.setattr(connection, "WRITE_WAIT", 0.2)
    with pytest.raises(NasctlError, match=r"locked\); another process holds it: type the same command when that is"):
        list(RUN.search(Store(tmp_path / "store"), 10))
    assert len(Store.reading(tmp_path / "store").evaluations(RUN.name)) == 5  # who reads never waits
    other.close()


def test_the_newest_run_is_the_one_started_last_whatever_the_clock_says(tmp_path, monkeypatch):
    store = Store(tmp_path / "store")
    for year, name in ((40, "a"), (30, "b"), (20, "a")):
        monkeypatch.setattr("time.time", lambda now=year * 3.15e7: now)
        list(Run("nbmacro", ("params",), "random", called=name).search(store, 2))
        assert store.run()[0] == name
    assert [run.name for run in store.runs()] == ["a", "b"]


class Odd:
    """An objective that misbehaves for a third of all networks."""

    unit, direction, transform, needs, version = "s", "max", "identity", frozenset({"module"}), "1"

    def __init__(self, misbehave):
        self._misbehave = misbehave

    def __call__(self, candidate):
        wrong = sum(candidate.genome) % 3 == 0
        value = self._misbehave() if wrong else None
        return 1.0 if value is None else value


def _raise(error):
    raise error


def _reseeded():
    random.seed(0)
    np.random.seed(0)  # noqa: NPY002
    torch.manual_seed(0)


MISCHIEF = {
    "raises": (lambda: _raise(KeyError("kernel")), "KeyError: 'kernel'"),
    "no number": (lambda: float("nan"), "ArithmeticError: the score is nan"),
    "no memory": (lambda: _raise(MemoryError()), "MemoryError: "),
    "no memory of torch": (lambda: torch.empty(1 << 50).sum(), "RuntimeError: "),
    "prints": (lambda: print("I am here"), None),
    "changes random state": (_reseeded, None),
}


def _searched(misbehave, path):
    metrics = {"odd": Odd(misbehave)} | {name: registry.create("objectives", name) for name in ("params", "naswot")}
    space, setting = registry.create("spaces", "nbmacro"), Setting(source("noise"), Fidelity(size=8, batch=4))
    task = Task(space, metrics, setting, recorded={"odd"})
    searcher = registry.create("searchers", "nsga2:population=8", SearchProblem(task), np.random.default_rng(0))
    visits = search(task, searcher, Store(path).journal("run", task.record("nbmacro")), 24)
    return [visit.evaluation for visit in visits]


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    return _searched(lambda: None, tmp_path_factory.mktemp("good") / "store")


@pytest.mark.parametrize("mischief", MISCHIEF)
def test_an_objective_that_misbehaves_costs_its_own_candidates(mischief, good, tmp_path, capsys):
    misbehave, error = MISCHIEF[mischief]
    for odd, even in zip(_searched(misbehave, tmp_path / "store"), good, strict=True):
        values = dict(even.values)
        if error is not None and sum(odd.genome) % 3 == 0:
            assert odd.errors["odd"].startswith(error)
            del values["odd"]
        assert (odd.genome, odd.values) == (even.genome, values)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("columns",), 1),
        (("columns", "params", "goal", "direction"), "sideways"),
        (("columns", "params", "label"), None),
        (("asked", "objectives"), ["macs"]),
        (("asked", "seed"), "0"),
        (("asked", "setting"), []),
        (("constraints",), [{"name": "params", "upper": True, "bound": "x"}]),
        (("config",), 3),
        (("machines",), 3),
        (("machines",), ["AMD", 3]),
    ],
)
def test_a_run_that_somebody_else_wrote_is_one_sentence(path, value, tmp_path):
    store = tmp_path / "store"
    searched = ["search", "--space", "nbmacro", "-o", "params,macs", "--budget", "10", "--store", str(store)]
    assert CliRunner().invoke(cli, searched).exit_code == 0
    with closing(sqlite3.connect(store)) as connection, connection:
        (text,) = connection.execute("SELECT spec FROM run").fetchone()
        content = part = json.loads(text)
        for key in path[:-1]:
            part = part[key]
        part[path[-1]] = value
        connection.execute("UPDATE run SET spec = ?", (json.dumps(content),))
    for command in (["runs", "list"], ["pareto", "show"], searched[:-2]):
        result = CliRunner().invoke(cli, [*command, "--store", str(store)])
        assert result.exit_code == 2, result.output
        assert "has a run that nasctl cannot have written" in result.output

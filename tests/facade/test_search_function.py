"""`nasctl.search` as a function: every option reaches the run, and the result has what the store has."""

import math
from contextlib import contextmanager
from types import SimpleNamespace

import pytest
from click.testing import CliRunner

from nasctl.candidates.setting import Setting
from nasctl.cli import cli
from nasctl.data import source
from nasctl.facade import search as from_python
from nasctl.facade.result import SearchResult, Solution
from nasctl.facade.search import search
from nasctl.problem.fidelity import Fidelity
from nasctl.problem.searcher import Evaluation
from nasctl.search.request import SearchRequest, SettingOptions
from nasctl.search.run import Run
from nasctl.store.store import Store
from nasctl.workers import WorkerOptions

COSTS = {"objectives": ("params", "macs"), "searcher": "random:batch=5"}


@pytest.fixture
def spied(monkeypatch):
    """What a search asks the executor, the run and the warnings for, at a time of 100 s; nothing is searched."""
    calls = SimpleNamespace(opened=[], checked=[], searched=[], warned=[], doubts=[])

    @contextmanager
    def open_executor(options, task):
        calls.opened.append((options, task))
        yield "executor"

    def run_search(self, *given):
        calls.searched.append(given)
        return iter(())

    monkeypatch.setattr(from_python, "open_executor", open_executor)
    monkeypatch.setattr(from_python, "time", SimpleNamespace(monotonic=lambda: 100.0))
    monkeypatch.setattr(
        from_python, "warnings", SimpleNamespace(warn=lambda *given, **named: calls.warned.append((given, named)))
    )
    monkeypatch.setattr(Run, "check", lambda self, here: calls.checked.append(here) or calls.doubts)
    monkeypatch.setattr(Run, "search", run_search)
    monkeypatch.setattr(Store, "evaluations", lambda self, name: [name])
    monkeypatch.setattr(from_python, "all_failed", lambda found, goals: False)
    return calls


def test_every_option_is_a_part_of_the_run(tmp_path):
    setting = SettingOptions("size=8,batch=4", "noise", 2, "cpu", 3)
    found = search(
        "nbmacro",
        device=["v100-b64"],
        objectives=["macs", "params"],
        record=["depth"],
        constraints=["macs<=90M", "params<=3M"],
        searcher="random:batch=5",
        seed=4,
        budget=7,
        setting=setting,
        store=tmp_path / "my.db",
        run="mine",
    )
    assert found.run == Run(
        "nbmacro",
        ("macs", "params", "latency@v100-b64"),
        "random:batch=5",
        4,
        Setting(source("noise"), Fidelity(size=8, batch=4), 2, "cpu", 3),
        ("depth",),
        ("macs<=90M", "params<=3M"),
    )
    assert (found.name, found.run.called) == ("mine", "mine")
    (run,) = Store(tmp_path / "my.db").runs()
    assert (run.name, run.visited) == ("mine", 7)
    assert found.evaluations == tuple(Store(tmp_path / "my.db").evaluations("mine"))
    assert found.store.evaluations("mine") == list(found.evaluations)


def test_one_text_is_a_list_of_one(tmp_path):
    options = {"device": "v100-b64", "objectives": "macs", "record": "depth", "constraints": "macs<=90M"}
    found = search("nbmacro", **options, searcher="random", budget=1, store=tmp_path / "store")
    lists = found.run.objectives, found.run.record, found.run.constraints
    assert lists == (("macs", "latency@v100-b64"), ("depth",), ("macs<=90M",))
    assert (found.run.seed, found.run.called, found.run.setting.seed) == (0, "", 0)
    assert found.name.startswith("nbmacro-")


def test_a_larger_budget_goes_on_with_the_run(tmp_path):
    first = search("nbmacro", **COSTS, budget=3, store=tmp_path / "store")
    again = search("nbmacro", **COSTS, budget=5, store=tmp_path / "store")
    assert (again.name, len(first.evaluations), len(again.evaluations)) == (first.name, 3, 5)
    assert again.evaluations[:3] == first.evaluations


def test_workers_and_limits_reach_the_search(spied, tmp_path):
    workers = WorkerOptions(2)
    found = search("nbmacro", **COSTS, budget=9, seconds=20.0, workers=workers, store=tmp_path / "store")
    assert spied.opened == [(workers, found.run.task)]
    assert spied.searched == [(found.store, 9, 120.0, "executor")]
    assert spied.checked == [False]
    assert found == SearchResult(found.run, found.store, (found.run.name,))


def test_a_search_by_default_has_no_deadline_and_is_checked_for_this_process(spied, tmp_path):
    found = search("nbmacro", **COSTS, store=tmp_path / "store")
    assert spied.searched == [(found.store, 300, math.inf, "executor")]
    assert spied.opened == [(WorkerOptions(), found.run.task)]
    assert spied.checked == [True]


def test_doubts_are_warnings_of_the_line_that_calls(spied, tmp_path):
    spied.doubts += ["first", "second"]
    search("nbmacro", **COSTS, store=tmp_path / "store")
    assert spied.warned == [(("first",), {"stacklevel": 2}), (("second",), {"stacklevel": 2})]


def test_evidence_is_no_warning_and_broken_lines_are_one_sentence(spied, tmp_path, monkeypatch):
    lines = ["evidence: over 500 networks, swap", "  orders them", "Warning: it is", "  doubtful", "goes on"]
    monkeypatch.setattr(SearchRequest, "remarks", lambda self, run: lines)
    search("nbmacro", **COSTS, store=tmp_path / "store")
    assert [given for (given,), _ in spied.warned] == ["it is doubtful", "goes on"]


def test_the_front_is_what_nothing_dominates_the_best_in_the_first_objective_first():
    values = [(5.0, 1.0), (3.0, 3.0), (4.0, 4.0), (1.0, 9.0)]
    visited = tuple(
        Evaluation((k // 3, k % 3) + (0,) * 6, {"params": params, "macs": macs})
        for k, (params, macs) in enumerate(values)
    )
    found = SearchResult(Run("nbmacro", ("params", "macs"), called="mine"), None, visited)
    assert found.name == "mine"
    assert [(one.genome[:2], one.values["params"]) for one in found.front] == [
        ((1, 0), 1.0),
        ((0, 1), 3.0),
        ((0, 0), 5.0),
    ]
    assert found.front[-1] == Solution("nbmacro-0000", (0,) * 8, {"params": 5.0, "macs": 1.0})


FAILING = """
class Fails:
    unit, direction, transform, version, needs = "m", "max", "identity", "1", frozenset({"network"})

    def __call__(self, candidate):
        return 1 / 0
"""


def test_a_search_without_any_score_warns_and_ends_the_command_with_status_1(tmp_path):
    (path := tmp_path / "own.py").write_text(FAILING)
    objectives, space = (f"{path}:Fails", "params"), "nb201:channels=4,cells=1"
    with pytest.warns(UserWarning, match="no candidate has a score: .*own.py:Fails failed for all 3 candidates"):
        assert search(space, objectives=objectives, budget=3, store=tmp_path / "a.db").front == []
    words = ["search", space, "-o", ",".join(objectives), "--budget", "3", "--store", str(tmp_path / "b.db")]
    done = CliRunner().invoke(cli, words)
    assert done.exit_code == 1
    assert "no candidate has a score" in done.stderr
    assert "budget" not in done.stderr

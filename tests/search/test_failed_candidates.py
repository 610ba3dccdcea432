"""New measurements of failures, without a command: which candidates, which labels, and what is said of them."""

from types import SimpleNamespace

import pytest

from nasctl.candidates import determinism
from nasctl.candidates.setting import Setting
from nasctl.data import source
from nasctl.errors import NasctlError, UnknownName
from nasctl.evaluation.measure import LocalExecutor
from nasctl.evaluation.task import Task
from nasctl.problem.fidelity import Fidelity
from nasctl.problem.searcher import Evaluation
from nasctl.search.retry import (
    FailedCandidate,
    RetrySummary,
    failed_candidates,
    retry_failed,
    summarize,
    task_from_record,
)
from nasctl.search.run import Run
from nasctl.testing import Chain


class Metric:
    """The sum of a genome; fails for the genome (1, 1)."""

    unit, direction, transform, version = "s", "min", "identity", "1"

    def __init__(self, needs):
        self.needs = frozenset({needs})

    def __call__(self, candidate):
        if candidate.genome == (1, 1):
            raise MemoryError("no room")
        return float(sum(candidate.genome))


TASK = Task(Chain(), {"slow": Metric("module"), "cheap": Metric("network"), "other": Metric("module")})
RECORD = TASK.record("chain")
VISITED = [
    Evaluation((0, 0), {"slow": 1.0, "cheap": 1.0, "other": 1.0}),
    Evaluation((0, 1), {"other": 1.0}, {"slow": "a", "cheap": "b"}),
    Evaluation((1, 0), {"slow": 1.0, "cheap": 1.0}, {"other": "c"}),
    Evaluation((1, 1), {"other": 1.0}, {"cheap": "d"}),
]


@pytest.mark.parametrize(
    ("only", "expected"),
    [
        ((), [((0, 1), ("slow", "cheap")), ((1, 0), ("other",)), ((1, 1), ("cheap",))]),
        (("cheap",), [((0, 1), ("cheap",)), ((1, 1), ("cheap",))]),
        (("other", "slow"), [((0, 1), ("slow",)), ((1, 0), ("other",))]),
    ],
)
def test_candidates_that_failed_are_listed_with_what_failed(only, expected):
    assert failed_candidates(RECORD, VISITED, only) == [FailedCandidate(*one) for one in expected]


def test_a_metric_that_the_run_does_not_have_is_refused():
    with pytest.raises(UnknownName) as refused:
        failed_candidates(RECORD, VISITED, ["cheap", "cheep"])
    assert str(refused.value) == "no objective of this run is called 'cheep'; did you mean 'cheap'?"
    with pytest.raises(UnknownName) as refused:
        failed_candidates(RECORD, VISITED, ["zzz"])
    assert str(refused.value) == "no objective of this run is called 'zzz'; there is: slow, cheap, other"


def test_only_what_failed_is_measured_again_and_replaced():
    replaced, handed_in = [], []

    class Executor(LocalExecutor):
        def submit(self, genome, labels):
            handed_in.append((genome, dict(labels)))
            super().submit(genome, labels)

    ledger = SimpleNamespace(replace=lambda genome, measured: replaced.append((genome, measured)))
    failures = [FailedCandidate((0, 1), ("slow", "cheap")), FailedCandidate((1, 1), ("cheap", "other"))]
    outcomes = list(retry_failed(TASK, RECORD, failures, Executor(TASK), ledger))
    assert outcomes == [
        {"slow": None, "cheap": None},
        {"cheap": "MemoryError: no room", "other": "MemoryError: no room"},
    ]
    labels = RECORD.labels
    assert handed_in == [((0, 1), {"slow": labels["slow"]}), ((1, 1), {"other": labels["other"]})]
    stored = [(genome, {label: one.value for label, one in measured.items()}) for genome, measured in replaced]
    assert stored == [
        ((0, 1), {labels["slow"]: 1.0, labels["cheap"]: 1.0}),
        ((1, 1), {labels["cheap"]: None, labels["other"]: None}),
    ]


def test_what_is_done_before_its_turn_is_stored_at_once():
    replaced = []

    class Backwards(LocalExecutor):
        full = False

    ledger = SimpleNamespace(replace=lambda genome, measured: replaced.append(genome))
    failures = [FailedCandidate(genome, ("slow",)) for genome in ((0, 0), (0, 1))]
    list(retry_failed(TASK, RECORD, failures, Backwards(TASK), ledger))
    assert replaced == [(0, 1), (0, 0), (0, 1)]


def test_a_summary_counts_tries_values_and_different_errors():
    outcomes = [{"a": None}, {"a": "z", "b": None}, {"b": "no"}, {"a": "x"}, {"a": "z"}, {"a": None}]
    assert summarize("a", outcomes) == RetrySummary("a", 5, 2, ("x", "z"))
    assert summarize("b", outcomes) == RetrySummary("b", 2, 1, ("no",))
    assert summarize("c", outcomes) == RetrySummary("c", 0, 0, ())


RUN = Run("nbmacro", ("naswot", "latency@gpu", "params"), "random", setting=Setting(source("noise"), Fidelity(8, 4), 3))


def recorded(run, config=None, **asked):
    record = run.task.record(run.asked["space"], run.asked | asked)
    object.__setattr__(record, "config", config or {})
    return record


def test_a_task_has_the_setting_of_the_run_and_the_metrics_that_were_asked_for():
    record = recorded(RUN)
    task = task_from_record(record, ["latency@gpu", "naswot"], None)
    assert list(task.metrics) == ["latency@gpu", "naswot"]
    assert task.setting == RUN.setting
    assert task.record(record.space).labels == {name: record.labels[name] for name in task.metrics}
    assert len(task.space.genes) == 8


def test_data_is_what_was_given_or_what_the_run_was_started_with():
    text = str(RUN.setting).replace("data=noise", "data=noise#12")
    for record, given, named in (
        (recorded(RUN), "dead_leaves", "noise"),
        (recorded(RUN, {"data": "dead_leaves"}), None, "noise"),
        (recorded(RUN, setting=text), "dead_leaves", "noise#12"),
    ):
        with pytest.raises(NasctlError) as refused:
            task_from_record(record, ["params"], given)
        message = f"dead_leaves is not the data of the run, which is {named}; give that with --data"
        assert str(refused.value) == message
    with pytest.raises(NasctlError, match=r"^noise is not the data of the run, which is noise#12; give that with"):
        task_from_record(recorded(RUN, setting=text), ["params"], None)
    assert task_from_record(recorded(RUN, {"data": "dead_leaves"}), ["params"], "noise").setting == RUN.setting


@pytest.mark.parametrize(
    ("device", "here", "tried"), [("cpu", True, []), ("meta", True, ["meta"]), ("meta", False, [])]
)
def test_a_torch_device_is_tried_where_this_process_measures(device, here, tried, monkeypatch):
    found = []
    monkeypatch.setattr(determinism, "usable_device", found.append)
    run = Run("nbmacro", ("params",), "random", setting=Setting(device=device))
    assert task_from_record(recorded(run), ["params"], None, here).setting.device == device
    assert found == tried


def test_a_metric_of_another_version_is_refused():
    record = recorded(RUN)
    record.labels["params"] = "params v0"
    with pytest.raises(NasctlError) as refused:
        task_from_record(record, ["naswot", "params"], None)
    assert str(refused.value) == "params is of another version here; start a new run, which measures it anew"

"""The search loop: what it asks for, when it stops, and what it says of each candidate."""

import math
from itertools import islice
from types import SimpleNamespace

import numpy as np
import pytest

from nasctl import registry
from nasctl.errors import NasctlError, RunChanged
from nasctl.evaluation.search_problem import SearchProblem
from nasctl.evaluation.task import Task
from nasctl.problem.constraints import Constraint
from nasctl.search import loop
from nasctl.search.failing_objectives import HOPELESS
from nasctl.search.loop import PATIENCE, search
from nasctl.search.retry import failed_candidates, retry_failed
from nasctl.store.measurements import Measurement
from nasctl.store.store import Store
from nasctl.testing import Chain
from nasctl.workers import WorkerOptions, open_executor


class Numbered:
    """The number of a genome, or a failure."""

    unit, direction, transform, needs, version = "s", "min", "identity", frozenset({"module"}), "1"

    def __init__(self, fails=lambda number: False):
        self.fails = fails

    def __call__(self, candidate):
        number = sum(choice << k for k, choice in enumerate(candidate.genome))
        if self.fails(number):
            raise RuntimeError(f"no library for {number}")
        return float(number)


class Scripted:
    """A searcher that proposes given batches, and keeps what it is told."""

    def __init__(self, *batches):
        self.batches, self.asked, self.told = list(batches), 0, []

    def ask(self):
        self.asked += 1
        return [genome(number) for number in self.batches.pop(0)] if self.batches else []

    def tell(self, losses, violations):
        self.told.append((losses.tolist(), violations.tolist()))


def genome(number, depth=8):
    return tuple(number >> k & 1 for k in range(depth))


def number(visit):
    return sum(choice << k for k, choice in enumerate(visit.evaluation.genome))


@pytest.fixture
def searched(tmp_path):
    """A search of a chain of 256 networks, candidate by candidate."""

    def begin(searcher, budget, metric=None, deadline=math.inf, executor=None, **options):
        task = Task(Chain(8), options.pop("metrics", {"number": metric or Numbered()}), **options)
        journal = Store(tmp_path / "store").journal("run", task.record("chain"))
        return search(task, searcher, journal, budget, deadline, executor)

    return begin


def test_a_searcher_is_told_about_its_batches_and_asked_no_more_when_the_budget_is_spent(searched):
    searcher = Scripted([3, 1], [2, 3], [4, 5])
    found = list(searched(searcher, 3))
    assert [number(visit) for visit in found] == [3, 1, 2]
    assert searcher.told == [([[3.0], [1.0]], [[], []]), ([[2.0], [3.0]], [[], []])]
    assert searcher.asked == 2


@pytest.mark.parametrize(
    ("budget", "asked", "told"), [(1, 1, 0), (2, 1, 1), (3, 2, 1), (4, 2, 2), (5, 3, 2), (7, 4, 3)]
)
def test_a_batch_is_told_when_it_is_whole(budget, asked, told, searched):
    searcher = Scripted([0, 1], [2, 3], [4, 5])
    assert [number(visit) for visit in searched(searcher, budget)] == list(range(min(budget, 6)))
    assert (searcher.asked, len(searcher.told)) == (asked, told)


def test_a_visit_says_where_it_stands(searched):
    first = list(searched(Scripted([3, 1, 3], [1, 2], [5]), 10))
    assert [(number(v), v.generation, v.proposed, v.fresh) for v in first] == [
        (3, 0, 1, True),
        (1, 0, 2, True),
        (2, 1, 5, True),
        (5, 2, 6, True),
    ]
    assert all(visit.seconds > 0 for visit in first)
    again = list(searched(Scripted([3, 1, 3], [1, 2], [5], [7]), 10))
    assert [visit.fresh for visit in again] == [False] * 4 + [True]
    assert [visit.evaluation for visit in again[:4]] == [visit.evaluation for visit in first]


def test_a_genome_that_is_asked_for_twice_is_told_twice(searched):
    searcher = Scripted([3, 3], [3, 4])
    assert [number(visit) for visit in searched(searcher, 9)] == [3, 4]
    assert [losses for losses, _ in searcher.told] == [[[3.0], [3.0]], [[3.0], [4.0]]]


@pytest.mark.parametrize("repeats", [PATIENCE - 1, PATIENCE, PATIENCE + 5])
def test_batches_without_a_new_genome_end_a_search(repeats, searched):
    searcher = Scripted([0, 1], *[[1, 0]] * repeats, [0, 2], *[[2]] * 100)
    found = [number(visit) for visit in searched(searcher, 9)]
    if repeats < PATIENCE:  # a new genome begins the count anew
        assert (found, searcher.asked) == ([0, 1, 2], 1 + repeats + 1 + PATIENCE)
    else:
        assert (found, searcher.asked) == ([0, 1], 1 + PATIENCE)


def test_constraints_are_told_as_violations(searched):
    held = (Constraint("number", upper=True, bound=2.0), Constraint("number", upper=False, bound=1.0))
    searcher = Scripted([0, 2, 4])
    list(searched(searcher, 3, constraints=held))
    ((_, violations),) = searcher.told
    expected = [[one.violation({"number": value}) for one in held] for value in (0.0, 2.0, 4.0)]
    assert violations == expected
    assert np.array_equal(np.array(violations) > 0, [[False, True], [False, False], [True, False]])


def test_no_genome_is_begun_after_the_deadline(searched, monkeypatch):
    clock = SimpleNamespace(now=0.0)
    monkeypatch.setattr(
        loop, "time", SimpleNamespace(monotonic=lambda: clock.now, perf_counter=lambda: clock.now, sleep=None)
    )
    found = []
    for visit in searched(Scripted([0, 1, 2, 3], [4]), 5, deadline=2.0):
        found.append(number(visit))
        clock.now += 1.0
    assert found == [0, 1, 2]  # the third is begun at the deadline itself
    assert [number(visit) for visit in searched(Scripted([0, 1, 2, 3], [4]), 5, deadline=1.0)] == []


def failing(numbers):
    return Numbered(lambda one: one in numbers)


@pytest.mark.parametrize("batch", [1, 5, HOPELESS - 1, HOPELESS, 50])
def test_an_objective_that_always_fails_ends_the_search_whatever_the_batch(batch, searched, tmp_path):
    searcher = Scripted(*(range(k, k + batch) for k in range(0, 200, batch)))
    visits = searched(searcher, 200, failing(range(256)))
    assert [number(visit) for visit in islice(visits, HOPELESS)] == list(range(HOPELESS))
    message = f"the search stopped: number failed for all {HOPELESS} candidates that it was measured for: RuntimeError"
    for _ in range(2):  # the same command again says the same, and measures nothing
        with pytest.raises(NasctlError, match=message):
            list(visits)
        assert len(Store(tmp_path / "store").evaluations("run")) == HOPELESS
        visits = searched(Scripted(*(range(k, k + batch) for k in range(0, 200, batch))), 200, failing(range(256)))


def test_one_failure_less_ends_nothing(searched):
    metric = failing(range(HOPELESS - 1))
    found = list(searched(Scripted(*([k] for k in range(40))), 40, metric))
    assert [bool(visit.evaluation.errors) for visit in found] == [True] * (HOPELESS - 1) + [False] * (41 - HOPELESS)


def test_an_objective_that_had_a_value_may_fail_from_then_on(searched):
    metric = failing(range(1, 256))
    assert len(list(searched(Scripted(*([k] for k in range(100))), 100, metric))) == 100


def test_one_of_several_objectives_that_always_fails_ends_the_search(searched):
    metrics = {"good": Numbered(), "bad": failing(range(256))}
    with pytest.raises(NasctlError, match=f"bad failed for all {HOPELESS} candidates"):
        list(searched(Scripted(range(100)), 100, metrics=metrics))


def test_metrics_that_are_only_recorded_may_always_fail(searched):
    metrics = {"good": Numbered(), "bad": failing(range(256))}
    found = list(searched(Scripted(range(100)), 100, metrics=metrics, recorded=frozenset({"bad"})))
    assert len(found) == 100


def test_candidates_that_are_not_measured_count_neither_way(searched):
    class Cheap(Numbered):
        needs = frozenset({"network"})

    metrics = {"bad": failing(range(256)), "cheap": Cheap()}
    held = (Constraint("cheap", upper=True, bound=99.0),)
    order = [one for pair in zip(range(99), range(100, 199), strict=True) for one in pair]  # every second is too large
    visits = searched(
        Scripted(*([k] for k in order)), 200, metrics=metrics, recorded=frozenset({"cheap"}), constraints=held
    )
    found = list(islice(visits, 2 * HOPELESS - 1))
    with pytest.raises(NasctlError, match=f"bad failed for all {HOPELESS} candidates"):
        next(visits)
    assert sum("bad" in visit.evaluation.errors for visit in found) == HOPELESS


def test_a_recorded_run_that_went_on_after_many_failures_still_does(searched, monkeypatch):
    metric = failing(range(60))
    with monkeypatch.context() as older:
        older.setattr("nasctl.search.failing_objectives.HOPELESS", 1000)  # as with a small batch before
        whole = list(searched(Scripted(*([k] for k in range(100))), 100, metric))
    assert sum(bool(visit.evaluation.errors) for visit in whole) == 60
    again = list(searched(Scripted(*([k] for k in range(120))), 120, metric))
    assert [visit.evaluation for visit in again[:100]] == [visit.evaluation for visit in whole]
    assert len(again) == 120


def test_a_recorded_run_without_any_value_is_replayed_and_then_stopped(searched, monkeypatch):
    metric = failing(range(256))
    with monkeypatch.context() as older:
        older.setattr("nasctl.search.failing_objectives.HOPELESS", 1000)
        whole = list(searched(Scripted(*([k] for k in range(60))), 60, metric))
    visits = searched(Scripted(*([k] for k in range(100))), 100, metric)
    assert [visit.evaluation for visit in islice(visits, 60)] == [visit.evaluation for visit in whole]
    with pytest.raises(NasctlError, match="number failed for all 60 candidates"):
        next(visits)


@pytest.mark.parametrize("batch", [1, 8, 50])
def test_a_stopped_search_goes_on_when_its_failures_were_measured_again(batch, searched, tmp_path):
    batches = [range(k, k + batch) for k in range(0, 100, batch)]
    with pytest.raises(NasctlError, match="`nasctl runs retry` measures them again"):
        list(searched(Scripted(*batches), 40, failing(range(256))))
    store, task = Store(tmp_path / "store"), Task(Chain(8), {"number": failing({HOPELESS - 1})})
    record = task.record("chain")
    broken = failed_candidates(record, store.evaluations("run"))
    assert len(broken) == HOPELESS
    ledger = store.ledger("chain", record.labels.values())
    with open_executor(WorkerOptions(), task) as executor:
        outcomes = list(retry_failed(task, record, broken, executor, ledger))
    assert sum(one["number"] is None for one in outcomes) == HOPELESS - 1
    first = Scripted(*batches)
    assert len(list(searched(first, 60))) == 60
    losses = [row for rows, _ in first.told for (row,) in rows]
    told = (HOPELESS - 1) // batch * batch  # visits that the searcher knew of when the search was stopped
    nan = [math.isnan(row) for row in losses]
    assert nan == [k < told or k == HOPELESS - 1 for k in range(len(losses))]
    ledger.replace(genome(HOPELESS - 1), {record.labels["number"]: Measurement(5.0, None, 0.0)})
    second = Scripted(*batches)
    list(searched(second, 60))
    assert str(second.told) == str(first.told)  # the searcher has been told of that failure by now


def test_a_run_that_takes_another_path_on_the_same_machine_is_refused(searched):
    list(searched(Scripted([1, 2]), 2))
    with pytest.raises(RunChanged, match="as candidate 1 before and to"):
        list(searched(Scripted([1, 3]), 2))


def test_a_search_by_a_real_searcher_asks_no_more_than_it_has_to(searched, monkeypatch):
    made = registry.create("searchers", "random:batch=10", SearchProblem(Task(Chain(8), {})), np.random.default_rng(0))
    asked = []
    monkeypatch.setattr(made, "ask", lambda ask=made.ask: asked.append(1) or ask())
    assert len(list(searched(made, 30))) == 30
    assert len(asked) == 3

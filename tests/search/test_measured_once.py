"""Nothing is measured twice: the calls of objectives are counted over every way to come back to a genome."""

from collections import Counter
from itertools import islice

import numpy as np
import pytest

from nasctl import registry
from nasctl.evaluation.search_problem import SearchProblem
from nasctl.evaluation.task import Task
from nasctl.problem.constraints import Constraint
from nasctl.search.loop import evaluate, search
from nasctl.search.retry import failed_candidates, retry_failed
from nasctl.store.store import Store
from nasctl.testing import Chain
from nasctl.workers import WorkerOptions, open_executor

DEPTH = 6  # of the chains: 64 genomes


class Counted:
    """The number of a genome; every call appends the genome to a file, which other processes can do too."""

    unit, direction, transform, version = "s", "min", "identity", "1"

    def __init__(self, path, needs="module", fails=()):
        self.path, self.needs, self.fails = path, frozenset({needs}), fails

    def __call__(self, candidate):
        with self.path.open("a") as file:
            file.write(",".join(map(str, candidate.genome)) + "\n")
        number = sum(choice << k for k, choice in enumerate(candidate.genome))
        if number in self.fails:
            raise MemoryError(f"no room for {number}")
        return float(number)


def calls(path):
    """How often each genome was measured."""
    return Counter(tuple(map(int, line.split(","))) for line in path.read_text().splitlines()) if path.exists() else {}


@pytest.fixture
def paths(tmp_path):
    """The files of a metric that needs a module, and of one that needs none."""
    return tmp_path / "module", tmp_path / "network"


def task_of(paths, **options):
    module, network = paths
    metrics = {"module": Counted(module, **options), "network": Counted(network, "network")}
    return Task(Chain(DEPTH), metrics)


def visits(task, store, budget, name="run", searcher="random", seed=0, executor=None):
    """A search of a chain, to be followed candidate by candidate."""
    made = registry.create("searchers", searcher, SearchProblem(task), np.random.default_rng(seed))
    return search(task, made, store.journal(name, task.record("chain")), budget, executor=executor)


def genomes(found):
    return [visit.evaluation.genome for visit in found]


def assert_once(paths, expected):
    """Every metric was called once for each of these genomes, and for no other."""
    for path in paths:
        assert calls(path) == Counter(set(expected))


@pytest.mark.parametrize("searcher", ["random", "random:batch=1", "regularized_evolution:population=4,published=yes"])
def test_every_candidate_is_measured_once_in_a_run(searcher, paths, tmp_path):
    found = list(visits(task_of(paths), Store(tmp_path / "store"), 30, searcher=searcher))
    assert len(set(genomes(found))) == len(found) == 30
    assert all(visit.fresh for visit in found)
    assert_once(paths, genomes(found))


def test_a_run_that_is_resumed_measures_only_what_is_new(paths, tmp_path):
    task = task_of(paths)
    first = list(visits(task, Store(tmp_path / "store"), 25))
    again = list(visits(task, Store(tmp_path / "store"), 25))
    assert genomes(again) == genomes(first)
    assert_once(paths, genomes(first))
    assert not any(visit.fresh for visit in again)
    longer = list(visits(task, Store(tmp_path / "store"), 45))
    assert [visit.fresh for visit in longer] == [False] * 25 + [True] * 20
    assert_once(paths, genomes(longer))


@pytest.mark.parametrize("searcher", ["random:batch=8", "nsga2:population=8"])
@pytest.mark.parametrize("after", [1, 8, 13, 29])
def test_a_run_that_is_stopped_in_the_middle_measures_only_the_rest(after, searcher, paths, tmp_path):
    task = task_of(paths)
    stopped = visits(task, Store(tmp_path / "store"), 30, searcher=searcher)
    before = genomes(islice(stopped, after))
    stopped.close()
    assert_once(paths, before)
    whole = genomes(visits(task, Store(tmp_path / "store"), 30, searcher=searcher))
    assert whole[:after] == before
    assert_once(paths, whole)


@pytest.mark.parametrize("searcher", ["random", "nsga2:population=8", "regularized_evolution"])
def test_a_second_run_on_the_store_measures_only_what_the_first_did_not(searcher, paths, tmp_path):
    task, store = task_of(paths), Store(tmp_path / "store")
    first = genomes(visits(task, store, 40, "first"))
    second = list(visits(task, store, 40, "second", searcher, seed=1))
    shared = set(genomes(second)) & set(first)
    assert 0 < len(shared) < 40
    assert {visit.evaluation.genome for visit in second if not visit.fresh} == shared
    assert_once(paths, first + genomes(second))


def test_a_run_that_measures_one_metric_more_measures_that_alone(paths, tmp_path):
    store, whole = Store(tmp_path / "store"), task_of(paths)
    for name, metric in whole.metrics.items():
        found = list(visits(Task(whole.space, {name: metric}), store, 20, name))
        assert all(visit.fresh for visit in found)
    both = list(visits(whole, store, 20, "both"))
    assert not any(visit.fresh for visit in both)
    assert_once(paths, genomes(both))


def test_two_runs_at_once_measure_nothing_twice(paths, tmp_path):
    task = task_of(paths)
    running = [visits(task, Store(tmp_path / "store"), 40, f"run{seed}", seed=seed) for seed in range(2)]
    found = [one for pair in zip(*running, strict=True) for one in pair]
    assert len(found) == 80
    assert sum(not visit.fresh for visit in found) == 80 - len(set(genomes(found))) > 0
    assert_once(paths, genomes(found))


def test_one_run_in_two_processes_at_once_measures_nothing_twice(paths, tmp_path):
    task = task_of(paths)
    running = [visits(task, Store(tmp_path / "store"), 30) for _ in range(2)]
    pairs = list(zip(*running, strict=True))
    assert all(one.evaluation == other.evaluation for one, other in pairs)
    assert [(one.fresh, other.fresh) for one, other in pairs] == [(True, False)] * 30
    assert_once(paths, genomes(one for one, _ in pairs))


def test_what_failed_is_not_measured_again_by_the_run_or_another(paths, tmp_path):
    task, store = task_of(paths, fails=range(0, 64, 3)), Store(tmp_path / "store")
    first = list(visits(task, store, 30))
    again = list(visits(task, store, 30))
    other = list(visits(task, store, 30, "other", seed=1))
    assert sum(bool(visit.evaluation.errors) for visit in first) > 0
    assert [visit.evaluation for visit in again] == [visit.evaluation for visit in first]
    assert_once(paths, genomes(first) + genomes(other))


def test_retry_measures_what_failed_and_nothing_else(paths, tmp_path):
    task, store = task_of(paths, fails=range(0, 64, 3)), Store(tmp_path / "store")
    found = genomes(visits(task, store, 30))
    record = task.record("chain")
    broken = failed_candidates(record, store.evaluations("run"))
    assert 0 < len(broken) < 30
    assert all(one.names == ("module",) for one in broken)
    ledger = store.ledger("chain", record.labels.values())
    with open_executor(WorkerOptions(), task) as executor:
        assert all(outcome["module"] for outcome in retry_failed(task, record, broken, executor, ledger))
    module, network = paths
    assert calls(network) == Counter(found)
    assert calls(module) == Counter(found) + Counter(one.genome for one in broken)
    list(visits(task, store, 30))  # a resume takes the new failures as they are
    assert calls(module) == Counter(found) + Counter(one.genome for one in broken)


def test_workers_measure_nothing_twice(paths, tmp_path):
    task, store = task_of(paths), Store(tmp_path / "store")
    with open_executor(WorkerOptions(2), task) as executor:
        first = genomes(visits(task, store, 25, executor=executor))
        assert_once(paths, first)
        assert genomes(visits(task, store, 25, executor=executor)) == first
        other = genomes(visits(task, store, 25, "other", seed=1, executor=executor))
        assert 0 < len(set(first) & set(other)) < 25
        assert_once(paths, first + other)
        stopped = visits(task, store, 45, executor=executor)
        longer = genomes(islice(stopped, 30))
        assert longer[:25] == first
    assert set(calls(paths[0])) >= set(first) | set(other) | set(longer)
    assert max(calls(paths[0]).values()) == 1


def test_what_breaks_a_constraint_by_its_cost_is_screened_and_its_cost_measured_once(paths, tmp_path):
    held = Constraint("network", upper=True, bound=40.0)
    task = Task(Chain(DEPTH), task_of(paths).metrics, constraints=(held,))
    record = task.record("chain")
    for name in ("one", "two"):
        journal = Store(tmp_path / "store").journal(name, record)
        for genome, value in (((0, 0, 0, 1, 0, 1), 40.0), ((1, 0, 0, 1, 0, 1), 41.0)):
            names = {"module", "network"} if value <= 40 else {"network"}
            assert evaluate(task, genome, journal).values == dict.fromkeys(names, value)
    module, network = paths
    assert calls(module) == {(0, 0, 0, 1, 0, 1): 1}
    assert calls(network) == {(0, 0, 0, 1, 0, 1): 1, (1, 0, 0, 1, 0, 1): 1}

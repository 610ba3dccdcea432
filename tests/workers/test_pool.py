"""How genomes are handed to workers, with workers that are no processes."""

import os
import pickle
import random
import sys
from itertools import count
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from nasctl import registry
from nasctl.analysis.score import score_genomes
from nasctl.candidates.objective import closed_form
from nasctl.candidates.setting import DEFAULT_SETTING
from nasctl.cli import cli
from nasctl.commands import _workers
from nasctl.commands._workers import WorkerChoice
from nasctl.errors import NasctlError, UnknownName
from nasctl.evaluation.executor import in_order
from nasctl.evaluation.search_problem import SearchProblem
from nasctl.evaluation.task import Task
from nasctl.search import loop
from nasctl.store.measurements import Measurement
from nasctl.store.store import Store
from nasctl.system.machine_lock import exclusive_machine, shared_machine
from nasctl.testing import Chain
from nasctl.workers import WorkerOptions, open_executor, processes
from nasctl.workers import ray as ray_backend
from nasctl.workers.pool import Pool
from nasctl.workers.worker import Worker


class Toy:
    unit, direction, transform, needs, version = "s", "max", "identity", frozenset({"module"}), "1"

    def __call__(self, candidate):
        return self.of(candidate.genome)

    def of(self, genome):
        return float(sum(choice << k for k, choice in enumerate(genome)))


TOY = Toy().of


class FakeBackend:
    """A backend whose workers answer as they are told, in an order that nobody can foresee."""

    def __init__(self, gpus, answer=None):
        self.gpus, self.rng = gpus, random.Random(0)
        self.answer = answer or (lambda worker, genome: [7.0 * genome[0]])
        self.started, self.sent = [], []

    def start(self, gpu):
        self.started.append(SimpleNamespace(gpu=gpu, work=None, dead=False, lost=False))
        worker = self.started[-1]
        worker.send = lambda message: self.sent.append(message) or setattr(worker, "work", message)
        worker.kill = lambda: setattr(worker, "dead", True)
        return worker

    def wait(self, workers, seconds):
        worker = self.rng.choice([one for one in workers if one.work is not None])
        message, worker.work = worker.work, None
        if worker.lost:
            return [(worker, EOFError())]
        if isinstance(message, Task):
            return [(worker, None)]
        genome, labels = message
        answer = self.answer(worker, genome)
        if isinstance(answer, Exception):
            return [(worker, answer)]
        return [(worker, {label: given(value) for label, value in zip(labels.values(), answer, strict=True)})]

    def close(self):
        self.closed = True


def given(value):
    return Measurement(None, value, 0.0) if isinstance(value, str) else Measurement(value, None, 0.0)


def measured(backend, number=20, **options):
    """What a pool makes of so many genomes, and what was put aside for its turn."""
    aside = {}
    pool = Pool(Task(Chain(), {"toy": Toy()}), backend, **options)
    asked = (((k,), {"toy": "label"}) for k in range(number))
    return list(in_order(pool, asked, aside.__setitem__)), aside


@pytest.mark.parametrize("workers", [1, 2, 5, 50])
def test_results_come_in_the_order_in_which_they_were_asked_for(workers):
    found, aside = measured(FakeBackend([""] * workers))
    assert found == [((k,), {"label": Measurement(7.0 * k, None, 0.0)}) for k in range(20)]
    assert bool(aside) == (workers > 1)
    assert all(dict(found)[genome] == kept for genome, kept in aside.items())


def test_what_is_known_goes_to_no_worker():
    backend = FakeBackend([""] * 3)
    pool = Pool(Task(Chain(), {"toy": Toy()}), backend)
    asked = (((k,), {} if k % 3 else {"toy": "label"}) for k in range(12))
    assert [genome for genome, _ in in_order(pool, asked, lambda *_: None)] == [(k,) for k in range(12)]
    assert sorted(one[0] for one in backend.sent if isinstance(one, tuple)) == [(0,), (3,), (6,), (9,)]
    assert measured(FakeBackend([""]), 0) == ([], {})


def test_a_worker_gets_what_needs_a_module_and_no_more():
    backend = FakeBackend([""] * 2)
    metrics = {"toy": Toy(), "params": registry.create("objectives", "params")}
    pool = Pool(Task(Chain(), metrics, recorded=frozenset({"params"})), backend)
    assert backend.started == []  # a run that the store knows calls nobody
    pool.submit((1,), {"toy": "label"})
    assert pool.result() == ((1,), {"label": Measurement(7.0, None, 0.0)})
    tasks = [one for one in backend.sent if isinstance(one, Task)]
    assert [list(task.metrics) for task in tasks] == [["toy"]] * 2
    pool.close()
    assert backend.closed
    assert all(worker.dead for worker in backend.started)


@pytest.mark.parametrize("kind", ["spaces", "objectives"])
def test_every_plug_in_can_be_sent_to_a_worker(kind):
    for name in registry.names(kind):
        if registry.optional(kind, name):  # what needs a device is looked up, and goes to no worker
            assert pickle.dumps(registry.create(kind, name))
    pool = Pool(Task(Chain(), {"toy": Toy()}), backend := FakeBackend([""]))
    backend.start = lambda gpu: SimpleNamespace(send=pickle.dumps, kill=lambda: None)
    pool._task.metrics["toy"].broken = lambda: None
    with pytest.raises(NasctlError, match=r"cannot be sent to workers .* define it at the top of a module"):
        pool.submit((0, 0), {"toy": "label"})


def test_scores_come_in_the_order_of_the_architectures_whoever_measures(tmp_path):
    space = registry.create("spaces", "nbmacro")
    task = Task(space, {"toy": Toy(), "params": registry.create("objectives", "params")})
    genomes = [(k % 3,) * len(space.genes) for k in range(7)]
    rows = []
    for name, executor in (
        ("here", None),
        ("there", Pool(task, FakeBackend([""] * 2, lambda _, genome: [TOY(genome)]))),
    ):
        for _ in range(2):  # the second time from the store
            found = list(score_genomes(task, "nbmacro", genomes, Store(tmp_path / name), executor))
            rows.append([row.evaluation for row in found])
    assert rows == rows[:1] * 4
    assert [row.genome for row in rows[0]] == genomes
    assert set(rows[0][1].values) == {"toy", "params"}


def test_one_death_is_an_accident_and_two_are_a_failure():
    deaths = {(3,): 1, (5,): 2, (6,): 3}

    def answer(worker, genome):
        deaths[genome] = deaths.get(genome, 0) - 1
        return EOFError() if deaths[genome] >= 0 else [1.0]

    backend = FakeBackend([""] * 2, answer)
    found, _ = measured(backend)
    failed = {genome: one["label"].error for genome, one in found if one["label"].error}
    assert failed == dict.fromkeys([(5,), (6,)], "ChildProcessError: the worker that measured it died, 2 times")
    assert len(backend.started) == 2 + 1 + 2 + 2
    assert sum(worker.dead for worker in backend.started) == 5


def test_a_node_lost_between_batches_costs_no_candidate():
    backend = FakeBackend([""] * 8, lambda *_: [1.0])
    pool = Pool(Task(Chain(), {"toy": Toy()}), backend)
    for _ in range(2):
        for worker in backend.started:
            worker.lost = True
        ready = False
        while not ready:
            pool.submit((0,), {"toy": "label"})
            assert pool.result() == ((0,), {"label": Measurement(1.0, None, 0.0)})
            ready = all(slot.ready for slot in pool._slots)
    assert len(backend.started) == 16


def test_workers_that_never_begin_end_the_search():
    backend = FakeBackend([""] * 2)
    backend.wait = lambda workers, seconds: [(workers[0], EOFError())]
    with pytest.raises(NasctlError, match="die before they can begin; free some memory"):
        measured(backend)


def test_workers_that_die_young_end_nothing_while_another_measures():
    backend = FakeBackend([""] * 2)
    start = backend.start

    def started(gpu):
        worker = start(gpu)
        worker.lost = len(backend.started) > 1  # all but the first die before they are ready
        return worker

    backend.start, turns = started, count()
    backend.rng = SimpleNamespace(choice=lambda workers: workers[next(turns) % len(workers)])
    found, _ = measured(backend, 50)
    assert [one["label"].value for _, one in found] == [7.0 * k for k in range(50)]
    assert len(backend.started) > 20


def test_an_error_of_a_worker_ends_the_search():
    def answer(worker, genome):
        return NasctlError("mend this") if genome == (4,) else [1.0]

    with pytest.raises(NasctlError, match=r"^mend this$"):
        measured(FakeBackend([""] * 2, answer))


@pytest.mark.parametrize(
    ("error", "worn"),
    [("MemoryError: no room", 1), ("ImportError: libx.so", 1), ("ArithmeticError: the score is nan", 0)],
)
def test_a_worker_in_which_memory_was_short_is_replaced(error, worn):
    for limited in (False, True):
        backend = FakeBackend([""] * 2, lambda _, genome: [error] if genome == (4,) else [1.0])
        found, _ = measured(backend, limited=limited)
        assert dict(found)[(4,)]["label"].error == error
        assert len(backend.started) == 2 + (limited and worn)


@pytest.mark.parametrize(("stopped", "error"), [(1000.0, "no error"), (0.0, "TimeoutError: no result after 5 s")])
def test_what_stops_everybody_takes_no_time_of_a_candidate(stopped, error, monkeypatch):
    backend, clock = FakeBackend([""]), [0.0]
    monkeypatch.setattr("nasctl.workers.pool.time", SimpleNamespace(monotonic=lambda: clock[0], process_time=float))
    wait = backend.wait

    def waiting(workers, seconds):
        if isinstance(workers[0].work, Task) or clock[0] >= 1000:
            return wait(workers, seconds)
        clock[0] += seconds + stopped
        return []

    backend.wait = waiting
    ((_, found),), _ = measured(backend, 1, seconds=5.0)
    assert (found["label"].error or "no error").startswith(error)


def test_workers_that_cannot_be_started_leave_none_behind(monkeypatch):
    backend, start = FakeBackend([""] * 3), FakeBackend.start
    backend.start = lambda gpu: start(backend, gpu) if len(backend.started) < 2 else 1 / 0
    pool = Pool(Task(Chain(), {"toy": Toy()}), backend)
    with pytest.raises(ZeroDivisionError):
        pool.submit((1,), {"toy": "label"})
    pool.close()
    assert [worker.dead for worker in backend.started] == [True] * 2
    worker = (backend := processes.Processes([""], None)).start("")
    for _ in range(2):  # the second time when its successor could not be started
        worker.kill()
    monkeypatch.setattr(processes, "CONTEXT", SimpleNamespace(Pipe=lambda: os.stat("")))
    with pytest.raises(NasctlError, match=r"^a worker cannot be started \(.*\); give fewer --workers$"):
        backend.start("")


@pytest.fixture
def ray(monkeypatch):
    """As much of Ray as a backend needs, with a node for two workers."""
    monkeypatch.setattr("nasctl.system.ray_cluster.ENVIRONMENT", {})
    ray = SimpleNamespace(
        nodes=lambda: [{"Alive": True, "Resources": {"CPU": 2.0}}],
        is_initialized=lambda: False,
        init=lambda address, **options: vars(ray).update(options=options),
        wait=lambda answers, num_returns=1, timeout=None: (ray.done[:num_returns], []),
        get=lambda answer: answer,
        exceptions=SimpleNamespace(RayActorError=EOFError, RayError=OSError),
        _private=SimpleNamespace(worker=SimpleNamespace()),
    )
    monkeypatch.setitem(sys.modules, "ray", ray)
    return ray


def test_all_actors_that_are_done_are_heard_at_once(ray):
    backend = ray_backend.Ray("", None, DEFAULT_SETTING, None)
    assert (backend.gpus, ray.options["include_dashboard"]) == (["", ""], False)
    workers = [ray_backend._Actor(ray, None) for _ in range(3)]
    workers[0].answer, workers[1].answer, workers[2].answer = range(3)
    ray.done = [2, 0]
    assert backend.wait(workers, 1.0) == [(workers[2], 2), (workers[0], 0)]


def test_a_cluster_without_room_is_not_waited_for(ray, monkeypatch):
    backend, ray.done = ray_backend.Ray("", None, DEFAULT_SETTING, None), []
    monkeypatch.setattr(ray_backend, "SILENCE_LIMIT", 0.0)
    assert backend.wait([], None) == []  # a node may come
    ray.nodes = list
    with pytest.raises(NasctlError, match="no node that the Ray cluster still has could hold a worker"):
        backend.wait([], None)


def test_who_runs_out_of_memory_on_a_shared_gpu_is_tried_alone():
    tried = []

    def answer(worker, genome):
        near = [one for one in backend.started if one is not worker and one.gpu == worker.gpu]
        tried.append((genome, any(isinstance(one.work, tuple) for one in near)))
        first = sum(other == genome for other, _ in tried) == 1
        full = genome == (15,) or (genome in ((4,), (11,)) and first)
        return ["OutOfMemoryError: CUDA out of memory. Tried to allocate 2 GiB"] if full else [1.0]

    backend = FakeBackend(["0", "1", "0", "1"], answer)
    found, _ = measured(backend)
    assert [genome for genome, one in found if one["label"].error] == [(15,)]  # for which no GPU is large enough
    assert len(tried) == 20 + 3
    company = dict(tried)  # at the last try of each
    assert [company[(k,)] for k in (4, 11, 15)] == [False] * 3
    assert any(company.values())


def test_workers_are_spread_evenly_over_gpus(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 3)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,GPU-abc,7")
    five = WorkerChoice("5", gpus="2,0").options(threads=1)
    with open_executor(five, Task(Chain(), {"toy": Toy()})) as pool:
        assert pool._backend.gpus == ["7", "4", "7", "4", "7"]
    with open_executor(WorkerChoice(gpus="1,2").options(threads=1), Task(Chain(), {"toy": Toy()})) as pool:
        assert pool._backend.gpus == ["GPU-abc", "7"]  # one on each
    for wrong in ("3", "0,0", "x", "0,"):
        with pytest.raises(NasctlError, match=r"the GPUs here are 0, 1, 2, not"):
            WorkerChoice(gpus=wrong).options(threads=1)


def test_without_ray_a_sentence_says_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setattr(_workers, "find_spec", lambda name: None)
    result = CliRunner().invoke(cli, ["search", "--space", "nb201", "--cluster", "ray", "--store", str(tmp_path / "s")])
    assert (result.exit_code, list(tmp_path.iterdir())) == (2, [])
    assert "pip install 'nasctl[ray]'" in result.stderr
    monkeypatch.setitem(sys.modules, "ray", None)
    with (
        pytest.raises(NasctlError, match=r"pip install 'nasctl\[ray\]'"),
        open_executor(WorkerOptions(cluster="ray"), Task(Chain(), {"toy": Toy()})),
    ):
        pass


def test_at_the_deadline_what_was_begun_is_finished(tmp_path, monkeypatch):
    task = Task(Chain(depth=6), {"toy": Toy()})
    searched = []
    for late in (float("inf"), 7):
        clock = iter(range(10**6))
        monkeypatch.setattr(loop.time, "monotonic", lambda clock=clock: next(clock))
        searcher = registry.create("searchers", "random", SearchProblem(task), np.random.default_rng(0))
        journal = Store(tmp_path / str(late)).journal("run", task.record("chain"))
        pool = Pool(task, FakeBackend([""] * 3))
        monkeypatch.setattr(Pool, "_end_overdue", lambda self: None)  # which looks at the clock too
        searched.append([v.evaluation for v in loop.search(task, searcher, journal, 16, late, pool)])
    assert 0 < len(searched[1]) < 8
    assert searched[1] == searched[0][: len(searched[1])]


def test_latency_is_not_measured_beside_a_search(own_lock):
    costly, cheap = (Task(Chain(), {"toy": one}) for one in (Toy(), registry.create("objectives", "params")))
    assert closed_form(cheap.metrics["toy"])
    with exclusive_machine():
        with (
            pytest.raises(NasctlError, match=r"device profile. is measuring on this machine"),
            open_executor(WorkerOptions(), costly),
        ):
            pass
        with open_executor(WorkerOptions(2), cheap):  # which disturbs nobody
            pass
    refused = pytest.raises(NasctlError, match=r"a search is running on this machine.* or --accept-noise")
    with (
        open_executor(WorkerOptions(), costly),
        open_executor(WorkerOptions(), costly),
        refused,
        exclusive_machine(),
    ):  # searches do not mind each other
        pass
    with shared_machine(), shared_machine():
        pass
    workers = [Worker(None) for _ in range(2)]
    assert workers[0].answer(costly) is None
    with refused, exclusive_machine():  # a search of another machine has its workers here
        pass
    del workers[0]
    with exclusive_machine():
        assert isinstance(workers[0].answer(costly), NasctlError)


def test_a_gpu_that_is_full_has_nothing_to_do_with_the_limit_of_a_candidate():
    full, short = "OutOfMemoryError: CUDA out of memory. Tried to allocate 2 GiB", "MemoryError: no room"
    worker, limit = Worker(10**9), "MemoryError: more than 1 GB, which is the limit (--candidate-memory)"
    assert [worker._explained(given(error)).error for error in (full, short)] == [full, limit]


def test_a_worker_answers_with_what_can_be_sent(own_lock):
    class Wrong(Toy):
        def __call__(self, candidate):
            raise UnknownName("toy", "tyo", ["toy"])

    worker = Worker(None)
    assert worker.answer(Task(Chain(), {"toy": Wrong()})) is None
    error = worker.answer(((0, 0), {"toy": "label"}))
    assert (type(error), str(error)) == (NasctlError, "no toy is called 'tyo'; did you mean 'toy'?")
    error = worker.answer(((0, 0), {"other": "label"}))  # a mistake of nasctl's own
    assert (type(error), str(error)) == (RuntimeError, "KeyError: 'other'")

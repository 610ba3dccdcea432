"""How a pool ends its workers."""

from types import SimpleNamespace

import pytest

from nasctl.evaluation.task import Task
from nasctl.testing import Chain
from nasctl.workers import pool as pools
from nasctl.workers.pool import Pool


class Metric:
    unit, direction, transform, version = "s", "max", "identity", "1"

    def __init__(self, *needs):
        self.needs = frozenset(needs)

    def __call__(self, candidate):
        return 0.0


class FakeBackend:
    """A backend of two workers that never finish a candidate.

    Args:
        ends: Whether the workers end when they are asked.
    """

    def __init__(self, ends=True):
        self.gpus, self.workers, self.ends, self.waits = ["", ""], [], ends, []

    def start(self, gpu):
        worker = SimpleNamespace(happened=[])
        worker.send = lambda message: None
        worker.stop = lambda: worker.happened.append("asked") or True
        worker.kill = lambda: worker.happened.append("killed")
        self.workers.append(worker)
        return worker

    def wait(self, workers, seconds):
        self.waits.append(seconds)
        return [(worker, EOFError()) for worker in workers if self.ends]

    def close(self):
        self.closed = True


def closed(backend, *needs):
    """What happens to each worker of a pool that is closed while the first of two has a candidate."""
    pool = Pool(Task(Chain(), {"toy": Metric(*needs)}), backend)
    pool.submit((0,), {"toy": "toy"})
    for slot in pool._slots:
        pool._handle(slot, None)  # it is ready
    pool._assign()
    pool.close()
    assert backend.closed
    return [worker.happened for worker in backend.workers]


def test_candidates_that_do_not_train_are_ended_at_once():
    assert closed(backend := FakeBackend(), "module") == [["killed"], ["killed"]]
    assert not backend.waits


def test_trainings_are_asked_to_stop_and_waited_for(capsys):
    assert closed(backend := FakeBackend(), "training") == [["asked", "killed"], ["killed"]]
    assert len(backend.waits) == 1
    assert capsys.readouterr().err == ""


def test_trainings_that_do_not_stop_are_ended_after_a_while(monkeypatch, capsys):
    monkeypatch.setattr(pools, "STOP_SECONDS", 0.02)
    monkeypatch.setattr(pools, "SILENT_SECONDS", 0.01)
    assert closed(backend := FakeBackend(ends=False), "training") == [["asked", "killed"], ["killed"]]
    assert max(backend.waits) <= 0.02
    assert "waiting up to 0.01 s for 1 checkpoint; another Ctrl-C ends at once" in capsys.readouterr().err


def test_another_ctrl_c_ends_trainings_at_once(monkeypatch):
    def interrupted(workers, seconds):
        raise KeyboardInterrupt

    backend = FakeBackend()
    backend.wait = interrupted
    with pytest.raises(KeyboardInterrupt):
        closed(backend, "training")
    assert [worker.happened for worker in backend.workers] == [["asked", "killed"], ["killed"]]
    assert backend.closed

"""The progress of trainings in progress, as their logs tell it."""

import io
import json
import os
import time

import pytest

from nasctl.system import progress
from nasctl.system.progress import CandidateProgress, Progress, State, WorkInProgress
from nasctl.trained_search import training_progress
from nasctl.trained_search.training_progress import FollowedTrainings, TrainingEffort, last_step


class Done:
    """An executor that is done with the genomes that a test says."""

    full = False

    def __init__(self):
        self.ready = []

    def submit(self, genome, labels):
        pass

    def result(self):
        return self.ready.pop(0), {}


def log(store, name, *entries):
    """Write the log of a training."""
    path = store.with_name("s-trainings") / name / "log.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(one) + "\n" for one in entries))
    return path


def step(number):
    return {"event": "step", "step": number}


@pytest.fixture
def clock(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(training_progress.time, "monotonic", lambda: now[0])
    return now


def test_the_last_step_is_read(tmp_path):
    path = log(tmp_path / "s.db", "one", {"event": "begun", "step": 0}, step(1), step(2), {"event": "evaluated"})
    assert last_step(path, 0.0) == 2
    with path.open("a") as file:
        file.write('{"event": "step", "st')  # the entry in progress
    assert last_step(path, 0.0) == 2
    diverged = log(tmp_path / "s.db", "two", step(9), {"event": "diverged", "step": 10, "back_to": 4})
    assert last_step(diverged, 0.0) == 4
    os.utime(path, (10.0, 10.0))
    assert last_step(path, 20.0) is None  # the steps are of an earlier session
    assert last_step(tmp_path / "none", 0.0) is None


def test_steps_of_all_trainings_give_the_time_left(tmp_path, clock):
    store, executor = tmp_path / "s.db", Done()
    followed = FollowedTrainings(executor, TrainingEffort(3, 100, 10, lambda genome: [f"t{genome[0]}"]), str(store))
    followed.submit((0,), {})
    followed.submit((1,), {})
    assert followed.work(0) == WorkInProgress(0, [], None)
    log(store, "t0", step(5)), log(store, "t1", step(10))
    assert followed.work(0) == WorkInProgress(
        0, [CandidateProgress("t0", 5, 100, "epoch 1/10"), CandidateProgress("t1", 10, 100, "epoch 2/10")], None
    )
    clock[0] += 10
    log(store, "t0", step(25)), log(store, "t1", step(50))  # 2 and 4 steps a second
    assert followed.work(0).left == pytest.approx((300 - 75) / 6)
    # The second training is done before the first one, and counts.
    executor.ready = [(1,)]
    followed.result()
    assert (followed.work(0).finished, followed.finished()) == (1, 1)
    followed.given((0,))
    followed.given((1,))
    assert followed.work(2).finished == 2


def test_a_training_that_has_not_said_a_step_yet_counts_as_one_of_several(tmp_path, clock):
    store = tmp_path / "s.db"
    followed = FollowedTrainings(Done(), TrainingEffort(4, 100, 10, lambda genome: [f"t{genome[0]}"]), str(store))
    for number in range(3):  # two workers, and one candidate that waits
        followed.submit((number,), {})
    log(store, "t0", step(10))
    followed.work(0)
    clock[0] += 10
    log(store, "t0", step(30))  # 2 steps a second, as the other will have
    assert followed.work(0).left == pytest.approx((400 - 30) / 4)


def test_a_stopped_search_counts_finished_trainings(tmp_path):
    store = tmp_path / "s.db"
    followed = FollowedTrainings(Done(), TrainingEffort(3, 100, 10, lambda genome: [f"t{genome[0]}"]), str(store))
    for number in range(3):
        followed.submit((number,), {})
    log(store, "t0", step(100)).with_name("weights.safetensors").touch()
    log(store, "t1", step(7))
    assert followed.finished() == 1
    assert followed.begun == ["t1"]


def test_lines_tell_of_work_in_progress(monkeypatch):
    monkeypatch.setattr(progress, "POLL", 0.01)
    said = io.StringIO()
    monkeypatch.setattr("sys.stderr", said)
    work = WorkInProgress(1, [CandidateProgress("t1", 12, 1002, "epoch 2/167")], 2880.0)
    with Progress(4, "training", lambda: work) as shown:
        end = time.monotonic() + 5
        while not said.getvalue() and time.monotonic() < end:
            time.sleep(0.01)
        shown.update(State(1, 4, 0, 1, None, 480.0, 1440.0, 0))
    first, last = said.getvalue().splitlines()
    assert first == "1/4 trainings, about 48 min left: t1, epoch 2/167 (12 of 1,002 steps)"
    assert last == "generation 0: 1/4 trainings, front 1, 8 min each, 24 min 0 s left"


@pytest.mark.parametrize(("seconds", "text"), [(0.123, "0.12 s"), (59, "59 s"), (480, "8 min"), (5400, "1.5 h")])
def test_seconds_are_rounded(seconds, text):
    assert progress._rounded(seconds) == text

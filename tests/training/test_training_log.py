"""The log of a training: whole lines, every step once after a resumption, and divergences that void steps."""

import json

import pytest

from nasctl.errors import NasctlError
from nasctl.training.training_log import TrainingLog, read_log


def written(path, step, entries, training=""):
    log = TrainingLog(path, step, training)
    for event, values in entries:
        log.write(event, **values)
    log.close()


def steps(*numbers):
    return [("step", {"step": number, "loss": float(number)}) for number in numbers]


def numbers(path):
    return [entry["step"] for entry in read_log(path) if entry["event"] == "step"]


def test_a_resumed_log_has_every_step_once(tmp_path):
    path = tmp_path / "new" / "log.jsonl"
    written(path, 0, steps(1, 2, 3, 4, 5))
    written(path, 3, [("resumed", {"step": 3}), *steps(4, 5, 6)])
    assert numbers(path) == [1, 2, 3, 4, 5, 6]
    assert [json.loads(line)["event"] for line in path.read_text().splitlines()][3] == "resumed"


def test_a_line_that_a_kill_cut_is_dropped(tmp_path):
    path = tmp_path / "log.jsonl"
    written(path, 0, steps(1, 2))
    with path.open("a") as file:
        file.write('{"event": "step", "st')
    assert numbers(path) == [1, 2]
    written(path, 2, steps(3))
    assert [json.loads(line)["step"] for line in path.read_text().splitlines()] == [1, 2, 3]


def test_a_divergence_voids_the_steps_that_are_done_again(tmp_path):
    path = tmp_path / "log.jsonl"
    written(path, 0, [*steps(10, 20, 30), ("diverged", {"step": 31, "back_to": 20}), *steps(30, 40)])
    found = read_log(path)
    assert [(one["event"], one["step"]) for one in found] == [
        *(("step", 10), ("step", 20)),
        *(("diverged", 31), ("step", 30), ("step", 40)),
    ]


def test_a_training_that_is_killed_after_a_divergence_keeps_the_divergence(tmp_path):
    path = tmp_path / "log.jsonl"
    written(path, 0, [*steps(10, 20, 30), ("diverged", {"step": 31, "back_to": 20}), *steps(30)])
    written(path, 20, steps(30, 40))
    assert numbers(path) == [10, 20, 30, 40]
    assert [one["event"] for one in read_log(path)].count("diverged") == 1


def test_a_loss_that_is_not_finite_is_null(tmp_path):
    path = tmp_path / "log.jsonl"
    written(path, 0, [("diverged", {"step": 1, "back_to": 0, "loss": float("nan")})])
    assert json.loads(path.read_text(), parse_constant=lambda word: pytest.fail(word))["loss"] is None


def test_a_log_of_several_trainings_keeps_the_others(tmp_path):
    path = tmp_path / "all.jsonl"
    written(path, 0, steps(1, 2), "a")
    written(path, 0, steps(1, 2, 3), "b")
    written(path, 1, steps(2, 3), "a")
    found = [(one["training"], one["step"]) for one in map(json.loads, path.read_text().splitlines())]
    assert sorted(found) == [("a", 1), ("a", 2), ("a", 3), ("b", 1), ("b", 2), ("b", 3)]


def test_a_log_that_cannot_be_written_is_one_sentence(tmp_path):
    (tmp_path / "log.jsonl").mkdir()
    with pytest.raises(NasctlError, match=r"cannot be written \(Is a directory\)"):
        TrainingLog(tmp_path / "log.jsonl", 0)
    with pytest.raises(NasctlError, match="cannot be read"):
        read_log(tmp_path / "none.jsonl")

"""The display of a training: lines where stderr is no terminal, and 60 columns on a terminal."""

import io
import sys

import pytest
from rich.console import Console

from nasctl.training.display import WIDTH, Display, Standing, progress_line, result_text
from nasctl.training.evaluation import Result

CLASSES = Result(0.912, 0.713, None, 1200, 0.0131)
WORDS = Result(4.617, None, 101.2, 30, 0.01)


@pytest.mark.parametrize(("step", "epoch"), [(0, 1), (1, 1), (22, 1), (23, 2), (44, 2), (660, 30)])
def test_the_epoch_in_progress_is_counted_from_one(step, epoch):
    assert Standing(step, 660, 30).epoch == epoch


def test_lines_say_what_is_known():
    state = Standing(60, 660, 30)
    assert progress_line(state, "images") == "epoch 3/30"
    state.loss, state.accuracy, state.rate, state.left = 1.2345, 0.5612, 1812.4, 185.0
    expected = "epoch 3/30, loss 1.234, accuracy 56.1%, 1,812 images/s, 3 min 5 s left"
    assert progress_line(state, "images") == expected


def test_results_have_their_standard_error():
    assert result_text(CLASSES) == "71.3% ± 1.3%, loss 0.912"
    assert result_text(WORDS) == "perplexity 101.2, loss 4.617 ± 0.01"


def test_a_pipe_gets_a_line_for_each_evaluation(capsys):
    shown = Display("net-1", "images", 40, 2)
    for step in range(1, 21):
        shown.step(step, 2.0, 0.25, 100.0)
    shown.evaluated(CLASSES, 1.0)
    shown.go_on(10, "diverged at step 20")
    shown.close()
    first, second = capsys.readouterr().err.splitlines()
    assert first.startswith("net-1: epoch 1/2, loss 2.000, accuracy 25.0%, 100 images/s, ")
    assert first.endswith("left; validation 71.3% ± 1.3%, loss 0.912")
    assert second == "net-1: diverged at step 20"
    assert shown.state.step == 10


def test_the_networks_of_a_supernet_are_named(capsys):
    shown = Display("net-1", "images", 40, 2)
    shown.evaluated(CLASSES, 1.0, "largest", "smallest 9.1%; samples 21.0%, 40.4%, 33.3%")
    (line,) = capsys.readouterr().err.splitlines()
    networks = "validation of the largest 71.3% ± 1.3%, loss 0.912; smallest 9.1%; samples 21.0%, 40.4%, 33.3%"
    assert line == f"net-1: epoch 1/2; {networks}"


@pytest.mark.parametrize("columns", [60, 80])
def test_a_terminal_shows_every_line_whole(columns, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: False, raising=False)
    shown = Display("attentivenas-1c9f2a07", "images", 66_000, 3_000)
    shown.step(65_000, 0.9876, 0.71, 12_345.0)
    shown.evaluated(CLASSES, 2_954.0)
    shown.state.left = 359_999.0
    shown.state.note = "goes on after step 64,000"
    console = Console(file=io.StringIO(), width=columns)
    console.print(shown._drawn())
    lines = [line.rstrip() for line in console.file.getvalue().splitlines()]
    assert [len(line) <= WIDTH for line in lines] == [True] * 7
    assert lines[0] == "attentivenas-1c9f2a07"
    assert lines[2] == "epoch 2955/3000, loss 0.988, accuracy 71.0%"
    assert lines[3] == "12,345 images/s, 99 h 59 min left"
    assert lines[4] == "validation 71.3% ± 1.3%, loss 0.912 after epoch 2954"
    assert lines[6] == "Ctrl-C stops; the same command resumes"

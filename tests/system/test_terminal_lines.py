"""Lines for people are broken at spaces on a terminal."""

import pytest

from nasctl.system import terminal


@pytest.fixture(autouse=True)
def _narrow(monkeypatch):
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    monkeypatch.setenv("COLUMNS", "40")


def test_a_sentence_with_a_command_in_it_is_broken_at_spaces():
    text = "NOT VALIDATED on this space, so latencies are rough; nasctl device list --validated lists others"
    lines = terminal.fitting(text).split("\n")
    assert " ".join(lines) == text
    assert max(map(len, lines)) <= 40


def test_a_command_is_one_line():
    command = "nasctl search --space nbmacro --data photos --budget 40 --trainings 4"
    for line in (command, f"  {command}", f"next: {command}", f"      {command}"):
        assert terminal.fitting(line) == line
    assert terminal.fitting(f"wrote accuracy.json; next: {command}") == f"wrote accuracy.json; next:\n  {command}"


def test_a_quoted_command_stays_together():
    text = "the table was validated elsewhere, and `nasctl device list` lists the others"
    assert "`nasctl device list`" in " ".join(terminal.fitting(text).split("\n"))
    assert all(line.count("`") % 2 == 0 for line in terminal.fitting(text).split("\n"))

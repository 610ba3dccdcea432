"""The progress of a search on stderr: a live bar on a terminal, otherwise lines."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Sequence
from threading import Event, Lock, Thread
from types import TracebackType
from typing import Any, NamedTuple, Self

from nasctl.system.terminal import duration, plural, say

POLL = 1.0  # seconds between two looks at work in progress
QUIET = 60.0  # seconds between two lines on work in progress, where stderr is no terminal
MINUTE = 60.0  # seconds


class State(NamedTuple):
    """The progress of a search."""

    done: int  # candidates evaluated
    budget: int  # candidates to evaluate
    failed: int  # candidates with an objective that failed
    front: int  # candidates on the front
    hypervolume: float | None  # share of the ideal box, 0 to 1
    seconds_each: float | None  # seconds per candidate that had to be measured
    left: float | None  # seconds until the budget is spent
    generation: int


class CandidateProgress(NamedTuple):
    """A candidate in progress that takes long, such as a training."""

    name: str  # its name
    done: int  # steps done
    total: int  # steps in all
    text: str  # further words, such as "epoch 3/30"


class WorkInProgress(NamedTuple):
    """The candidates in progress."""

    finished: int  # candidates that are done, including those whose turn in the search has not come
    tasks: Sequence[CandidateProgress]  # candidates in progress
    left: float | None  # seconds until the budget is spent; None before it can be told


class Progress:
    """The display of a running search, on stderr: a live bar on a terminal, one line per generation otherwise.

    Args:
        budget: Candidates to evaluate.
        unit: The word for a candidate.
        work: Returns the candidates in progress; None if they are too short to be shown. It is called from a thread.
    """

    def __init__(self, budget: int, unit: str = "candidate", work: Callable[[], WorkInProgress] | None = None) -> None:
        self._budget, self._unit, self._work = budget, unit, work
        self._live = sys.stderr.isatty()
        self._last: State | None = None
        self._lock, self._stop, self._thread = Lock(), Event(), None if work is None else Thread(target=self._poll)
        self._rows: dict[str, Any] = {}  # rows of candidates in progress, by name

    def __enter__(self) -> Self:
        if self._live:
            from rich.console import Console
            from rich.progress import BarColumn, Progress, TextColumn
            from rich.table import Column

            bar, count = max(10, shutil.get_terminal_size().columns - 86), len(self._count(self._budget))
            columns = (  # on a narrow terminal, the last column is cut
                BarColumn(bar_width=bar, table_column=Column(min_width=10)),
                TextColumn("{task.fields[count]}", table_column=Column(no_wrap=True, min_width=count)),
                TextColumn("{task.fields[found]}"),
            )
            self._bar = Progress(*columns, console=Console(stderr=True), transient=False)
            self._bar.start()
            self._main = self._bar.add_task("", total=self._budget, count=self._count(0), found="")
        if self._thread is not None:
            self._thread.daemon = True  # an error in the search must not wait for it
            self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
        if self._live:
            for row in self._rows.values():
                self._bar.remove_task(row)
            self._bar.stop()
        elif self._last is not None:
            say(_line(self._last, self._unit))

    def update(self, state: State) -> None:
        """Show the progress of the search."""
        with self._lock:
            if self._live:
                words: dict[str, Any] = {"count": self._count(state.done), "found": _found(state)}
                self._bar.update(self._main, completed=state.done, total=state.budget, **words)
            elif self._last is not None and state.generation > self._last.generation:
                say(_line(self._last, self._unit))
            self._last = state

    def _count(self, done: int) -> str:
        return f"{done}/{self._budget} {self._unit}s"

    def _poll(self) -> None:
        """Show the work in progress until the search ends."""
        assert self._work is not None
        waited, told = 0.0, False  # seconds since the last line, and whether a line had the time left
        while not self._stop.wait(POLL):
            work, waited = self._work(), waited + POLL
            with self._lock:
                if self._live:
                    self._draw(work)
                elif work.tasks and (waited >= QUIET or (work.left is not None and not told)):
                    say(_work_line(work, self._count(work.finished)))
                    waited, told = 0.0, work.left is not None

    def _draw(self, work: WorkInProgress) -> None:
        """Draw the work in progress: a share of the whole bar, and a row for each candidate."""
        share = sum(one.done / max(1, one.total) for one in work.tasks)
        found = "" if self._last is None else _found(self._last._replace(left=None))
        said = ", ".join(filter(None, [found, "" if work.left is None else f"about {_rounded(work.left)} left"]))
        self._bar.update(self._main, completed=work.finished + share, count=self._count(work.finished), found=said)
        for name in self._rows.keys() - {one.name for one in work.tasks}:
            self._bar.remove_task(self._rows.pop(name))
        for one in work.tasks:
            words: dict[str, Any] = {"count": f"{one.done:,}/{one.total:,} steps", "found": _row(one)}
            if one.name in self._rows:
                self._bar.update(self._rows[one.name], completed=one.done, **words)
            else:
                self._rows[one.name] = self._bar.add_task("", total=one.total, completed=one.done, **words)


def _row(task: CandidateProgress) -> str:
    """Return the words on a candidate in progress."""
    return f"{task.name}, {task.text}"


def _work_line(work: WorkInProgress, count: str) -> str:
    """Return the work in progress as one line."""
    left = "" if work.left is None else f", about {_rounded(work.left)} left"
    tasks = "; ".join(f"{_row(one)} ({one.done:,} of {plural(one.total, 'step')})" for one in work.tasks)
    return f"{count}{left}: {tasks}"


def _found(state: State) -> str:
    """Return the results of a search so far as one line."""
    parts = [f"front {state.front}"]
    if state.hypervolume is not None:
        parts.append(f"hypervolume {state.hypervolume:.1%}")
    if state.failed:
        parts.append(f"{state.failed} failed")
    if state.seconds_each is not None:
        parts.append(f"{_rounded(state.seconds_each)} each")
    if state.left is not None:
        parts.append(f"{duration(state.left)} left")
    return ", ".join(parts)


def _rounded(seconds: float) -> str:
    """Return seconds with two digits: "0.12 s", "8 min", "1.5 h"."""
    if seconds < MINUTE:
        return f"{seconds:.2g} s"
    minutes = seconds / MINUTE
    return f"{minutes:.2g} min" if minutes < MINUTE else f"{minutes / MINUTE:.3g} h"


def _line(state: State, unit: str) -> str:
    """Return the progress of a search as one line."""
    return f"generation {state.generation}: {state.done}/{plural(state.budget, unit)}, {_found(state)}"

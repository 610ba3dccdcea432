"""The progress of a search on stderr: a live bar on a terminal, otherwise one line per generation."""

from __future__ import annotations

import shutil
import sys
from types import TracebackType
from typing import NamedTuple, Self

from nasctl.system.terminal import duration, plural, say


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


class Progress:
    """The display of a running search, on stderr: a live bar on a terminal, one line per generation otherwise.

    Args:
        budget: Candidates to evaluate.
    """

    def __init__(self, budget: int) -> None:
        self._budget = budget
        self._live = sys.stderr.isatty()
        self._last: State | None = None

    def __enter__(self) -> Self:
        if self._live:
            from rich.console import Console
            from rich.progress import BarColumn, Progress, TextColumn

            columns = (
                BarColumn(bar_width=max(10, shutil.get_terminal_size().columns - 86)),
                TextColumn("{task.completed}/{task.total} candidates"),
                TextColumn("{task.fields[found]}"),
            )
            self._bar = Progress(*columns, console=Console(stderr=True), transient=False)
            self._bar.start()
            self._task = self._bar.add_task("", total=self._budget, found="")
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        if self._live:
            self._bar.stop()
        elif self._last is not None:
            say(_line(self._last))

    def update(self, state: State) -> None:
        """Show the progress of the search."""
        if self._live:
            self._bar.update(self._task, completed=state.done, total=state.budget, found=_found(state))
        elif self._last is not None and state.generation > self._last.generation:
            say(_line(self._last))
        self._last = state


def _found(state: State) -> str:
    """Return the results of a search so far as one line."""
    parts = [f"front {state.front}"]
    if state.hypervolume is not None:
        parts.append(f"hypervolume {state.hypervolume:.1%}")
    if state.failed:
        parts.append(f"{state.failed} failed")
    if state.seconds_each is not None:
        parts.append(f"{state.seconds_each:.2g} s each")
    if state.left is not None:
        parts.append(f"{duration(state.left)} left")
    return ", ".join(parts)


def _line(state: State) -> str:
    """Return the progress of a search as one line."""
    return f"generation {state.generation}: {state.done}/{plural(state.budget, 'candidate')}, {_found(state)}"

"""What people see: tables, numbers with units, and the progress of a search; the only file that imports rich."""

from __future__ import annotations

import math
import shutil
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import TracebackType
from typing import NamedTuple, Self, TypeVar

Item = TypeVar("Item")

UNITS = {"bytes": "B", "MACs": "", "parameters": ""}  # that take a prefix: 389.5 M


class State(NamedTuple):
    """How far a search is."""

    done: int
    budget: int
    failed: int
    front: int
    hypervolume: float | None
    seconds_each: float | None  # per candidate that had to be evaluated
    left: float | None  # seconds
    generation: int


def table(columns: Sequence[str], rows: Iterable[Sequence[object]], title: str = "") -> None:
    """Print a table on stdout: drawn on a terminal, tab-separated in a pipe."""
    text = [[printable(_text(cell)) for cell in row] for row in rows]
    if not sys.stdout.isatty():
        print(*("\t".join(row) for row in [map(printable, columns), *text]), sep="\n")
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    # As rich's Text, for it takes strings apart that hold "[red]" or "[/]".
    drawn = Table(title=Text(printable(title)) if title else None, title_justify="left")
    for k, column in enumerate(columns):
        numbers = all(_is_number(row[k]) for row in text)
        drawn.add_column(
            Text(printable(column)), justify="right" if numbers else "left", overflow="fold", no_wrap=k == 0
        )
    for row in text:
        drawn.add_row(*map(Text, row))
    Console().print(drawn)


def say(*lines: str) -> None:
    """Talk to the person, on stderr."""
    for line in lines:
        print(printable(line, "\n"), file=sys.stderr, flush=True)


def printable(text: str, besides: str = "") -> str:
    """Text as a terminal may be given it: what a file calls itself must not move the cursor, or hide what follows.

    Args:
        text: From anywhere.
        besides: Characters that stay as they are, with all that can be seen.
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c in besides else c.encode("unicode_escape").decode() for c in text)


def quantity(value: float, unit: str) -> str:
    """A number as people read it: "389.5 M", "14.5 MB", "23.1 ms"."""
    if unit not in UNITS:
        return f"{value:.4g} {unit}".strip()
    power = min(4, max(0, int(math.log10(max(abs(value), 1)) // 3)))
    return f"{value / 1000**power:.4g} {' kMGT'[power].strip()}{UNITS[unit]}".strip()


def duration(seconds: float) -> str:
    """Seconds as people read them: "42 s", "3 min 5 s", "2 h 10 min"."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    hours, minutes = divmod(whole // 60, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {whole % 60} s"


class Progress:
    """Shows a search while it runs, on stderr: a live bar on a terminal, one line a generation otherwise."""

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
        """Show how far the search is."""
        if self._live:
            self._bar.update(self._task, completed=state.done, total=state.budget, found=_found(state))
        elif self._last is not None and state.generation > self._last.generation:
            say(_line(self._last))
        self._last = state


def counted(items: Iterable[Item], total: int, what: str) -> Iterator[Item]:
    """Hand on the items and show how many there were: a bar on a terminal, some ten lines on stderr otherwise."""
    if sys.stderr.isatty():
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        columns = (TextColumn(what), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        with Progress(*columns, console=Console(stderr=True)) as shown:
            yield from shown.track(items, total=total)
        return
    start = time.monotonic()
    for number, item in enumerate(items, 1):
        yield item
        if number % max(1, math.ceil(total / 10)) == 0 or number == total:
            left = (time.monotonic() - start) * (total - number) / number
            say(f"{what}: {number}/{total}, {duration(left)} left")


def definitions(pairs: Mapping[str, object]) -> None:
    """Print names and what they mean, in two columns."""
    width = max(map(len, pairs))
    for name, value in pairs.items():
        print(printable(f"{name:<{width}}  {value}"))


def _found(state: State) -> str:
    parts = [f"front {state.front}"]
    if state.hypervolume is not None:
        parts.append(f"hypervolume {state.hypervolume:.4f}")
    if state.failed:
        parts.append(f"{state.failed} failed")
    if state.seconds_each is not None:
        parts.append(f"{state.seconds_each:.2g} s each")
    if state.left is not None:
        parts.append(f"{duration(state.left)} left")
    return ", ".join(parts)


def _line(state: State) -> str:
    return f"generation {state.generation}: {state.done}/{state.budget} candidates, {_found(state)}"


def _text(cell: object) -> str:
    if isinstance(cell, float):
        return f"{cell:.0f}" if cell.is_integer() else f"{cell:.6g}"
    return "" if cell is None else str(cell)


def _is_number(text: str) -> bool:
    try:
        float(text.partition(" ")[0].lstrip("~"))
    except ValueError:
        return text in ("", "-")
    return True

"""Output for people: tables, definitions and numbers with units. Only displays of progress import rich too."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TypeVar

Item = TypeVar("Item")

UNITS = {"bytes": "B", "MACs": "", "parameters": ""}  # units that take a prefix, and how they are written: 389.5 M


def table(columns: Sequence[str], rows: Iterable[Sequence[object]], title: str = "") -> None:
    """Print a table on stdout: drawn on a terminal, tab-separated in a pipe.

    Args:
        columns: Heads of the columns.
        rows: Rows of cells.
        title: Title, which only a terminal shows.
    """
    text = [[printable(_text(cell)) for cell in row] for row in rows]
    if not sys.stdout.isatty():
        print(*("\t".join(row) for row in [map(printable, columns), *text]), sep="\n")
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    # Cells are rich's Text, because rich reads "[red]" or "[/]" in a string as markup.
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
    """Print lines for people, on stderr."""
    for line in lines:
        print(printable(line, "\n"), file=sys.stderr, flush=True)


def printable(text: str, besides: str = "") -> str:
    """Return text that is safe to print: the name of a file must not move the cursor, or hide the text after it.

    Args:
        text: Text from anywhere.
        besides: Characters that stay as they are, like all printable characters. Others are escaped.
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c in besides else c.encode("unicode_escape").decode() for c in text)


def quantity(value: float, unit: str) -> str:
    """Return a number with its unit as people read it: "389.5 M", "14.5 MB", "23.1 ms"."""
    if unit not in UNITS:
        return f"{value:.4g} {unit}".strip()
    power = min(4, max(0, int(math.log10(max(abs(value), 1)) // 3)))
    return f"{value / 1000**power:.4g} {' kMGT'[power].strip()}{UNITS[unit]}".strip()


def duration(seconds: float) -> str:
    """Return seconds as people read them: "42 s", "3 min 5 s", "2 h 10 min"."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    hours, minutes = divmod(whole // 60, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {whole % 60} s"


def counted(items: Iterable[Item], total: int, what: str) -> Iterator[Item]:
    """Yield items and show their number on stderr: a bar on a terminal, about ten lines otherwise.

    Args:
        items: Items to yield.
        total: Number of items.
        what: Word before the number.
    """
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
    """Print names and their values on stdout, in two columns."""
    width = max(map(len, pairs))
    for name, value in pairs.items():
        print(printable(f"{name:<{width}}  {value}"))


def _text(cell: object) -> str:
    """Return the text of a cell of a table."""
    if isinstance(cell, float):
        return f"{cell:.0f}" if cell.is_integer() else f"{cell:.6g}"
    return "" if cell is None else str(cell)


def _is_number(text: str) -> bool:
    """Return whether a cell belongs into a column of numbers: a number, which a unit may follow, or nothing."""
    try:
        float(text.partition(" ")[0].lstrip("~"))
    except ValueError:
        return text in ("", "-")
    return True

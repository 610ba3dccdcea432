"""Output for people: tables, definitions and progress. Only displays of progress import rich too."""

from __future__ import annotations

import csv
import io
import math
import os
import re
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TextIO, TypeVar

from nasctl.system.table_layout import (
    TableCell,
    TableColumn,
    exact_value,
    lay_out_table,
    pipe_text,
    plain_columns,
)
from nasctl.system.wording import BOUND, UNITS, cells, duration, plural, printable, quantity, wrapped

__all__ = [
    "UNITS",
    "TableCell",
    "TableColumn",
    "counted",
    "definitions",
    "duration",
    "fitting",
    "measured",
    "paragraphs",
    "plural",
    "printable",
    "quantity",
    "say",
    "table",
    "terminal_width",
]

Item = TypeVar("Item")

DEFAULT_WIDTH = 80  # cells: width of a terminal that does not say how wide it is
ITEM = re.compile(r"\s*(?:[-*] |\w+: )")  # beginning of an item of a list, such as an argument in a docstring
FULL_LINE = 100  # characters: a line of a docstring that is not shorter goes on in the next line
COMMAND = re.compile(r"\s*(?:next: +)?nasctl ")  # beginning of a line that is copied into a shell as it is
LAST_COMMAND = re.compile(r"(.*:) (nasctl .*)")  # sentence that ends in a command, such as "wrote x; next: nasctl ..."
QUOTED = re.compile(r"`[^`]*`")  # command inside of a sentence
LEAST_WIDTH = 20  # cells: a terminal that says it is narrower is taken to be so wide


def table(
    columns: Sequence[str | TableColumn],
    rows: Iterable[Sequence[object]],
    title: str = "",
    as_csv: bool | None = None,
) -> None:
    """Print a table on stdout: laid out for the width of a terminal, tab-separated in a pipe, or as CSV.

    Args:
        columns: Columns, or their names. Of names, the first stays where a terminal is narrow, and the last goes first.
        rows: Rows of cells, which may be `TableCell`.
        title: Title, which only a terminal shows.
        as_csv: Whether the table is printed as CSV (RFC 4180) with exact values, and units in the header row; None
            for a command without --csv.
    """
    listed = [list(row) for row in rows]
    plain = plain_columns([one if isinstance(one, str) else one.name for one in columns], listed)
    known = [one if isinstance(one, TableColumn) else plain[k] for k, one in enumerate(columns)]
    if as_csv:
        _print_csv([one.heading for one in known], listed)
    elif sys.stdout.isatty():
        _draw(known, listed, title, "widen the terminal" + (", or --csv" if as_csv is not None else ""))
    else:
        text = [[printable(pipe_text(cell)) for cell in row] for row in listed]
        print(*("\t".join(row) for row in [[printable(one.pipe_heading) for one in known], *text]), sep="\n")


def measured(value: float, unit: str) -> TableCell:
    """Return the cell of a number that a pipe shows with the prefix of its unit, as a terminal does: "389.5 M"."""
    return TableCell(value, quantity(value, unit))


def terminal_width(stream: TextIO | None = None) -> int:
    """Return the number of cells in a line of the terminal of a stream, or COLUMNS if it is set.

    Args:
        stream: The stream; stdout by default.
    """
    asked = os.environ.get("COLUMNS", "")
    try:
        width = int(asked) if asked.isdecimal() else os.get_terminal_size((stream or sys.stdout).fileno()).columns
    except (OSError, ValueError):  # the stream is no terminal, or has no file descriptor
        width = 0
    return max(LEAST_WIDTH, width or DEFAULT_WIDTH)


def paragraphs(text: str) -> None:
    """Print text on stdout, as it is in a pipe and in lines that fit on a terminal.

    Lines that were broken because they were full are joined before they are broken elsewhere. Lines keep their indent.
    """
    lines = printable(text, "\n").split("\n")
    if not sys.stdout.isatty():
        print(*lines, sep="\n")
        return
    joined: list[str] = []
    before = ""
    for line in lines:
        words = line.split(None, 1)
        if before.strip() and words and len(before) + len(words[0]) >= FULL_LINE and not ITEM.match(line):
            joined[-1] += f" {line.strip()}"
        else:
            joined.append(line)
        before = line
    for line in joined:
        indent = " " * (len(line) - len(line.lstrip()))
        for part in wrapped(line.strip(), terminal_width() - len(indent)):
            print(f"{indent}{part}".rstrip())


def say(*lines: str) -> None:
    """Print lines for people, on stderr. A terminal gets them as `fitting` breaks them."""
    for line in lines:
        print(fitting(printable(line, "\n")), file=sys.stderr, flush=True)


def fitting(text: str) -> str:
    """Return text for stderr: broken at spaces on a terminal, as it is elsewhere.

    A line that is a command is not broken, because it is copied as one line. A command at the end of a sentence gets a
    line of its own.

    Args:
        text: Text without control characters other than line breaks.
    """
    if not sys.stderr.isatty():
        return text
    width = terminal_width(sys.stderr)
    return "\n".join(part for line in text.split("\n") for part in _fitting_lines(line, width))


def _fitting_lines(line: str, width: int) -> list[str]:
    """Return the parts of a line that is broken for a terminal."""
    if cells(line) <= width or COMMAND.match(line):
        return [line]
    if found := LAST_COMMAND.fullmatch(line):
        return [*wrapped(found[1], width), f"  {found[2]}"]
    # A quoted command stays on one line if it fits.
    bound = QUOTED.sub(lambda one: one[0].replace(" ", BOUND) if cells(one[0]) <= width else one[0], line)
    return wrapped(bound, width)


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
    """Print names and their values on stdout, in two columns; a terminal gets values in lines that fit."""
    width = max(map(len, pairs))
    if not sys.stdout.isatty():
        for name, value in pairs.items():
            print(printable(f"{name:<{width}}  {value}"))
        return
    whole = terminal_width()
    width = min(width, max(8, whole // 3))
    for name, value in pairs.items():
        first, *lines = wrapped(printable(str(value)), whole - width - 2)
        if cells(name) > width:  # a long name has a line of its own
            print(*wrapped(printable(name), whole), sep="\n")
            print(f"{'':<{width}}  {first}".rstrip())
        else:
            print(f"{printable(name)}{' ' * (width - cells(name))}  {first}".rstrip())
        for line in lines:
            print(f"{'':<{width}}  {line}".rstrip())


def _print_csv(heads: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print a table as CSV: lines end with CR LF, and only the cells that need them have quotes (RFC 4180)."""
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(heads)
    writer.writerows([exact_value(cell) for cell in row] for row in rows)
    out = getattr(sys.stdout, "buffer", None)
    if out is None:  # a stream of text in a notebook
        sys.stdout.write(text.getvalue())
        return
    sys.stdout.flush()
    out.write(text.getvalue().encode())  # as bytes, because text files of Windows would get a second CR
    out.flush()


def _draw(columns: Sequence[TableColumn], rows: Sequence[Sequence[object]], title: str, remedy: str) -> None:
    """Print a table on a terminal, with a note below it if columns do not fit.

    Args:
        columns: Columns.
        rows: Rows of cells.
        title: Title; "" for none.
        remedy: What shows the columns that do not fit.
    """
    from rich.console import Console
    from rich.text import Text

    width = terminal_width()
    found = lay_out_table(columns, rows, width)
    console = Console(width=width, highlight=False)
    lines = [(line, "bold") for one in [printable(title)] if title for line in wrapped(one, width)]
    lines += [(line, "bold") for line in found.head[:-1]]
    lines += [(line, "dim") for line in found.head[-1:]]
    lines += [(line, "") for line in found.body]
    if found.left_out:
        count = plural(len(found.left_out), "column")
        note = f"{count} left out ({', '.join(found.left_out)}); {remedy}"
        lines += [(line, "dim") for line in wrapped(note, width)]
    for line, style in lines:
        # Lines are rich's Text, because rich reads "[red]" or "[/]" in a string as markup.
        console.print(Text(_encodable(line), style=style), soft_wrap=True)


def _encodable(line: str) -> str:
    """Return a line whose characters the terminal has: its rules are made of "-" if it has none for them."""
    try:
        line.encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:
        encoding = sys.stdout.encoding
        return line.replace("\N{BOX DRAWINGS LIGHT HORIZONTAL}", "-").encode(encoding, "replace").decode(encoding)
    return line

"""Tables as lines of text for a terminal of a given width, without printing.

Numbers and ids are never broken. Columns that do not fit are left out by priority; a table whose most important columns
do not fit is turned: each row becomes lines of names and values.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeGuard

from nasctl.system.wording import UNITS, cells, prefix_power, printable, unit_text, wrapped

GAP = 2  # spaces between columns
NARROW = 16  # cells: columns of text are at least so wide, unless their text is shorter
RULE = "\N{BOX DRAWINGS LIGHT HORIZONTAL}"
LEAST_NAME = 6  # cells: names of columns are at least so wide where rows are turned
LONG_WORD = 28  # cells: a longer word does not widen a column of text
DIGITS = 3  # significant digits of the smallest number of a column
MOST_DIGITS = 5  # significant digits of the largest number of a column, unless more tell numbers apart
LONG_NUMBER = 1e12  # whole numbers without a unit are written with a power of ten from here on
EXACT = 2**53  # whole numbers below are exact in a float
NUMBER = re.compile(r"([~<>±+-]*\d[\d,]*)(\.\d+)?((?:e[+-]?\d+)?(?:[ %/:\[].*|x)?)")  # whole part, fraction, rest


@dataclass(frozen=True, slots=True)
class TableColumn:
    """A column of a table.

    Attributes:
        name: Name, which heads the column.
        unit: Unit of its numbers. Parameters, MACs and bytes are shown with a prefix in the cells: "308 M". Other units
            are a part of the heading.
        priority: Columns with the largest number are left out first where a terminal is too narrow; 0 stays.
        prose: Whether the cells are text whose lines may be broken at spaces.
        pipe: Heading in a pipe; the name with the unit by default.
        room: Cells that prose wants: other columns are left out, down to priority 1, before it gets fewer.
        short: Heading on a terminal; the name by default, with the unit unless cells have it.
    """

    name: str
    unit: str = ""
    priority: int = 0
    prose: bool = False
    pipe: str | None = None
    short: str | None = None
    room: int = NARROW

    @property
    def heading(self) -> str:
        """The heading where cells have plain numbers: the name and the unit."""
        return f"{self.name} ({self.unit})" if self.unit and self.unit != self.name else self.name

    @property
    def pipe_heading(self) -> str:
        """The heading in a pipe."""
        return self.heading if self.pipe is None else self.pipe

    @property
    def terminal_heading(self) -> str:
        """The heading on a terminal, where cells have their prefixed units."""
        if self.short is not None:
            return self.short
        return self.name if self.unit in UNITS else self.heading


@dataclass(frozen=True, slots=True)
class TableCell:
    """A cell that is not written in the same way everywhere.

    Attributes:
        value: Exact value, which CSV files have; None for none.
        pipe: Text in a pipe; the value with six significant digits by default.
        terminal: Text on a terminal; the value in the format of the column by default.
    """

    value: object
    pipe: str | None = None
    terminal: str | None = None


def pipe_text(cell: object) -> str:
    """Return the text of a cell in a pipe."""
    if isinstance(cell, TableCell):
        return pipe_text(cell.value) if cell.pipe is None else cell.pipe
    if isinstance(cell, float):
        return f"{cell:.0f}" if cell.is_integer() else f"{cell:.6g}"
    return "" if cell is None else str(cell)


def exact_value(cell: object) -> object:
    """Return the value of a cell for a CSV file."""
    value = cell.value if isinstance(cell, TableCell) else cell
    return int(value) if isinstance(value, float) and value.is_integer() and abs(value) < EXACT else value


def plain_columns(names: Sequence[str], rows: Sequence[Sequence[object]]) -> list[TableColumn]:
    """Return the columns of a table of which only the names are known: the first stays, later ones are left out first.

    Args:
        names: Names of the columns.
        rows: Rows of cells.
    """
    prose = [
        any(" " in (text := pipe_text(row[k])) and not _is_number(text) for row in rows) for k in range(len(names))
    ]
    return [TableColumn(name, priority=k, prose=k > 0 and prose[k]) for k, name in enumerate(names)]


@dataclass(frozen=True, slots=True)
class LaidOut:
    """A table as lines of text.

    Attributes:
        head: Lines of the headings; none if rows were turned.
        body: Lines of the rows.
        left_out: Headings of the columns that did not fit.
    """

    head: tuple[str, ...]
    body: tuple[str, ...]
    left_out: tuple[str, ...] = ()


def lay_out_table(columns: Sequence[TableColumn], rows: Sequence[Sequence[object]], width: int) -> LaidOut:
    """Return the lines of a table, none of which is wider than a terminal.

    Args:
        columns: Columns.
        rows: Rows of cells, as many as columns.
        width: Cells in a line of the terminal.
    """
    texts = [_column_texts(column, [row[k] for row in rows]) for k, column in enumerate(columns)]
    drawn = [_Drawn.of(column, found) for column, found in zip(columns, texts, strict=True)]
    # Columns without any text are not missed.
    filled = [any(map(str.strip, one.texts)) for one in drawn]
    kept = [k for k, one in enumerate(drawn) if filled[k] or (one.heading and one.column.priority == 0)]
    while _wanted_width(shown := [drawn[k] for k in kept]) > width:
        largest = max((one.column.priority for one in shown), default=0)
        if largest == 0 and _least_width(shown) <= width:
            break
        if largest == 0:
            return LaidOut((), tuple(_turned(drawn, width)))
        kept.remove(max(k for k in kept if drawn[k].column.priority == largest))
    left_out = [one.heading for k, one in enumerate(drawn) if k not in kept and filled[k]]
    if not shown:
        return LaidOut((), ())
    widths = _widths(shown, width)
    head = _lines([_broken_heading(one.heading, size) for one, size in zip(shown, widths, strict=True)], shown, widths)
    body = []
    for number in range(len(rows)):
        parts = [
            wrapped(one.texts[number], size) if one.column.prose else [one.texts[number]]
            for one, size in zip(shown, widths, strict=True)
        ]
        body += _lines(parts, shown, widths, bottom=False)
    rules = [RULE * size if one.heading else " " * size for one, size in zip(shown, widths, strict=True)]
    return LaidOut((*head, (" " * GAP).join(rules).rstrip()), tuple(body), tuple(left_out))


@dataclass(frozen=True, slots=True)
class _Drawn:
    """A column with the texts of its cells, and the widths that it needs."""

    column: TableColumn
    heading: str
    texts: tuple[str, ...]
    numbers: bool
    least: int  # width without which a number, an id or a word would be broken
    full: int  # width at which no line is broken

    @classmethod
    def of(cls, column: TableColumn, found: tuple[Sequence[str], bool]) -> _Drawn:
        """Measure a column, given its texts and whether they are numbers."""
        texts, numbers = found
        heading = printable(column.terminal_heading)
        widest = max((cells(line) for text in texts for line in text.split("\n")), default=0)
        least = widest
        if column.prose:
            longest = max((cells(word) for text in texts for word in text.split()), default=0)
            least = min(widest, max(NARROW, min(longest, LONG_WORD)))
        least = max(least, *(cells(piece) for piece in _pieces(heading)), 1)
        return cls(column, heading, tuple(texts), numbers, least, max(least, widest, cells(heading)))


def _least_width(columns: Sequence[_Drawn]) -> int:
    return sum(one.least for one in columns) + GAP * (len(columns) - 1)


def _wanted_width(columns: Sequence[_Drawn]) -> int:
    """Return the width at which prose has the room that it wants."""
    rooms = [max(one.least, min(one.column.room, one.full)) if one.column.prose else one.least for one in columns]
    return sum(rooms) + GAP * (len(columns) - 1)


def _widths(columns: Sequence[_Drawn], width: int) -> list[int]:
    """Return the widths of columns: what is left of the terminal goes to text first, then to headings."""
    found = [one.least for one in columns]
    left = width - _least_width(columns)
    while left and (growing := [k for k, one in enumerate(columns) if one.column.prose and found[k] < one.full]):
        # The column whose text has the most lines at its present width gains the most from one more cell.
        most = max(growing, key=lambda k: columns[k].full / found[k])
        found[most] += 1
        left -= 1
    for k, one in enumerate(columns):
        more = min(left, one.full - found[k])
        found[k] += more
        left -= more
    return found


def _lines(
    parts: Sequence[Sequence[str]], columns: Sequence[_Drawn], widths: Sequence[int], bottom: bool = True
) -> list[str]:
    """Return the lines of a row, whose cells have lines of their own.

    Args:
        parts: Lines of each cell.
        columns: Columns.
        widths: Widths of the columns.
        bottom: Whether short cells stand at the bottom of the row.
    """
    height = max(map(len, parts))
    lines = []
    for number in range(height):
        line = []
        for part, one, size in zip(parts, columns, widths, strict=True):
            place = number - (height - len(part)) if bottom else number
            text = part[place] if 0 <= place < len(part) else ""
            fill = " " * max(0, size - cells(text))
            line.append(fill + text if one.numbers else text + fill)
        lines.append((" " * GAP).join(line).rstrip())
    return lines


def _turned(columns: Sequence[_Drawn], width: int) -> list[str]:
    """Return the lines of a table whose rows are turned: a line for each cell that is not empty, rows apart."""
    size = min(max(cells(one.heading) for one in columns), max(8, width // 3))
    widest = max((cells(text.strip()) for one in columns if not one.column.prose for text in one.texts), default=0)
    size = max(LEAST_NAME, min(size, width - GAP - widest))  # an id stays whole if the terminal is as wide as it
    lines: list[str] = []
    for number in range(len(columns[0].texts) if columns else 0):
        lines += [""] if lines else []
        for one in columns:
            if not (text := one.texts[number].strip()):
                continue
            names, values = _broken_heading(one.heading, size), wrapped(text, max(1, width - size - GAP))
            for place in range(max(len(names), len(values))):
                name = names[place] if place < len(names) else ""
                value = values[place] if place < len(values) else ""
                lines.append(f"{name}{' ' * (size - cells(name))}{' ' * GAP}{value}".rstrip())
    return lines


def _pieces(heading: str) -> list[str]:
    """Return the parts of a heading between which a line may be broken: "latency", "@gpu", "(ms)"."""
    return re.findall(r" *(?:@|[^ @])[^ @]*?(?:-(?=\w{4})|(?= |@|$))", heading) or [heading]


def _broken_heading(heading: str, width: int) -> list[str]:
    """Return a heading in lines."""
    lines = [""]
    for piece in _pieces(heading):
        if lines[-1] and cells(lines[-1] + piece) > width:
            lines.append("")
        lines[-1] += piece if lines[-1] else piece.lstrip(" ")
    return [line for one in lines for line in wrapped(one, width)]


def _is_number(text: str) -> bool:
    """Return whether a cell belongs into a column of numbers: a number, which a unit may follow, or nothing."""
    return text in ("", "-", "failed") or NUMBER.fullmatch(text) is not None


def _unit(rest: str) -> str:
    """Return the letter or sign by which units are told apart, given the text after a number; "" for none."""
    return rest[:1] if rest.startswith("e") else rest.lstrip().lstrip("kMGT")[:1]


def _is_figure(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _terminal_value(cell: object) -> object:
    """Return the text that a cell has on a terminal, or its value if the column's format applies to it."""
    return cell.terminal if isinstance(cell, TableCell) and cell.terminal is not None else exact_value(cell)


def _column_texts(column: TableColumn, values: Sequence[object]) -> tuple[list[str], bool]:
    """Return the texts of the cells of a column on a terminal, and whether they are numbers; decimals are aligned."""
    raw = [_terminal_value(one) for one in values]
    numeric = [one for one in raw if _is_figure(one)]
    write = _NumberFormat(numeric, column.unit)
    texts = [write(one) if _is_figure(one) else printable(pipe_text(one)) for one in raw]
    numbers = not column.prose and all(map(_is_number, texts)) and any(NUMBER.fullmatch(one) for one in texts)
    if not numbers:
        return texts, False
    matches = [NUMBER.fullmatch(one) for one in texts]
    if len({_unit(found[3]) for found in matches if found}) > 1:
        return texts, True  # decimals of different units, or powers of ten, do not compare
    fraction = max((len(found[2] or "") for found in matches if found), default=0)
    rest = max((cells(found[3]) for found in matches if found), default=0)
    return [
        f"{found[1]}{found[2] or '':<{fraction}}{found[3]:<{rest}}" if found else text
        for found, text in zip(matches, texts, strict=True)
    ], True


class _NumberFormat:
    """A format that writes the numbers of a column with the same number of decimals.

    Args:
        values: The numbers of the column.
        unit: Their unit.
    """

    def __init__(self, values: Sequence[float], unit: str) -> None:
        self._unit = unit if unit in UNITS else ""
        finite = [float(one) for one in values if math.isfinite(one)]
        scaled = [abs(self._scaled(one)) for one in finite]
        self._scientific = not self._unit and any(one and (one < 1e-4 or one >= 1e7) for one in scaled)
        self._whole = not self._unit and all(one.is_integer() and abs(one) < LONG_NUMBER for one in finite)
        least = self._least_decimals([one for one in scaled if one])
        self._decimals = 0 if self._whole else DIGITS - 1 if self._scientific else least
        for _ in range(2):
            if len({self(one) for one in finite}) < len({f"{one:.6g}" for one in finite}):
                self._decimals += 1
        texts = [self(one).split(" ")[0] for one in finite]
        while self._decimals and not self._scientific and all("." not in one or one.endswith("0") for one in texts):
            self._decimals -= 1
            texts = [self(one).split(" ")[0] for one in finite]

    def __call__(self, value: float) -> str:
        if not math.isfinite(value):
            return str(value)
        if self._whole or (self._unit and abs(value) < 1000 and float(value).is_integer()):
            return f"{value:.0f} {UNITS.get(self._unit, '')}".strip()
        if self._scientific:
            return f"{value:.{self._decimals}e}"
        after = unit_text(prefix_power(value), self._unit) if self._unit else ""
        return f"{self._scaled(value):.{self._decimals}f} {after}".strip()

    def _scaled(self, value: float) -> float:
        return float(value / 1000 ** prefix_power(value)) if self._unit else float(value)

    def _least_decimals(self, sizes: Sequence[float]) -> int:
        """Return the decimals that the smallest number needs, unless the largest would have too many digits."""
        if not sizes:
            return 0
        low, high = (math.floor(math.log10(one)) for one in (min(sizes), max(sizes)))
        return max(0, min(DIGITS - 1 - low, MOST_DIGITS - 1 - high))

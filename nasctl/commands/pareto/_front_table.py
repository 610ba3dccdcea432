"""The table of a front on a terminal: what gives way where it is narrow."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from string import ascii_lowercase

from nasctl.system.table_layout import TableCell, TableColumn, lay_out_table

RECOMMENDED = "recommended"  # remark on the recommended network
MARK = "*"  # the same on a terminal, where a sentence below the table explains it
OFF = "not on the front"


@dataclass(frozen=True)
class FrontRow:
    """A network of the table.

    Args:
        id: Its id.
        cells: Further cells, as many as columns after the id.
        recommended: Whether it is the recommended network.
        names: Names of the published networks that have these values.
        equal: Number of further networks with these values.
        on_front: Whether it is on the front.
    """

    id: str
    cells: Sequence[object]
    recommended: bool = False
    names: Sequence[str] = ()
    equal: int = 0
    on_front: bool = True

    @property
    def remark(self) -> str:
        """What is special about the network, in words."""
        words = [RECOMMENDED] * self.recommended + list(self.names)
        words += [f"+{self.equal:,} equal"] if self.equal else []
        return ", ".join([*words, *([] if self.on_front else [OFF])])

    @property
    def whole(self) -> list[object]:
        """The cells with the whole id, and with the remark in words."""
        text = self.remark
        return [self.id, *self.cells, TableCell(text, terminal=text.replace(RECOMMENDED, MARK, 1))]


def with_remarks(columns: Sequence[TableColumn]) -> list[TableColumn]:
    """Return the columns of a table with one for remarks."""
    return [*columns, TableColumn("remark", prose=True, short="")]


def fitting_rows(
    columns: Sequence[TableColumn],
    rows: Sequence[FrontRow],
    short: Callable[[], Sequence[str]],
    needed: Collection[str],
    width: int,
) -> tuple[list[list[object]], list[str]]:
    """Return the rows of a table for a terminal, and sentences below it.

    Where columns that a reader needs would be left out, the names of published networks become letters, which a
    sentence explains, and then ids are shortened.

    Args:
        columns: Columns, the remark included.
        rows: Networks.
        short: Returns shortened ids of the networks; called if they are needed, because large stores have many ids.
        needed: Names of the columns that a reader needs: objectives and bounds.
        width: Cells in a line of the terminal.
    """
    whole, lettered = [row.whole for row in rows], list(_lettered(rows))
    heads = {one.terminal_heading for one in columns if one.name in needed}
    names = [f"{letter} {name}" for name, letter in _letters(rows).items()]
    legend = [f"reference networks: {', '.join(names)}"] if names else []
    for cells, sentences in ((whole, []), (lettered, legend)):
        laid = lay_out_table(columns, cells, width)
        if laid.head and not heads & {*laid.left_out}:
            return cells, sentences
    shortened = _lettered([replace(row, id=id) for row, id in zip(rows, short(), strict=True)])
    return list(shortened), [*legend, "ids are shortened, which commands understand; --csv has whole ones"]


def _letters(rows: Sequence[FrontRow]) -> dict[str, str]:
    """Return a letter, or a letter with a number, for each published network by name."""
    names = [f"{name}{'' if row.on_front else f' ({OFF})'}" for row in rows for name in row.names]
    size = len(ascii_lowercase)
    return {name: f"{ascii_lowercase[k % size]}{k // size or ''}" for k, name in enumerate(names)}


def _lettered(rows: Sequence[FrontRow]) -> Iterator[list[object]]:
    """Yield the rows with marks in place of words."""
    letters = iter(_letters(rows).values())
    for row in rows:
        marks = [MARK] * row.recommended + [next(letters) for _ in row.names]
        marks += [f"+{row.equal:,}"] if row.equal else []
        yield [row.id, *row.cells, TableCell(row.remark, terminal=" ".join(marks))]

"""HTML elements of the report: definition lists, tables and cells."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping
from html import escape

import numpy as np

from nasctl.drawing.pareto_layout import number_format
from nasctl.system.terminal import UNITS, quantity

LEAST_DIGITS, MOST_DIGITS = 4, 6  # significant digits of a number in a table


def definition_list(pairs: Mapping[str, object], kind: str = "") -> str:
    """Return a definition list, of a class of the style sheet."""
    rows = "\n".join(
        f"<div><dt>{escape(name)}</dt><dd>{escape(str(value))}</dd></div>" for name, value in pairs.items()
    )
    return f'<dl class="{kind}">\n{rows}\n</dl>'


def tabulated(
    heads: Iterable[str], rows: Iterable[str], kind: str = "", label: str = "", words: Collection[str] = ()
) -> str:
    """Return a table in a part of the page that scrolls.

    Args:
        heads: Headings.
        rows: Finished rows.
        kind: Class of the table in the style sheet.
        label: Name of the table for screen readers.
        words: Headings of columns of words, whose cells have that class.
    """
    left = {True: ' class="words"', False: ""}
    head = "".join(f'<th scope="col"{left[text in words]}>{escape(text)}</th>' for text in heads)
    lines = ["<thead>", f"<tr>{head}</tr>", "</thead>", "<tbody>", *rows, "</tbody>"]
    around = f'<div class="scroll" tabindex="0" role="region" aria-label="{escape(label or "Table")}">'
    return "\n".join([f'{around}<table class="{kind}">', *lines, "</table></div>"])


def number_writer(values: np.ndarray, unit: str) -> Callable[[float], str]:
    """Return a function that writes the numbers of a column as plots do: with four digits, or more to tell them apart.

    Args:
        values: All numbers of the column, (N,); NaN for a missing one.
        unit: Their unit.
    """
    if unit in UNITS:
        return lambda value: quantity(value, unit)
    known = values[np.isfinite(values)]
    different = len(np.unique([f"{value:.{MOST_DIGITS}g}" for value in known]))
    for digits in range(LEAST_DIGITS, MOST_DIGITS + 1):
        write = number_format(known, f"#.{digits}g")
        if len({write(value) for value in known}) == different:
            break
    return write


def number_cell(value: float, write: Callable[[float], str], label: str = "") -> str:
    """Return a table cell with a number, and with all of its digits for sorting.

    Args:
        value: The number; NaN for a missing one.
        write: Writes it.
        label: Heading of the column, which narrow pages show beside the number.
    """
    also = f' data-label="{escape(label)}"' if label else ""
    if not np.isfinite(value):
        return f'<td data-value=""{also}>-</td>'
    return f'<td data-value="{float(value)!r}"{also}>{escape(write(float(value)))}</td>'


def breakable(text: str) -> str:
    """Return text as HTML that narrow pages break after colons, commas and equals signs, and not inside a word."""
    return "<wbr>".join(f'<span class="whole">{escape(part)}</span>' for part in re.findall(r"[^:,=\s]+[:,=\s]*", text))

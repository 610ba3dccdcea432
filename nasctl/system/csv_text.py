"""Tables as text with one line per row, whatever separates their cells."""

from __future__ import annotations

import csv
import io
import re

SEPARATORS = {"\t": "a tab", ";": "';'", ",": "','", "|": "'|'"}
DECLARED = re.compile(r'"?sep=(.)"?\r?\n', re.IGNORECASE)  # the first line that Excel reads and writes


def csv_rows(text: str) -> list[dict[str, str]]:
    """Return the rows of a table with a header line, by column.

    A first line such as "sep=;" declares the separator. Otherwise it is the character out of tab, ";", "," and "|" that
    stands in the header and gives every line as many cells as the header.

    Args:
        text: The table; blank lines are left out.

    Raises:
        ValueError: Two columns have the same name, a line has another number of cells, or several separators fit.
        csv.Error: A cell is too long.
    """
    declared = DECLARED.match(text)
    body = text[declared.end() :] if declared else text
    first = body.lstrip("\r\n").partition("\n")[0]
    possible = [declared[1]] if declared else _separators(first) or [","]
    found = {}
    for separator in possible:
        try:
            found[separator] = _rows(body, separator, 1 + bool(declared))
        except ValueError as error:
            reason = error
    if not found:
        raise reason
    if len(found) > 1:
        names = " or ".join(SEPARATORS[separator] for separator in found)
        raise ValueError(f"{names} may separate its cells; begin it with a line such as sep=;")
    (rows,) = found.values()
    return rows


def _separators(header: str) -> list[str]:
    """Return the separators that stand in a header line outside of quotes."""
    bare = re.sub(r'"[^"]*"', "", header)
    return [separator for separator in SEPARATORS if separator in bare]


def _rows(text: str, separator: str, start: int) -> list[dict[str, str]]:
    """Parse a table, given its separator and the number of its first line in the file."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator)
    lines = ((reader.line_num + start - 1, line) for line in reader if line)
    _, header = next(lines, (0, []))
    names = [name.strip() for name in header]
    if len(set(names)) < len(names):
        raise ValueError("two columns have the same name")
    rows = []
    for number, line in lines:
        if len(line) != len(names):
            counts = f"{len(line)} fields, and the header {len(names)}"
            sign = SEPARATORS.get(separator, repr(separator))
            raise ValueError(f"line {number} has {counts}; a field with {sign} needs quotes")
        rows.append(dict(zip(names, line, strict=True)))
    return rows

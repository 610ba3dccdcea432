"""Tables of what is known about architectures, such as published accuracies: CSV or JSON to numbers by genome."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import chain
from pathlib import Path
from textwrap import shorten
from typing import Any

from nasctl import registry
from nasctl.architectures import ids
from nasctl.errors import BadOption, InvalidGenome, NasctlError, UnknownName
from nasctl.problem.ids import decode, spelled
from nasctl.problem.space import Genome, SearchSpace
from nasctl.system import files

LIMIT = 1 << 28  # bytes of a table, unpacked
NAMES = ("id", "arch", "architecture", "genome", "arch_str", "code")  # columns that are tried first, in any case
SENTINEL = -1e8  # what published tables of metrics hold where there is no value
KEY, VALUE = "architecture", "value"  # the columns of a JSON object whose keys are architectures


@dataclass(frozen=True)
class Truth:
    """One column of a table.

    Args:
        column: Its name.
        values: By genome as the table spells it, not canonical: equivalent ones may have values of their own, as those
            that were trained apart. The mean where several rows are of one.
        rows: Of the table.
        skipped: Of those, without a number: empty, a word, not finite, or -1e8, which tables write for "none".
    """

    column: str
    values: Mapping[Genome, float]
    rows: int
    skipped: int

    @property
    def merged(self) -> int:
        """Rows that went into the mean of another of the same genome."""
        return self.rows - self.skipped - len(self.values)


def read(path: Path, spec: str, column: str | None = None) -> Truth:
    """Read a column of a table of architectures.

    The table is CSV with a header line, separated by commas or tabs; a JSON list of objects; or a JSON object by
    architecture, of numbers or of objects, several of which may stand under the name of a data set. Each may be
    compressed with gzip. An architecture is an id, a genome such as "0,3,1", or written as the space's benchmark does.
    It stands in the first column that holds one in the first row; those called as in `NAMES` are tried before the
    others. A JSON list of numbers counts as its mean. What an object in a row holds is a column too, called
    "scores.glue" and the like. A JSON object may also have a list for each column, all of one length and one of them
    not of numbers; other lists and values beside them are left out.

    Args:
        path: The file.
        spec: The space.
        column: Its name; may be left out if only one holds numbers.

    Raises:
        NasctlError: The file cannot be read, has no such column, or has an architecture that the space does not know.
    """
    return read_columns(path, spec, [column])[0]


def read_columns(path: Path, spec: str, columns: Sequence[str | None]) -> list[Truth]:
    """Read several columns of a table, whose text and architectures are parsed once; see `read`."""
    space: SearchSpace = registry.create("spaces", spec)
    rows = _rows(path)
    names = list(dict.fromkeys(chain.from_iterable(rows)))
    address = _address(path, rows[0], names, space, spec)
    parsed = cache(lambda k: _genome(rows[k].get(address), space, spec))
    others = [name for name in names if name != address]
    return [_truth(path, rows, _column(path, rows, others, column), parsed) for column in columns]


def _truth(path: Path, rows: Sequence[Mapping[str, Any]], column: str, parsed: Callable[[int], Genome]) -> Truth:
    """Return a column of a table, given the genome of a row by its index."""
    found: dict[Genome, list[float]] = {}
    for k, row in enumerate(rows):
        value = _number(row.get(column))
        if value is None:
            continue
        try:
            genome = parsed(k)
        except InvalidGenome as error:
            raise NasctlError(f"{path}, architecture {k + 1}: {error}") from None
        found.setdefault(genome, []).append(value)
    if not found:
        raise NasctlError(f"column {column!r} of {path} holds no numbers")
    means = {genome: math.fsum(values) / len(values) for genome, values in found.items()}
    return Truth(column, means, len(rows), len(rows) - sum(map(len, found.values())))


def _rows(path: Path) -> list[dict[str, Any]]:
    """The rows of the table, one or more."""
    try:
        content = files.read(path, LIMIT)
        if content.startswith(files.GZIP):
            content = files.unpacked(content, LIMIT)
        text = content.decode("utf-8-sig")
    except OSError as error:
        raise NasctlError(f"cannot read {path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise NasctlError(f"{path} is neither CSV nor JSON, compressed or not: it is no text in UTF-8") from None
    try:
        rows = _json_rows(text) if text.lstrip().startswith(("{", "[")) else _csv_rows(text)
    except (ValueError, csv.Error) as error:
        raise NasctlError(f"{path} cannot be read as a table: {error}") from None
    if not rows:
        raise NasctlError(f"{path} holds no table: it needs a header line and rows, or JSON")
    return rows


def _csv_rows(text: str) -> list[dict[str, Any]]:
    first, _, _ = text.partition("\n")
    reader = csv.reader(io.StringIO(text, newline=""), delimiter="\t" if "\t" in first else ",")
    header = next(reader, [])
    if len(set(header)) < len(header):
        raise ValueError("two columns have the same name")
    rows: list[dict[str, Any]] = []
    for line in reader:
        if len(line) not in (0, len(header)):
            counts = f"{len(line)} fields, and the header {len(header)}"
            raise ValueError(f"line {reader.line_num} has {counts}; a field with commas needs quotes")
        if line:
            rows.append(dict(zip(header, line, strict=True)))
    return rows


def _json_rows(text: str) -> list[dict[str, Any]]:
    content = files.parsed(text)
    if isinstance(content, dict):
        if len(content) == 1 and _nested(inner := next(iter(content.values()))):
            content = inner  # the one name is that of a data set
        by_name = ({**(v if isinstance(v, dict) else {VALUE: v}), KEY: key} for key, v in content.items())
        content = _parallel(content) or [*by_name]
    if not all(isinstance(row, dict) for row in content):
        raise ValueError("JSON has to be a list of objects, or an object by architecture")
    return [_widened(row) for row in content]


def _parallel(content: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The rows of an object whose values are columns; none if it is no such object."""
    lists = {name: value for name, value in content.items() if isinstance(value, list)}
    if not any(isinstance(cell, str | dict | list) for column in lists.values() for cell in column[:1]):
        return []  # lists of numbers belong to architectures
    length = max(map(len, lists.values()))  # of the columns; what is shorter describes the table
    columns = {name: value for name, value in lists.items() if len(value) == length}
    return [dict(zip(columns, cells, strict=True)) for cells in zip(*columns.values(), strict=True)]


def _widened(row: dict[str, Any]) -> dict[str, Any]:
    """The row with what is in its objects as columns too, such as "scores.glue", behind its own."""
    inner = [(name, value) for name, value in row.items() if isinstance(value, dict)]
    return row | {f"{name}.{key}": cell for name, value in inner for key, cell in value.items()} | row


def _nested(value: object) -> bool:
    """Whether it is an object of several objects, as rows are."""
    return isinstance(value, dict) and len(value) > 1 and all(isinstance(one, dict) for one in value.values())


def _address(path: Path, first: Mapping[str, Any], names: Sequence[str], space: SearchSpace, spec: str) -> str:
    """The column that holds architectures."""
    for name in sorted(names, key=lambda name: name.lower() not in NAMES):
        if _is_genome(first.get(name), space, spec):
            if _is_genome(name, space, spec):
                raise NasctlError(f"{path} has no header line: its first line holds an architecture")
            return name
    raise NasctlError(
        f"no column of {path} holds an architecture of {spec} in its first row; its columns: {_listed(names)}"
    )


def _listed(names: Sequence[str]) -> str:
    """Names of columns for a message, of which a table may have thousands."""
    return shorten(", ".join(names), 400, placeholder=" ...")


def _is_genome(cell: object, space: SearchSpace, spec: str) -> bool:
    try:
        _genome(cell, space, spec)
    except InvalidGenome:
        return False
    return True


def _column(path: Path, rows: Sequence[Mapping[str, Any]], names: Sequence[str], column: str | None) -> str:
    """The column that is meant, of those beside the architectures."""
    if column is not None:
        if column not in names:
            raise UnknownName(f"column of {path}", column, names)
        return column
    numeric = [name for name in names if any(_number(row.get(name)) is not None for row in rows)]
    if len(numeric) != 1:
        several = f"several columns of numbers; name one of {_listed(numeric)}"
        raise BadOption(f"{path} has {several if numeric else 'no column of numbers'}")
    return numeric[0]


def _genome(cell: object, space: SearchSpace, spec: str) -> Genome:
    """The genome that a cell of the table stands for, not canonical itself.

    Raises:
        InvalidGenome: It stands for none of this space.
    """
    if isinstance(cell, dict):
        cell = json.dumps(cell)
    text = ",".join(map(str, cell)) if isinstance(cell, list) else str(cell).strip()
    if (genome := spelled(text, space)) is None:
        head, _, word = text.lower().rpartition("-")
        if head != ids.prefix(spec):
            shown = text if len(text) <= 60 else text[:60] + "..."
            raise InvalidGenome(f"{shown!r} is no architecture of {spec}")
        genome = decode(word, space.genes)
    space.canonical(genome)  # which refuses what is none
    return genome


def _number(cell: object) -> float | None:
    """The number in a cell; none if there is none."""
    if isinstance(cell, list):
        numbers = [_number(part) for part in cell]
        known = [number for number in numbers if number is not None]
        return math.fsum(known) / len(known) if known and len(known) == len(numbers) else None
    if not isinstance(cell, str | int | float) or isinstance(cell, bool):
        return None
    try:
        number = float(cell)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) and number != SENTINEL else None

"""Tables of known values of architectures, such as published accuracies: numbers by genome, from CSV or JSON."""

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

LIMIT = 1 << 28  # bytes of a decompressed table
NAMES = ("id", "arch", "architecture", "genome", "arch_str", "code")  # columns tried first, in upper or lower case
SENTINEL = -1e8  # stands for a missing value in published tables of metrics
KEY, VALUE = "architecture", "value"  # the columns of a JSON object whose keys are architectures


@dataclass(frozen=True)
class Truth:
    """One column of a table.

    Args:
        column: Name of the column.
        values: Values by genome as the table spells it, not canonical, because equivalent genomes may have different
            values if they were trained separately. The mean if several rows have the same genome.
        rows: Number of rows of the table.
        skipped: Number of rows without a number: empty, a word, not finite, or -1e8, which stands for a missing value.
    """

    column: str
    values: Mapping[Genome, float]
    rows: int
    skipped: int

    @property
    def merged(self) -> int:
        """Number of rows with the genome of an earlier row."""
        return self.rows - self.skipped - len(self.values)


def read(path: Path, spec: str, column: str | None = None) -> Truth:
    """Read a column of a table of architectures.

    Four forms of tables are read, each of which may be compressed with gzip:

    - CSV with a header line, separated by commas or tabs.
    - A JSON list of objects, one for each row.
    - A JSON object by architecture, of numbers or of objects. Its only key may be the name of a data set that holds
      several such objects.
    - A JSON object of lists, one for each column. The columns are the lists of the greatest length, and one of them is
      not of numbers. Shorter lists and other values are left out.

    An architecture is an id, a genome such as "0,3,1", or text in the notation of the space's benchmark. The column of
    architectures is the first one that has an architecture in the first row; columns called as in `NAMES` are tried
    first. A JSON list of numbers counts as its mean. The fields of an object in a row are columns too, named as in
    "scores.glue".

    Args:
        path: Path of the file.
        spec: Spec of the space.
        column: Name of the column; not needed if only one column has numbers.

    Raises:
        NasctlError: The file cannot be read, has no such column, or has an architecture that is not in the space.
    """
    return read_columns(path, spec, [column])[0]


def read_columns(path: Path, spec: str, columns: Sequence[str | None]) -> list[Truth]:
    """Read several columns of a table, whose text and architectures are parsed once; see `read`."""
    space: SearchSpace = registry.create("spaces", spec)
    rows = _rows(path)
    names = list(dict.fromkeys(chain.from_iterable(rows)))
    architectures = _architecture_column(path, rows[0], names, space, spec)
    parsed = cache(lambda k: _genome(rows[k].get(architectures), space, spec))
    others = [name for name in names if name != architectures]
    return [_truth(path, rows, _value_column(path, rows, others, column), parsed) for column in columns]


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
    """Read the rows of a table that has at least one."""
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
    """Parse CSV with a header line."""
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
    """Parse any of the JSON forms."""
    content = files.parsed(text)
    if isinstance(content, dict):
        if len(content) == 1 and _is_nested(inner := next(iter(content.values()))):
            content = inner  # the only key is the name of a data set
        by_name = ({**(v if isinstance(v, dict) else {VALUE: v}), KEY: key} for key, v in content.items())
        content = _rows_of_columns(content) or [*by_name]
    if not all(isinstance(row, dict) for row in content):
        raise ValueError("JSON has to be a list of objects, or an object by architecture")
    return [_with_nested_columns(row) for row in content]


def _rows_of_columns(content: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the rows of an object whose values are columns, or no rows if it is no such object."""
    lists = {name: value for name, value in content.items() if isinstance(value, list)}
    if not any(isinstance(cell, str | dict | list) for column in lists.values() for cell in column[:1]):
        return []  # lists of numbers are values of architectures
    length = max(map(len, lists.values()))  # shorter lists describe the table
    columns = {name: value for name, value in lists.items() if len(value) == length}
    return [dict(zip(columns, cells, strict=True)) for cells in zip(*columns.values(), strict=True)]


def _with_nested_columns(row: dict[str, Any]) -> dict[str, Any]:
    """Return a row with the fields of its objects as further columns, such as "scores.glue"."""
    inner = [(name, value) for name, value in row.items() if isinstance(value, dict)]
    return row | {f"{name}.{key}": cell for name, value in inner for key, cell in value.items()} | row


def _is_nested(value: object) -> bool:
    """Return whether a value is an object of several objects, as a table by architecture is."""
    return isinstance(value, dict) and len(value) > 1 and all(isinstance(one, dict) for one in value.values())


def _architecture_column(
    path: Path, first: Mapping[str, Any], names: Sequence[str], space: SearchSpace, spec: str
) -> str:
    """Return the name of the column that holds architectures."""
    for name in sorted(names, key=lambda name: name.lower() not in NAMES):
        if _is_genome(first.get(name), space, spec):
            if _is_genome(name, space, spec):
                raise NasctlError(f"{path} has no header line: its first line holds an architecture")
            return name
    raise NasctlError(
        f"no column of {path} holds an architecture of {spec} in its first row; its columns: {_listed(names)}"
    )


def _listed(names: Sequence[str]) -> str:
    """Return the names of columns for a message, shortened because a table may have thousands."""
    return shorten(", ".join(names), 400, placeholder=" ...")


def _is_genome(cell: object, space: SearchSpace, spec: str) -> bool:
    """Return whether a cell is an architecture of the space."""
    try:
        _genome(cell, space, spec)
    except InvalidGenome:
        return False
    return True


def _value_column(path: Path, rows: Sequence[Mapping[str, Any]], names: Sequence[str], column: str | None) -> str:
    """Return the name of the column to read: the given one, or the only one with numbers."""
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
    """Return the genome of a cell of the table, without making it canonical.

    Raises:
        InvalidGenome: The cell is no architecture of the space.
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
    space.canonical(genome)  # raises InvalidGenome for a wrong genome
    return genome


def _number(cell: object) -> float | None:
    """Return the number in a cell, or None if it has none."""
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

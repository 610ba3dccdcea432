"""Tables of known values of architectures, such as published accuracies: numbers by genome, from CSV or JSON."""

from __future__ import annotations

import codecs
import csv
import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import chain
from pathlib import Path
from textwrap import shorten
from typing import Any

from nasctl import registry
from nasctl.architectures import ids
from nasctl.architectures.json_tables import json_rows
from nasctl.errors import AmbiguousGenome, BadOption, InvalidGenome, NasctlError, UnknownName
from nasctl.problem.ids import WRITERS, decode, listed_choices, spelled
from nasctl.problem.space import Genome, HasNASLibTuples, SearchSpace
from nasctl.system import files
from nasctl.system.csv_text import csv_rows

LIMIT = 1 << 28  # bytes of a decompressed table
NAMES = ("id", "arch", "architecture", "genome", "arch_str", "code")  # columns tried first, in upper or lower case
SENTINEL = -1e8  # stands for a missing value in published tables of metrics
UNNAMED = ("", "Unnamed: 0")  # names of the column in which pandas writes the labels of rows as CSV
NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:e[-+]?\d+)?", re.ASCII | re.IGNORECASE)
COMMA = re.compile(r"[-+]?\d+,\d+(?:e[-+]?\d+)?", re.ASCII | re.IGNORECASE)  # a number with a decimal comma
THOUSANDS = re.compile(r"[-+]?[1-9]\d{0,2},\d{3}", re.ASCII)  # 1,234 may also be a thousand and more
DIGIT_FIRST = re.compile(r"[-+]?[.,]?\d", re.ASCII)
FOREIGN = {  # the first bytes of files that are no text, and what writes them as text
    b"PAR1": "a Parquet file; write it with pandas.read_parquet(FILE).to_csv(...)",
    b"ARROW1": "a Feather file; write it with pandas.read_feather(FILE).to_csv(...)",
    b"\x89HDF": "an HDF5 file; write it with pandas.read_hdf(FILE).to_csv(...)",
    b"SQLite format 3": "a SQLite file; export a table of it as CSV",
    b"\xd0\xcf\x11\xe0": "an Excel file; save it as CSV",
    b"PK\x03\x04": "a zip archive or an Excel file; unpack it, or save it as CSV",
    b"BZh": "compressed with bzip2; unpack it, or compress it with gzip",
    b"\xfd7zXZ": "compressed with xz; unpack it, or compress it with gzip",
    b"\x28\xb5\x2f\xfd": "compressed with zstd; unpack it, or compress it with gzip",
    b"\x80": "a pickle, which may run any code and is never loaded; write it as CSV or JSON",
}


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

    These forms of tables are read, each of which may be compressed with gzip:

    - CSV with a header line. Cells are separated by commas, semicolons, tabs or "|", as the header or a first line such
      as "sep=;" says.
    - JSON lines, a JSON list of objects, or a JSON list of lists of which the first has the names of columns.
    - What pandas writes with `DataFrame.to_json`, in every orient but "values", which has no names of columns.
    - A JSON object by architecture, of numbers or of objects. Such objects may stand under names of data sets, which
      become columns.
    - A JSON object of lists, one for each column. The columns are the lists of the greatest length, and one of them is
      not of numbers. Shorter lists and other values are left out.

    An architecture is an id, a genome such as "0,3,1", or text in the notation of the space's benchmark. The column of
    architectures is the first one that has an architecture in the first row; columns called as in `NAMES` are tried
    first. A JSON list of numbers counts as its mean. The fields of an object in a row are columns too, named as in
    "scores.glue". A number may have a decimal comma where commas separate no cells.

    A list of numbers in brackets, or in JSON, is a genome too. On a space that `HasNASLibTuples` it is refused, because
    NASLib writes other networks in the same way, unless the table says whose list it is: by the name of its column,
    which is "genome", "op_indices" or begins with "naslib", or by "genome:" or "naslib:" before the list or the path.

    Args:
        path: Path of the file; "genome:" or "naslib:" before it says whose lists of numbers it has.
        spec: Spec of the space.
        column: Name of the column; not needed if only one column has numbers.

    Raises:
        NasctlError: The file cannot be read, has no such column, or has an architecture that is not in the space.
    """
    return read_columns(path, spec, [column])[0]


def read_columns(path: Path, spec: str, columns: Sequence[str | None]) -> list[Truth]:
    """Read several columns of a table, whose text and architectures are parsed once; see `read`."""
    space: SearchSpace = registry.create("spaces", spec)
    path, writer = file_and_writer(path)
    if writer == "naslib" and not isinstance(space, HasNASLibTuples):
        raise BadOption(f"nasctl does not know NASLib's tuples of {spec}; leave naslib: out")

    def is_architecture(cell: object) -> bool:
        # In a space of one gene, any whole number would be a genome, such as the number of a row.
        bare = len(space.genes) == 1 and _number(cell) is not None
        return isinstance(cell, str | list | dict) and not bare and _is_genome(cell, space, spec, writer)

    rows = _rows(path, is_architecture)
    names = list(dict.fromkeys(chain.from_iterable(rows)))
    architectures = _architecture_column(path, rows[0], names, space, spec, writer)
    writer = _writer(architectures, space, writer)
    parsed = cache(lambda k: _genome(rows[k].get(architectures), space, spec, writer))
    others = [name for name in names if name != architectures]
    wanted = [
        _value_column(path, rows, others, column, lambda cell: _is_genome(cell, space, spec, "genome"))
        for column in columns
    ]
    return [_truth(path, rows, column, parsed) for column in wanted]


def file_and_writer(path: Path) -> tuple[Path, str]:
    """Return the path of a file, and the member of `WRITERS` that a user has put before it or ""."""
    writer, _, rest = str(path).partition(":")
    return (Path(rest), writer) if rest and writer in WRITERS and not path.exists() else (path, "")


def _truth(path: Path, rows: Sequence[Mapping[str, Any]], column: str, parsed: Callable[[int], Genome]) -> Truth:
    """Return a column of a table, given the genome of a row by its index."""
    found: dict[Genome, list[float]] = {}
    try:
        values = _numbers([row.get(column) for row in rows])
    except ValueError as error:
        raise NasctlError(f"column {column!r} of {path}, {error}") from None
    for k, value in enumerate(values):
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


def _rows(path: Path, is_architecture: Callable[[Any], bool] = lambda cell: False) -> list[dict[str, Any]]:
    """Read the rows of a table that has at least one.

    Args:
        path: The file.
        is_architecture: Returns whether a cell is an architecture; see `json_rows`.
    """
    text = _text(path)
    rows: Sequence[dict[str, Any]]
    try:
        is_json = text.lstrip().startswith(("{", "["))
        rows = json_rows(text, is_architecture) if is_json else csv_rows(text)
    except (ValueError, csv.Error) as error:
        raise NasctlError(f"{path} cannot be read as a table: {error}") from None
    if not rows:
        raise NasctlError(f"{path} holds no table: it needs a header line and rows, or JSON")
    return list(rows)


def _text(path: Path) -> str:
    """Return the text of a file in UTF-8, or in UTF-16 with a byte order mark, which may be compressed with gzip."""
    try:
        content = files.read(path, LIMIT)
        if content.startswith(files.GZIP):
            content = files.unpacked(content, LIMIT)
    except OSError as error:
        raise NasctlError(f"cannot read {path}: {error.strerror}") from None
    if foreign := next((said for start, said in FOREIGN.items() if content.startswith(start)), None):
        raise NasctlError(f"{path} is neither CSV nor JSON: it is {foreign}")
    try:
        has_utf16_mark = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
        return content.decode("utf-16" if has_utf16_mark else "utf-8").removeprefix("\ufeff")
    except UnicodeDecodeError:
        raise NasctlError(f"{path} is neither CSV nor JSON, compressed or not: it is no text in UTF-8") from None


def _architecture_column(
    path: Path, first: Mapping[str, Any], names: Sequence[str], space: SearchSpace, spec: str, writer: str
) -> str:
    """Return the name of the column that holds architectures."""
    doubt: AmbiguousGenome | None = None
    for name in sorted(names, key=lambda name: name.lower() not in NAMES):
        if len(space.genes) == 1 and name.lower() not in NAMES and _number(first.get(name)) is not None:
            continue  # any whole number would be a genome of the space
        try:
            _genome(first.get(name), space, spec, _writer(name, space, writer))
        except AmbiguousGenome as error:
            doubt = doubt or error
            continue
        except InvalidGenome:
            continue
        if _is_genome(name, space, spec, "genome"):
            raise NasctlError(f"{path} has no header line: its first line holds an architecture")
        return name
    if doubt:
        raise NasctlError(f"{path}: {doubt}")
    raise NasctlError(
        f"no column of {path} holds an architecture of {spec} in its first row; its columns: {_listed(names)}"
    )


def _writer(column: str, space: SearchSpace, writer: str) -> str:
    """Return whose lists of numbers a column has: a member of `WRITERS`, or "" if nobody has said so."""
    name = column.lower()
    if writer or not isinstance(space, HasNASLibTuples):
        return writer
    return "naslib" if name.startswith("naslib") or name == "op_indices" else "genome" if name == "genome" else ""


def _listed(names: Sequence[str]) -> str:
    """Return the names of columns for a message, shortened because a table may have thousands."""
    return shorten(", ".join(names), 400, placeholder=" ...")


def _is_genome(cell: object, space: SearchSpace, spec: str, writer: str) -> bool:
    """Return whether a cell is an architecture of the space, perhaps in doubt which."""
    try:
        _genome(cell, space, spec, writer)
    except AmbiguousGenome:
        return True
    except InvalidGenome:
        return False
    return True


def _value_column(
    path: Path,
    rows: Sequence[Mapping[str, Any]],
    names: Sequence[str],
    column: str | None,
    is_architecture: Callable[[Any], bool],
) -> str:
    """Return the name of the column to read: the given one, or the only one with numbers."""
    if column is not None:
        if column not in names:
            raise UnknownName(f"column of {path}", column, names)
        return column
    cells = {name: [row.get(name) for row in rows] for name in names}
    numeric = [
        name
        for name in names
        if any(_number(one) is not None or (_is_comma_number(one) and not is_architecture(one)) for one in cells[name])
        and not _has_row_numbers(name, cells[name])
    ]
    if len(numeric) != 1:
        several = f"several columns of numbers; name one of {_listed(numeric)}"
        raise BadOption(f"{path} has {several if numeric else 'no column of numbers'}")
    return numeric[0]


def _has_row_numbers(name: str, cells: Sequence[object]) -> bool:
    """Return whether a column has the numbers of rows: in order, or different whole numbers in one without a name."""
    numbers = [_number(cell) for cell in cells]
    if name == "index":
        return numbers == list(range(len(cells)))
    whole = {number for number in numbers if number is not None and number.is_integer()}
    return name in UNNAMED and len(whole) == len(cells)


def _genome(cell: object, space: SearchSpace, spec: str, writer: str) -> Genome:
    """Return the genome of a cell of the table, without making it canonical.

    Args:
        cell: The cell.
        space: The space.
        spec: Its spec.
        writer: Member of `WRITERS` whose list of numbers the cell holds, if it holds one; "" if nobody has said so.

    Raises:
        InvalidGenome: The cell is no architecture of the space.
    """
    if isinstance(cell, dict):
        cell = json.dumps(cell)
    text = f"[{', '.join(map(str, cell))}]" if isinstance(cell, list) else str(cell).strip()
    if writer and listed_choices(text) is not None:
        text = f"{writer}:{text}"
    if (genome := spelled(text, space)) is None:
        head, _, word = text.lower().rpartition("-")
        if head != ids.prefix(spec):
            shown = text if len(text) <= 60 else text[:60] + "..."
            raise InvalidGenome(f"{shown!r} is no architecture of {spec}")
        genome = decode(word, space.genes)
    space.canonical(genome)  # raises InvalidGenome for a wrong genome
    return genome


def _numbers(cells: Sequence[object]) -> list[float | None]:
    """Return the number in each cell of a column, or None where it has none.

    Raises:
        ValueError: A cell begins as a number and is none, or may be one of two numbers; the message is a clause.
    """
    texts = [cell.strip() if isinstance(cell, str) else "" for cell in cells]
    with_comma = [text for text in texts if COMMA.fullmatch(text)]
    if with_comma:
        mixed = next((text for text in texts if "." in text and NUMBER.fullmatch(text)), None)
        certain = any(not THOUSANDS.fullmatch(text) for text in with_comma)
        if mixed is not None or not certain:
            other = f"beside {mixed!r}, may have a decimal comma or not" if mixed else "may be a fraction or thousands"
            raise ValueError(f"where {with_comma[0]!r} {other}; write numbers with a decimal point and nothing else")
    found = []
    for k, (cell, text) in enumerate(zip(cells, texts, strict=True)):
        number = _number(text.replace(",", ".") if COMMA.fullmatch(text) else cell)
        if number is None and DIGIT_FIRST.match(text) and not NUMBER.fullmatch(text):
            raise ValueError(f"row {k + 1}: {text[:60]!r} is not a number; leave a cell without a number empty")
        found.append(number)
    return found


def _is_comma_number(cell: object) -> bool:
    return isinstance(cell, str) and COMMA.fullmatch(cell.strip()) is not None


def _number(cell: object) -> float | None:
    """Return the number in a cell, or None if it has none."""
    if isinstance(cell, list):
        numbers = [_number(part) for part in cell]
        known = [number for number in numbers if number is not None]
        return math.fsum(known) / len(known) if known and len(known) == len(numbers) else None
    if isinstance(cell, str) and not NUMBER.fullmatch(cell.strip()):
        return None
    if not isinstance(cell, str | int | float) or isinstance(cell, bool):
        return None
    try:
        number = float(cell)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) and number != SENTINEL else None

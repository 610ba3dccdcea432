"""Tables of architectures in JSON: every form that pandas, benchmarks and scripts write, as rows by column."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import islice
from typing import Any

from nasctl.system import files

KEY, VALUE = "architecture", "value"  # columns of an object whose keys are architectures
PROBED = 3  # rows that tell a table of rows from a table of columns
MAX_WRAPPERS = 4  # nested objects with one key, such as the name of a data set, around a table

Row = dict[str, Any]
IsArchitecture = Callable[[Any], bool]


def json_rows(text: str, is_architecture: IsArchitecture) -> list[Row]:
    """Return the rows of a table in JSON or JSON lines.

    Fields of an object in a row are columns too, named as in "scores.glue".

    Args:
        text: The table.
        is_architecture: Returns whether a text, list or object is an architecture of the space. It tells a column of
            architectures from other columns, and the name of a data set from an architecture.

    Raises:
        ValueError: The text is no JSON, has a key twice, or is no table.
    """
    return [_with_nested_columns(row) for row in _rows(_parsed(text), is_architecture)]


def _parsed(text: str) -> Any:
    """Return the values of a JSON text, or the list of values of a text with one JSON value on each line."""
    try:
        return files.parsed(text)
    except ValueError as whole:
        lines = [(number, line) for number, line in enumerate(text.split("\n"), 1) if line.strip()]
        found = []
        for number, line in lines:
            try:
                found.append(files.parsed(line))
            except ValueError as error:
                if not found:
                    raise whole from None
                raise ValueError(f"line {number}: {error}") from None
        return found


def _rows(content: Any, known: IsArchitecture, wrappers: int = 0) -> list[Row]:
    """Return the rows of a table in any form."""
    if isinstance(content, list):
        return _rows_of_list(content)
    if not isinstance(content, dict) or wrappers > MAX_WRAPPERS:
        raise ValueError("JSON has to be a list of objects, or an object by architecture")
    for form in (_pandas_split, _pandas_table, _by_architecture, _by_column, _by_label, _lists_by_column, _single_row):
        if (rows := form(content, known)) is not None:
            return rows
    if len(content) == 1:
        (inner,) = content.values()
        if isinstance(inner, dict | list):
            return _rows(inner, known, wrappers + 1)
    return [{**(value if isinstance(value, dict) else {VALUE: value}), KEY: key} for key, value in content.items()]


def _rows_of_list(content: Sequence[Any]) -> list[Row]:
    """Return the rows of a list of objects, or of a list of lists whose first one has the names of columns."""
    if all(isinstance(row, dict) for row in content):
        return list(content)
    if not all(isinstance(row, list) for row in content):
        raise ValueError("JSON has to be a list of objects, or an object by architecture")
    names, *rows = content
    if not rows or not _are_names(names) or len(set(names)) < len(names):
        raise ValueError("a list of lists needs the names of columns as its first list; write objects instead")
    return _zipped(names, rows)


def _zipped(names: Sequence[Any], rows: Sequence[Any]) -> list[Row]:
    """Return rows given as lists, by column; a name of several levels is joined by dots."""
    named = [".".join(map(str, name)) if isinstance(name, list) else str(name) for name in names]
    if len(set(named)) < len(named):
        raise ValueError("two columns have the same name")
    if not all(isinstance(row, list) and len(row) == len(named) for row in rows):
        raise ValueError(f"a row has not {len(named)} values, the number of columns")
    return [dict(zip(named, row, strict=True)) for row in rows]


def _pandas_split(content: Mapping[str, Any], known: IsArchitecture) -> list[Row] | None:
    """Read what `to_json(orient="split")` writes of a frame or a series."""
    data, index = content.get("data"), content.get("index")
    if not isinstance(data, list) or not content.keys() <= {"name", "columns", "index", "data"}:
        return None
    if isinstance(content.get("columns"), list):
        rows = _zipped(content["columns"], data)
    elif "name" in content and isinstance(index, list):
        rows = [{str(content["name"] or VALUE): value} for value in data]
    else:
        return None
    if isinstance(index, list) and index and known(index[0]):
        if len(index) != len(rows):
            raise ValueError(f"its index has {len(index)} entries for {len(rows)} rows")
        rows = [{**row, KEY: label} for row, label in zip(rows, index, strict=True)]
    return rows


def _pandas_table(content: Mapping[str, Any], known: IsArchitecture) -> list[Row] | None:
    """Read what `to_json(orient="table")` writes, without an index of row numbers."""
    schema, data = content.get("schema"), content.get("data")
    if not isinstance(schema, dict) or not isinstance(data, list) or not all(isinstance(row, dict) for row in data):
        return None
    key: Any = schema.get("primaryKey")
    index = [name for name in key if data and not known(data[0].get(name))] if _are_names(key) else []
    return [{name: cell for name, cell in row.items() if name not in index} for row in data]


def _are_names(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(name, str) for name in value)


def _by_architecture(content: Mapping[str, Any], known: IsArchitecture) -> list[Row] | None:
    """Read an object whose keys are architectures, of numbers or of objects."""
    if not content or not known(next(iter(content))):
        return None
    return [{**(value if isinstance(value, dict) else {VALUE: value}), KEY: key} for key, value in content.items()]


def _single_row(content: Mapping[str, Any], known: IsArchitecture) -> list[Row] | None:
    """Read an object that is one row, as the only line of JSON lines is."""
    cells = content.values()
    lists = [name for name, cell in content.items() if isinstance(cell, list)]
    if any(isinstance(cell, str) and known(cell) for cell in cells) or (
        lists == ["genome"] and known(content["genome"])
    ):
        return [dict(content)]
    return None


def _by_column(content: Mapping[str, Any], known: IsArchitecture) -> list[Row] | None:
    """Read an object of objects by architecture, each of which is a column or a data set. Other values are left out."""
    tables = {
        name: value for name, value in content.items() if isinstance(value, dict) and value and known(next(iter(value)))
    }
    if not tables:
        return None
    rows: dict[str, Row] = {}
    for name, table in tables.items():
        for key, value in table.items():
            cells = {name: value}
            if isinstance(value, dict):
                cells = value if len(tables) == 1 else {f"{name}.{field}": cell for field, cell in value.items()}
            rows.setdefault(key, {KEY: key}).update({**cells, KEY: key})
    return list(rows.values())


def _by_label(content: Mapping[str, Any], known: IsArchitecture) -> list[Row] | None:
    """Read an object of rows by their labels, or of columns whose cells have labels, as `to_json` writes them."""
    if len(content) == 0 or not all(isinstance(value, dict) and value for value in content.values()):
        return None
    rows = list(content.values())
    if any(all(known(row.get(name)) for row in rows[:PROBED]) for name in rows[0]):
        return rows
    labels = list(rows[0])
    if not any(all(map(known, islice(column.values(), PROBED))) for column in rows):
        return None
    if any(column.keys() != rows[0].keys() for column in rows):
        raise ValueError("its columns have rows with different labels")
    return [{name: column[label] for name, column in content.items()} for label in labels]


def _lists_by_column(content: Mapping[str, Any], known: IsArchitecture) -> list[Row] | None:
    """Read an object whose values are columns. Lists that are shorter than others describe the table."""
    lists = {name: value for name, value in content.items() if isinstance(value, list)}
    if not any(isinstance(cell, str | dict | list) for column in lists.values() for cell in column[:1]):
        return None  # lists of numbers are values of architectures
    length = max(map(len, lists.values()))
    columns = {name: value for name, value in lists.items() if len(value) == length}
    return [dict(zip(columns, cells, strict=True)) for cells in zip(*columns.values(), strict=True)]


def _with_nested_columns(row: Row) -> Row:
    """Return a row with the fields of its objects as further columns, such as "scores.glue"."""
    inner = [(name, value) for name, value in row.items() if isinstance(value, dict)]
    return row | {f"{name}.{key}": cell for name, value in inner for key, cell in value.items()} | row

"""The JSON form of a latency table, schema 2: its fields, their types and bounds, and how a table is written."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any, Literal, NamedTuple, get_args

import msgspec
from msgspec import Meta

from nasctl.errors import NasctlError
from nasctl.system import typed_json

SCHEMA = 2  # version of the JSON form; raised whenever older files would be misread
LARGEST = 10**15  # largest magnitude of a number in a table; in ms, thousands of years
NAME = r"[\w.-]+"  # regular expression of a device name, which is part of objective labels and of specs

Kind = Literal["gpu", "cpu", "mobile", "accelerator"]
KINDS: tuple[Kind, ...] = get_args(Kind)  # kinds of devices; each may be given in place of a device name
# Origin of a table's figures. "measured": every block of `blocks` was timed. "fitted": rows come from an additive fit
# to whole networks. "modelled": there are no rows, and the operator model prices all blocks.
Method = Literal["measured", "fitted", "modelled"]
# What predictions were compared with: timed whole networks, sums of block times, or single timed blocks.
Against = Literal["networks", "sums", "blocks"]
# Blocks that do not influence the output, in the networks that a table was fitted to: "count" if their latency is part
# of the figures, "ignore" if they cost nothing.
Idle = Literal["count", "ignore"]
# Terms of a block's latency inside a network: a factor on the latency of the block alone, and ms per weight, per
# element that is read or written, and per operator.
ContextTerm = Literal["alone", "weights", "moved", "count"]
CONTEXT: tuple[ContextTerm, ...] = get_args(ContextTerm)

# Integers stay integers when a table is read, because the digest of a table distinguishes 1 from 1.0.
Number = Annotated[
    Annotated[int, Meta(ge=-LARGEST, le=LARGEST)] | Annotated[float, Meta(ge=-LARGEST, le=LARGEST)],
    Meta(description=f"a number up to {LARGEST:g}"),
]
Cost = Annotated[
    Annotated[int, Meta(ge=0, le=LARGEST)] | Annotated[float, Meta(ge=0, le=LARGEST)],
    Meta(description=f"a number from 0 to {LARGEST:g}"),
]
Count = Annotated[int, Meta(ge=1, description="a whole number above 0")]
DeviceName = Annotated[str, Meta(pattern=rf"\A{NAME}\Z", description="a name of letters, digits, '.', '_' and '-'")]
OPTIONAL: Mapping[str, object] = {"places": {}, "idle": None}  # fields of the file that are left out at these values
ROW = "[ms] or [ms, iqr, n]"  # a row in the file: of a fitted block, or of a measured one


class Row(NamedTuple):
    """The latency of one block, in ms for one batch."""

    ms: Cost  # median if the block was measured
    iqr: Cost = 0.0  # interquartile range, ms
    n: Count = 0  # number of timings; 0 if the block was not measured


class Validation(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The error of predictions on measurements that took no part in the fit."""

    held_out: str  # what was predicted, and how it was kept apart
    spaces: tuple[str, ...]  # normal specs of the search spaces of the networks
    against: Against
    number: Count  # predictions
    mape: Cost  # mean absolute error, % of the measured latency
    bias: Number  # mean signed error, % of the measured latency
    spearman: Number | None  # rank correlation; None if all measured or all predicted latencies are equal
    kendall: Number | None  # rank correlation; None likewise


class TableFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All fields of the file beside its schema; `LatencyTable` documents them."""

    unit: Literal["ms"]
    device: DeviceName
    kind: Kind
    processor: str
    runtime: str
    threads: Count | None
    precision: str
    batch: Count
    method: Method
    source: Mapping[str, str]
    inferred: tuple[str, ...]
    command: str
    date: str
    overhead: Cost
    validation: tuple[Validation, ...]
    context: Mapping[ContextTerm, Cost]
    operators: Mapping[str, Cost] | None
    blocks: Mapping[str, Annotated[Row, Meta(description=ROW)]]
    # Optional, and left out at their defaults, so that tables without them are written as before there were any.
    places: Mapping[str, Mapping[str, Annotated[Row, Meta(description=ROW)]]] = {}
    idle: Idle | None = None


def parse(text: str) -> dict[str, Any]:
    """Return the fields of a table, checked, as arguments of `LatencyTable`.

    Raises:
        NasctlError: The text is not a latency table; the message is a clause without the name of the file.
    """
    content = typed_json.fields(text, SCHEMA)
    table = typed_json.convert(content, TableFile)
    _check_rows("'blocks'", content["blocks"])
    for place, rows in content.get("places", {}).items():
        _check_rows(f"'places': {place!r}", rows)
    if table.method == "modelled" and (table.blocks or table.operators is None):
        raise NasctlError('its "method" is "modelled", so it has to have "operators" and no "blocks"')
    if table.method == "modelled" and table.places:
        raise NasctlError('its "method" is "modelled", so it has to have no "places"')
    fields = msgspec.structs.asdict(table)
    del fields["unit"]
    return fields


def serialize(values: Mapping[str, Any]) -> str:
    """Return the text that `parse` reads, with one line per field, block, coefficient and validation.

    Args:
        values: The fields of `TableFile`, without its unit, by name; fields with a default may be left out.
    """
    values = {**OPTIONAL, **values}
    content = {"schema": SCHEMA, "unit": "ms"}
    content |= {name: values[name] for name in TableFile.__struct_fields__ if name != "unit"}
    content["blocks"] = _row_lists(values["blocks"])
    content["places"] = {place: _row_lists(rows) for place, rows in values["places"].items()}
    content = {name: value for name, value in content.items() if name not in OPTIONAL or value != OPTIONAL[name]}
    content["validation"] = [msgspec.structs.asdict(one) for one in values["validation"]]
    return f"{{\n{_lines(f'{json.dumps(name)}: {_spread(value)}' for name, value in content.items())}\n}}\n"


def _check_rows(where: str, rows: Mapping[str, Sequence[float]]) -> None:
    """Refuse rows of two numbers, which the type of a row lets pass.

    Raises:
        NasctlError: A row has two numbers.
    """
    for key, row in rows.items():
        if len(row) == 2:
            raise typed_json.refusal(f"{where}: {key!r}", row, ROW)


def _row_lists(rows: Mapping[str, Row]) -> dict[str, list[float]]:
    """Return rows as the lists of the file: one number of a fitted block, three of a measured one."""
    return {key: [row.ms, row.iqr, row.n][: 3 if row.n else 1] for key, row in rows.items()}


def _spread(value: object) -> str:
    """Return a value as JSON, with one line per entry of an object or list."""
    if isinstance(value, Mapping) and value:
        return f"{{\n{_lines(f'  {json.dumps(k)}: {json.dumps(v)}' for k, v in value.items())}\n }}"
    if isinstance(value, list | tuple) and value:
        return f"[\n{_lines(f'  {json.dumps(one)}' for one in value)}\n ]"
    return json.dumps(value)


def _lines(lines: Iterable[str]) -> str:
    return ",\n".join(f" {line}" for line in lines)

"""What the file of a latency table holds: JSON with every field present, and each checked."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, NamedTuple, TypeVar, get_args

from nasctl.api import NasctlError
from nasctl.system import files

SCHEMA = 2  # changes whenever older files would be misread
Kind = Literal["gpu", "cpu", "mobile", "accelerator"]
KINDS: tuple[Kind, ...] = get_args(Kind)  # each may be named in place of a device
# How the figures came about: each row by timing its block; rows by an additive fit to whole networks; no rows, but an
# operator model for all blocks.
Method = Literal["measured", "fitted", "modelled"]
# What predictions were compared with: whole networks that were timed, sums of block times, or single blocks.
Against = Literal["networks", "sums", "blocks"]
# What a block costs within a network: so many times its row ("alone"), and so much for each weight, element that is
# moved, and operator.
CONTEXT = ("alone", "weights", "moved", "count")
LARGEST = 1e15  # of any number in a table: ms of thousands of years
NAME = r"[\w.-]+"  # of a device: it stands behind the "@" of an objective's label, and in specs
T = TypeVar("T")


class Row(NamedTuple):
    """One block's latency in ms for one batch; in the file [ms] of a fitted block, [ms, iqr, n] of a measured one."""

    ms: float  # the median where it was measured
    iqr: float = 0.0
    n: int = 0  # rounds that the median is of


@dataclass(frozen=True, slots=True)
class Validation:
    """How far predictions were from measurements that took no part in the fit."""

    held_out: str  # what was predicted, and how it was kept apart
    spaces: tuple[str, ...]  # normal specs of the spaces that it is about
    against: Against
    number: int
    mape: float  # mean absolute error, % of the measured
    bias: float  # mean signed error, % of the measured
    spearman: float | None  # None where all measured or all predicted are equal
    kendall: float | None


def parsed(text: str) -> dict[str, Any]:
    """The fields of a table, checked and as `LatencyTable` takes them.

    Raises:
        NasctlError: The text is no such table; the message is what is wrong, without the file's name.
    """
    try:
        content = files.parsed(text)
    except ValueError as error:
        raise NasctlError(f"it is not JSON: {error}") from None
    if not isinstance(content, dict) or "schema" not in content:
        raise NasctlError('it has no "schema"')
    if content.pop("schema") != SCHEMA:
        raise NasctlError(f"its schema is not {SCHEMA}, the one that this nasctl reads")
    if content.pop("unit", None) != "ms":
        raise NasctlError('its "unit" is not "ms"')
    if wrong := sorted(content.keys() ^ FIELDS.keys()):
        raise NasctlError(f"it {'has an unknown' if wrong[0] in content else 'lacks the'} field {wrong[0]!r}")
    found = {name: check(content[name], repr(name)) for name, check in FIELDS.items()}
    if wrong := sorted(found["context"].keys() - set(CONTEXT)):
        raise NasctlError(f"its field 'context' knows no {wrong[0]!r}; it may have {', '.join(CONTEXT)}")
    if found["method"] == "modelled" and (found["blocks"] or found["operators"] is None):
        raise NasctlError('its "method" is "modelled", so it has to have "operators" and no "blocks"')
    return found


def written(values: Mapping[str, Any]) -> str:
    """The text that `parsed` reads: one line for each field, block, coefficient and validation."""
    content = {"schema": SCHEMA, "unit": "ms"} | {name: values[name] for name in FIELDS}
    content["blocks"] = {key: [row.ms, row.iqr, row.n][: 3 if row.n else 1] for key, row in values["blocks"].items()}
    content["validation"] = [asdict(one) for one in values["validation"]]
    return f"{{\n{_lines(f'{json.dumps(name)}: {_spread(value)}' for name, value in content.items())}\n}}\n"


def _spread(value: object) -> str:
    if isinstance(value, Mapping) and value:
        return f"{{\n{_lines(f'  {json.dumps(k)}: {json.dumps(v)}' for k, v in value.items())}\n }}"
    if isinstance(value, list | tuple) and value:
        return f"[\n{_lines(f'  {json.dumps(one)}' for one in value)}\n ]"
    return json.dumps(value)


def _lines(lines: Iterable[str]) -> str:
    return ",\n".join(f" {line}" for line in lines)


def _text(value: object, where: str) -> str:
    if not isinstance(value, str):
        raise _wrong(value, where, "a text")
    return value


def _name(value: object, where: str) -> str:
    if not isinstance(value, str) or not re.fullmatch(NAME, value):
        raise _wrong(value, where, "a name of letters, digits, '.', '_' and '-'")
    return value


def _one_of(*allowed: str) -> Callable[[object, str], str]:
    def check(value: object, where: str) -> str:
        if not isinstance(value, str) or value not in allowed:
            raise _wrong(value, where, f"one of {', '.join(allowed)}")
        return value

    return check


def _count(value: object, where: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise _wrong(value, where, "a whole number above 0")
    return value


def _number(value: object, where: str) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool) or not abs(value) <= LARGEST:
        raise _wrong(value, where, f"a number up to {LARGEST:g}")
    return value


def _cost(value: object, where: str) -> float:
    if (number := _number(value, where)) < 0:
        raise _wrong(value, where, "0 or more")
    return number


def _list(value: object, where: str) -> list[Any]:
    if not isinstance(value, list):
        raise _wrong(value, where, "a list")
    return value


def _mapping(value: object, where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise _wrong(value, where, "an object")
    return value


def _or_none(check: Callable[[Any, str], T]) -> Callable[[object, str], T | None]:
    return lambda value, where: None if value is None else check(value, where)


def _each(check: Callable[[Any, str], T]) -> Callable[[object, str], tuple[T, ...]]:
    return lambda value, where: tuple(check(one, f"{where}: [{k}]") for k, one in enumerate(_list(value, where)))


def _every(check: Callable[[Any, str], T]) -> Callable[[object, str], dict[str, T]]:
    return lambda value, where: {k: check(one, f"{where}: {k!r}") for k, one in _mapping(value, where).items()}


def _row(value: object, where: str) -> Row:
    given = _list(value, where)
    if len(given) not in (1, 3):
        raise _wrong(value, where, "[ms] or [ms, iqr, n]")
    row = Row(_cost(given[0], where))
    return row if len(given) == 1 else Row(row.ms, _cost(given[1], where), _count(given[2], where))


def _validation(value: object, where: str) -> Validation:
    checks: Mapping[str, Callable[[Any, str], Any]] = {
        "held_out": _text,
        "spaces": _each(_text),
        "against": _one_of(*get_args(Against)),
        "number": _count,
        "mape": _cost,
        "bias": _number,
        "spearman": _or_none(_number),
        "kendall": _or_none(_number),
    }
    if (given := _mapping(value, where)).keys() != checks.keys():
        raise _wrong(value, where, f"an object with the fields {', '.join(checks)}")
    return Validation(**{name: check(given[name], f"{where}: {name!r}") for name, check in checks.items()})


def _wrong(value: object, where: str, wanted: str) -> NasctlError:
    shown = json.dumps(value)
    return NasctlError(f"its field {where} is {shown[:60]}{'...' * (len(shown) > 60)}, not {wanted}")


FIELDS: Mapping[str, Callable[[Any, str], Any]] = {
    "device": _name,
    "kind": _one_of(*KINDS),
    "processor": _text,
    "runtime": _text,
    "threads": _or_none(_count),
    "precision": _text,
    "batch": _count,
    "method": _one_of(*get_args(Method)),
    "source": _every(_text),
    "inferred": _each(_text),
    "command": _text,
    "date": _text,
    "overhead": _cost,
    "validation": _each(_validation),
    "context": _every(_cost),
    "operators": _or_none(_every(_cost)),
    "blocks": _every(_row),
}

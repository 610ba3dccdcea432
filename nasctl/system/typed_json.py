"""Conversion of parsed JSON to declared types, with errors that name the offending field and value."""

from __future__ import annotations

import json
import re
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

import msgspec

from nasctl.errors import NasctlError
from nasctl.system import files

T = TypeVar("T")
PATH = re.compile(r" - at (`key` in )?`\$([^`]*)`$")  # the end of a message of msgspec
STEP = re.compile(r"\.(\w+)|\[(\d+|\.\.\.)\]")  # of a path: a field, a place in a list, or any value of a mapping
FIELDS = re.compile(r"Object (missing required|contains unknown) field `(.*)`", re.DOTALL)
NOUNS = {  # by the names of msgspec
    "array": "a list",
    "bool": "true or false",
    "float": "a number",
    "int": "a whole number",
    "object": "an object",
    "str": "a string",
}
LONGEST = 60  # characters of a value that a message shows


def fields(text: str, schema: int) -> dict[str, Any]:
    """Return the fields of a JSON object whose field "schema" has a number, without that field.

    Raises:
        NasctlError: The text is no such object; the message is a clause without the name of the file.
    """
    try:
        content = files.parsed(text)
    except ValueError as error:
        raise NasctlError(f"it is not JSON: {error}") from None
    if not isinstance(content, dict) or "schema" not in content:
        raise NasctlError('it has no "schema"')
    if (found := content.pop("schema")) != schema:
        raise NasctlError(f"its schema is {json.dumps(found)[:20]}, which is not {schema}, the one that nasctl reads")
    return content


def convert(content: object, kind: type[T]) -> T:
    """Convert values, as `files.parsed` returns them, to a type that `msgspec.convert` accepts.

    A type is described in messages by the `description` of its `msgspec.Meta`, if it has one.

    Raises:
        NasctlError: The content is not of that type; the message is a clause such as "its field 'batch' is 0, not a
            whole number above 0".
    """
    try:
        return msgspec.convert(content, kind)
    except msgspec.ValidationError as error:
        raise NasctlError(_explained(content, kind, str(error))) from None


def refusal(where: str, value: object, wanted: str) -> NasctlError:
    """Return the error for a value that is not what is wanted at a place such as "'blocks': 'a block'"."""
    shown = json.dumps(value)
    field = f"its field {where}" if where else "it"
    return NasctlError(f"{field} is {shown[:LONGEST]}{'...' * (len(shown) > LONGEST)}, not {wanted}")


def _explained(content: Any, kind: Any, message: str) -> str:
    """Rewrite a message of msgspec, which says neither the value nor the key of a mapping."""
    path = PATH.search(message)
    reason = message[: path.start()] if path else message
    steps = []
    for field, place in STEP.findall(path[2] if path else ""):
        if field:
            step, content, kind = repr(field), content[field], _hints(kind)[field]
        elif place == "...":
            key, kind = _first_refused(content, get_args(_bare(kind))[-1]), get_args(_bare(kind))[-1]
            step, content = repr(key), content[key]
        else:
            step, content, kind = f"[{place}]", content[int(place)], _item(kind, int(place))
        steps.append(step)
    where = ": ".join(steps)
    if found := FIELDS.fullmatch(reason):
        lacks = "lacks the" if found[1] == "missing required" else "has an unknown"
        return f"{f'its field {where}' if where else 'it'} {lacks} field {found[2]!r}"
    if path and path[1]:
        kind = get_args(_bare(kind))[0]
        content = next(key for key in content if _is_refused(key, kind))
        return f"its field {where} has the key {json.dumps(content)[:LONGEST]}, not {_description(kind, reason)}"
    return str(refusal(where, content, _description(kind, reason)))


def _description(kind: Any, reason: str) -> str:
    """Say in words which values a type has."""
    for one in get_args(kind) if _is_union(kind) else (kind,):
        for meta in get_args(one)[1:] if get_origin(one) is Annotated else ():
            if isinstance(meta, msgspec.Meta) and meta.description:
                return meta.description
    bare = _bare(kind)
    if get_origin(bare) is Literal:
        values = ", ".join(map(str, get_args(bare)))
        return f"one of {values}" if len(get_args(bare)) > 1 else json.dumps(get_args(bare)[0])
    expected = re.match(r"Expected `(\w+)", reason)
    return NOUNS.get(expected[1], expected[1]) if expected else f"valid: {reason}"


def _bare(kind: Any) -> Any:
    """Strip annotations and None from a type."""
    if get_origin(kind) is Annotated:
        return _bare(get_args(kind)[0])
    if _is_union(kind):
        return _bare(next(one for one in get_args(kind) if one is not NoneType))
    return kind


def _is_union(kind: Any) -> bool:
    return get_origin(kind) in (Union, UnionType)


def _hints(kind: Any) -> dict[str, Any]:
    return get_type_hints(_bare(kind), include_extras=True)


def _item(kind: Any, place: int) -> Any:
    """Return the type of one item of a list: of a named tuple's field, or of every item of `tuple[T, ...]`."""
    arguments = get_args(_bare(kind))
    return arguments[0] if arguments else list(_hints(kind).values())[place]


def _first_refused(content: dict[str, Any], kind: Any) -> str:
    return next(key for key, value in content.items() if _is_refused(value, kind))


def _is_refused(value: object, kind: Any) -> bool:
    try:
        msgspec.convert(value, kind)
    except msgspec.ValidationError:
        return True
    return False

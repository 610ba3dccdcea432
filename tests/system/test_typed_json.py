"""Parsed JSON becomes values of declared types, or an error that names the field and the value."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Literal, NamedTuple

import msgspec
import pytest
from msgspec import Meta

from nasctl.errors import NasctlError
from nasctl.system.typed_json import convert

Share = Annotated[float, Meta(ge=0, le=1, description="a share from 0 to 1")]


class Point(NamedTuple):
    x: int
    y: Share = 0.0


@dataclass(frozen=True)
class Inner:
    name: Annotated[str, Meta(min_length=1)]
    shapes: tuple[tuple[int, ...], ...] = ()


class Outer(msgspec.Struct, forbid_unknown_fields=True):
    kind: Literal["a", "b"]
    points: Mapping[str, Point] = {}
    inner: tuple[Inner, ...] = ()
    share: Share | None = None
    shares: Mapping[Literal["p", "q"], Share] | None = None
    on: bool = False


def test_values_become_their_types():
    content = {"kind": "a", "points": {"p": [1, 0.5], "q": [2]}, "inner": [{"name": "n", "shapes": [[1, 2], []]}]}
    assert convert(content, Outer) == Outer("a", {"p": Point(1, 0.5), "q": Point(2)}, (Inner("n", ((1, 2), ())),))
    assert convert([1, 2], tuple[int, ...]) == (1, 2)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"kind": "c"}, "its field 'kind' is \"c\", not one of a, b"),
        ({"kind": ["c" * 70]}, "its field 'kind' is [\"" + "c" * 58 + "..., not one of a, b"),
        ({"colour": 1}, "it has an unknown field 'colour'"),
        ({"on": 1}, "its field 'on' is 1, not true or false"),
        ({"share": 2}, "its field 'share' is 2, not a share from 0 to 1"),
        ({"share": "x"}, "its field 'share' is \"x\", not a share from 0 to 1"),
        ({"shares": {"p": 0.5, "q": -1}}, "its field 'shares': 'q' is -1, not a share from 0 to 1"),
        ({"shares": {"p": 0.5, "r": 1}}, "its field 'shares' has the key \"r\", not one of p, q"),
        ({"points": {"a": [1], "b": [1.5]}}, "its field 'points': 'b': [0] is 1.5, not a whole number"),
        ({"points": {"a": [1], "b": [1, 2]}}, "its field 'points': 'b': [1] is 2, not a share from 0 to 1"),
        ({"points": {"a": [1], "b": {}}}, "its field 'points': 'b' is {}, not a list"),
        ({"points": 3}, "its field 'points' is 3, not an object"),
        ({"inner": [{"name": "n"}, {"shapes": []}]}, "its field 'inner': [1] lacks the field 'name'"),
        ({"inner": [{"name": 3}]}, "its field 'inner': [0]: 'name' is 3, not a string"),
        ({"inner": [{"name": "n", "shapes": [[1], [2, True]]}]}, "'shapes': [1]: [1] is true, not a whole number"),
    ],
)
def test_a_refusal_names_field_and_value(fields, message):
    with pytest.raises(NasctlError) as error:
        convert({"kind": "a"} | fields, Outer)
    assert message in str(error.value)


@pytest.mark.parametrize(("content", "shown"), [([], "[]"), (None, "null"), ("text", '"text"')])
def test_a_refusal_of_the_whole_says_so(content, shown):
    with pytest.raises(NasctlError, match=r"^it is ") as error:
        convert(content, Outer)
    assert str(error.value) == f"it is {shown}, not an object"


def test_values_cannot_pass_for_a_path():
    for value in ("x - at `$.points`", "` - at `$.points`", "x - at `key` in `$.points`"):
        with pytest.raises(NasctlError, match=r"^its field 'kind' is"):
            convert({"kind": value}, Outer)
        with pytest.raises(NasctlError, match="unknown field"):
            convert({"kind": "a", value: 1}, Outer)

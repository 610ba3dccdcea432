"""Arguments of the wrong type get a sentence that names the argument, its value and what to give."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nasctl.errors import NasctlError
from nasctl.system.argument_types import check_arguments, check_least


@dataclass(frozen=True)
class Kind:
    number: int = 0


def function(
    count: int,
    share: float,
    name: str,
    names: str | Sequence[str],
    pair: tuple[str, ...],
    path: str | Path | None,
    flag: bool,
    kind: Kind,
    more: Mapping[str, Any],
) -> int:
    return 0


RIGHT = {
    "count": (3, -1, np.int64(3)),
    "share": (0.5, 1, np.float32(1)),
    "name": ("", "text"),
    "names": ("text", (), ["a", "b"], ("a",)),
    "pair": ((), ("a", "b"), ["a"]),
    "path": ("a", Path("a"), None),
    "flag": (True, False),
    "kind": (Kind(),),
    "more": ({}, {"a": 1}),
}
WRONG = {
    "count": (("x", "str", "a whole number"), (3.0, "float", "a whole number"), (True, "bool", "a whole number")),
    "share": (("1", "str", "a number"), (None, "NoneType", "a number")),
    "name": ((3, "int", "a text"), (b"a", "bytes", "a text")),
    "names": (([1], "list", "a text or a list of texts"), ({"a"}, "set", "a text or a list of texts")),
    "pair": (("text", "str", "a list of texts"), (None, "NoneType", "a list of texts")),
    "path": ((1, "int", "a text or a path or None"),),
    "flag": ((1, "int", "True or False"),),
    "kind": (({}, "dict", "a Kind"), (None, "NoneType", "a Kind")),
    "more": (([], "list", "a Mapping"),),
}


@pytest.mark.parametrize("name", RIGHT)
def test_values_of_the_annotated_type_pass(name):
    for value in RIGHT[name]:
        check_arguments("try", function, {name: value})


@pytest.mark.parametrize("name", WRONG)
def test_other_values_are_named(name):
    for value, kind, noun in WRONG[name]:
        with pytest.raises(NasctlError) as caught:
            check_arguments("try", function, {name: value})
        assert str(caught.value) == f"Cannot try: {name} is {value!r}, of type {kind}. Give {noun}."


def test_a_long_value_is_cut_and_fields_of_a_class_are_checked():
    with pytest.raises(NasctlError, match=r"^Cannot make a kind: number is '(a{56})\.\.\., of type str\. Give"):
        check_arguments("make a kind", Kind, {"number": "a" * 100})


def test_a_name_without_annotation_is_not_checked():
    check_arguments("try", function, {"other": object()})


def test_numbers_have_a_least_value():
    check_least("try", 1, budget=1, seconds=None)
    for value in (0, float("nan")):
        with pytest.raises(NasctlError, match=f"Cannot try: budget is {value}. Give 1 or more."):
            check_least("try", 1, budget=value)

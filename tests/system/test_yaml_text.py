"""YAML is read as YAML 1.2 means it, and a document that could mean two things is refused."""

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nasctl.system import yaml_text

VALUES = {
    "7e-07": 7e-7,
    "584e-2": 5.84,
    "1e3": 1000.0,
    "-1.5E+3": -1500.0,
    ".5": 0.5,
    "+.5e1": 5.0,
    "12.": 12.0,
    "0o17": 15,
    "0x1F": 31,
    "010": 10,
    "-007": -7,
    "-.inf": -math.inf,
    "true": True,
    "FALSE": False,
    "~": None,
    "": None,
    "null": None,
    "'7e-07'": "7e-07",
    '"true"': "true",
    "!!float 3": 3.0,
    "!!str 3": "3",
}
TEXTS = [
    "1_000",
    "1:30",
    "190:20:30",
    "yes",
    "No",
    "on",
    "OFF",
    "y",
    "n",
    "0b11",
    "2001-12-14",
    "1e",
    "0o8",
    ".",
    "+",
    "=",
]


@pytest.mark.parametrize(("text", "value"), VALUES.items())
def test_a_value_of_the_core_schema(text, value):
    found = yaml_text.load(f"key: {text}")["key"]
    assert (found, type(found)) == (value, type(value))


@pytest.mark.parametrize("text", TEXTS)
def test_what_only_yaml_1_1_reads_is_text_as_a_value_and_as_a_key(text):
    assert yaml_text.load(f"a: {text}\n{text}: 1") == {"a": text, text: 1}


def test_nan_is_a_number():
    assert math.isnan(yaml_text.load("[.nan]")[0])


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a: 1\nb: 2\na: 3", "'a' is there twice"),
        ("x: {a: 1, 'a': 2}", "'a' is there twice"),
        ("- {a: {b: 1, b: 1}}", "'b' is there twice"),
        ("1: a\n0x1: b", "'1' is there twice"),
        ("a: &x {b: 1}\nc: {<<: *x}", "merges objects"),
        ("? [1]\n: 2", "a key is a list"),
        ("[" * 9 + "]" * 9, "nests deeper than 8"),
        ("[" * 100_000, "nests deeper than 8"),
        ("a: [1", "did not find expected"),
        ("a: 1\n---\nb: 2", "single document"),
        ("!!float 1_0", "is no number"),
        ("!!int 1:30", "is no whole number"),
        ("!!python/object:os.system {}", "could not determine a constructor"),
        ("9" * 5000, "4300"),
        ("%YAML 1.1\n---\na: yes", "'yes' means one thing in YAML 1.1 and another"),
        ("%YAML 1.1\n---\na: 010", "'010' means one thing"),
        ("%YAML 1.1\n---\non: 1", "'on' means one thing"),
        ("%YAML 1.1\n---\na: 7e-07", "'7e-07' means one thing"),
    ],
)
def test_a_document_that_is_refused(text, says):
    with pytest.raises(ValueError, match=says) as error:
        yaml_text.load(text)
    assert "\n" not in str(error.value)


def test_a_document_of_yaml_1_1_that_means_the_same_in_both():
    assert yaml_text.load("%YAML 1.1\n---\na: 1.5\nb: 'yes'\nc: 12\nd: some text") == {
        **{"a": 1.5, "b": "yes"},
        **{"c": 12, "d": "some text"},
    }


@given(st.dictionaries(st.text("abc", min_size=1), st.floats(allow_nan=False, allow_infinity=False) | st.integers()))
def test_numbers_that_json_writes_are_the_same_numbers(values):
    assert yaml_text.load(json.dumps(values)) == values
    assert yaml_text.load("".join(f"{key}: {value!r}\n" for key, value in values.items())) == (values or None)

"""Records of runs as text: what was written is read and written again as it was, and what is damaged is refused."""

import gzip
import json
import sqlite3
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import pytest

from nasctl.errors import NasctlError
from nasctl.problem.constraints import Constraint
from nasctl.problem.searcher import Goal
from nasctl.store.run_record import Column, RunRecord

OLD = Path(__file__).parent / "old" / "store.db.gz"
PARAMS = Column("params v1", "parameters", "network", Goal("params", "min", "identity", "network"), ("exact",))
SNIP = Column("snip v1 @ x", "nats", "module", Goal("snip", "max", "log10", "module"))
ASKED = {
    "space": "nbmacro",
    "objectives": ["params", "snip"],
    "record": [],
    "constraints": ["params<=5"],
    "searcher": "random",
    "seed": 0,
    "setting": "x",
    "tables": {},
}
RECORD = RunRecord(
    "nbmacro",
    {"params": PARAMS, "snip": SNIP, "macs": Column("macs v1", "MACs", "network", None)},
    (Constraint("params", True, 5.0),),
    ASKED,
    {"nasctl": "0.1.0"},
    {"budget": 3, "device": [], "own": {"a": None}},
)


def test_a_record_is_its_text():
    assert RunRecord.parsed(RECORD.json()) == RECORD
    assert RunRecord.parsed(RECORD.json()).config == RECORD.config
    plain = RunRecord("chain", {"snip": SNIP})  # as a script has it, which asks nothing
    assert RunRecord.parsed(plain.json()) == plain


@pytest.fixture(scope="module")
def texts(tmp_path_factory):
    """Records as nasctl wrote them before it had packages."""
    path = tmp_path_factory.mktemp("old") / "store"
    path.write_bytes(gzip.decompress(OLD.read_bytes()))
    database = sqlite3.connect(path)
    found = [text for (text,) in database.execute("SELECT spec FROM run")]
    database.close()
    return found


def test_old_texts_are_written_as_they_were(texts):
    assert len(texts) == 4
    for text in texts:
        written = RunRecord.parsed(text).json()
        assert written == text or written.startswith(text[:-1] + ", ")  # parts that are new come last


def test_an_older_record_may_lack_what_was_added_since(texts):
    for text in texts:
        content = json.loads(text)
        whole = RunRecord.parsed(text)
        del content["config"], content["versions"]
        assert RunRecord.parsed(json.dumps(content)).asked == whole.asked


def test_a_unit_that_an_earlier_version_wrote_is_read_as_the_present_one():
    content = json.loads(RECORD.json())
    content["columns"]["params"]["unit"] = "norm"
    assert RunRecord.parsed(json.dumps(content)).columns["params"].unit == ""


@pytest.mark.parametrize(
    ("path", "value", "reason"),
    [
        (("space",), 1, r"Expected `str`, got `int` - at `\$.space`"),
        (("space",), ..., "missing required field `space`"),
        (("columns", "params", "goal", "direction"), "sideways", "Invalid enum value 'sideways'"),
        (("columns", "params", "goal", "name"), "macs", "'params' is the column of another goal"),
        (("columns", "params", "goal", "transform"), ..., "missing required field `transform`"),
        (("columns", "params", "cost"), "much", "Invalid enum value 'much'"),
        (("columns", "params", "remarks"), "exact", "Expected `array`, got `str`"),
        (("columns", "params", "remarks"), [1], "Expected `str`, got `int`"),
        (("columns", "params", "size"), 1, "it has a part that is unknown"),
        (("constraints", 0, "bound"), "5", "Expected `float`, got `str`"),
        (("constraints", 0, "upper"), 1, "Expected `bool`, got `int`"),
        (("constraints", 0, "name"), None, "Expected `str`, got `null`"),
        (("asked", "seed"), "0", "Expected `int`, got `str`"),
        (("asked", "tables"), ..., "missing required field `tables`"),
        (("asked", "objectives"), ["snip", "params"], "what was asked is not what is measured"),
        (("asked", "objectives"), [None], "Expected `str`, got `null`"),
        (("versions", "nasctl"), 1, "Expected `str`, got `int`"),
        (("config",), [], "Expected `object`, got `array`"),
        (("more",), 1, "it has a part that is unknown"),
    ],
)
def test_what_is_damaged_is_one_sentence(path, value, reason):
    content = part = json.loads(RECORD.json())
    for key in path[:-1]:
        part = part[key]
    if value is ...:
        del part[path[-1]]
    else:
        part[path[-1]] = value
    with pytest.raises(NasctlError, match=reason) as raised:
        RunRecord.parsed(json.dumps(content))
    said = str(raised.value)
    assert said.startswith("the store has a run that nasctl cannot have written (")
    assert said.endswith("); restore a copy, or give another with --store")
    assert "\n" not in said


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "3", "null", pytest.param("[" * 100_000, id="deep"), '{"space": "\\ud800"}'],
)
def test_what_is_no_record_is_one_sentence(text):
    with pytest.raises(NasctlError, match=r"^the store has a run that nasctl cannot have written"):
        RunRecord.parsed(text)


@pytest.mark.parametrize(
    ("part", "value", "reason"),
    [
        ("columns", {"macs": PARAMS}, "ValueError: 'macs' is the column of another goal"),
        ("asked", ASKED | {"objectives": ["params"]}, "ValueError: what was asked is not what is measured"),
        ("more", 1, "ValueError: it has a part that is unknown"),
        ("space", 1, "ValidationError: Expected `str`, got `int` - at `$.space`"),
    ],
)
def test_the_reason_is_named_with_its_kind(part, value, reason):
    value = {name: asdict(column) for name, column in value.items()} if part == "columns" else value
    with pytest.raises(NasctlError) as raised:
        RunRecord.parsed(json.dumps(json.loads(RECORD.json()) | {part: value}))
    assert str(raised.value) == (
        f"the store has a run that nasctl cannot have written ({reason}); restore a copy, or give another with --store"
    )


def test_a_long_reason_is_cut_to_100_characters():
    content = json.loads(RECORD.json())
    content["columns"]["params"]["goal"]["direction"] = "s" * 200
    with pytest.raises(NasctlError) as raised:
        RunRecord.parsed(json.dumps(content))
    reason = "ValidationError: Invalid enum value '" + "s" * 63
    assert len(reason) == 100
    assert str(raised.value) == (
        f"the store has a run that nasctl cannot have written ({reason}); restore a copy, or give another with --store"
    )


def test_a_bound_that_was_a_whole_number_is_one():
    content = json.loads(RECORD.json())
    content["constraints"][0]["bound"] = 5
    assert str(RunRecord.parsed(json.dumps(content)).constraints[0]) == str(RECORD.constraints[0]) == "params<=5"


def test_msgspec_is_imported_when_a_record_is_read():
    code = "import sys, nasctl.cli, nasctl.store, nasctl.commands.runs.show; sys.exit('msgspec' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0

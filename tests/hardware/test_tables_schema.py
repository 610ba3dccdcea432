"""The JSON of latency tables: what is read as before, and what is refused in one sentence."""

import hashlib
import json
import subprocess
import sys

import pytest
from paths import ROOT

from nasctl import registry
from nasctl.api import NasctlError, UnknownName
from nasctl.hardware import tables_schema
from nasctl.hardware.table import LatencyTable
from nasctl.hardware.tables_schema import Row, Validation

# As every release has written it: with whole numbers, a measured and a fitted row, and a validation.
TEXT = """\
{
 "schema": 2,
 "unit": "ms",
 "device": "board",
 "kind": "cpu",
 "processor": "",
 "runtime": "torch 2.13.0",
 "threads": 1,
 "precision": "float32",
 "batch": 1,
 "method": "measured",
 "source": {
   "data": "none"
 },
 "inferred": [],
 "command": "",
 "date": "2026-01-01",
 "overhead": 1,
 "validation": [
   {"held_out": "networks", "spaces": ["nbmacro"], "against": "networks", "number": 3, "mape": 1, "bias": -1.0, \
"spearman": 0.9, "kendall": null}
 ],
 "context": {
   "alone": 1.0
 },
 "operators": {
   "conv.macs": 1e-09
 },
 "blocks": {
   "Logits(channels=10) @ 64": [1, 0.1, 5],
   "Add() @ 8x4x4, 8x4x4": [0.25]
 }
}
"""
STEM = "ConvNormAct(channels=4, kernel=3) @ 3x8x8"


def changed(**fields):
    return json.dumps(json.loads(TEXT) | fields)


def test_a_table_is_read_and_written_as_ever():
    fields = tables_schema.parse(TEXT)
    assert fields["blocks"] == {"Logits(channels=10) @ 64": Row(1, 0.1, 5), "Add() @ 8x4x4, 8x4x4": Row(0.25)}
    assert fields["validation"] == (Validation("networks", ("nbmacro",), "networks", 3, 1, -1.0, 0.9, None),)
    assert (fields["threads"], fields["inferred"], fields["source"]) == (1, (), {"data": "none"})
    assert tables_schema.serialize(fields) == TEXT


def test_whole_numbers_stay_whole_because_the_digest_tells_them_apart(tmp_path):
    (tmp_path / "whole.json").write_text(TEXT)
    (tmp_path / "other.json").write_text(TEXT.replace('"overhead": 1', '"overhead": 1.0'))
    digests = [LatencyTable.load(str(tmp_path / f"{name}.json")).digest for name in ("whole", "other")]
    content = '[1, 1, {"alone": 1.0}, {"Add() @ 8x4x4, 8x4x4": 0.25, "Logits(channels=10) @ 64": 1}, '
    content += '[1, {"conv.macs": 1e-09}]]'
    assert digests[0] == hashlib.sha256(content.encode()).hexdigest()[:8]
    assert digests[0] != digests[1]


def test_the_digests_of_shipped_tables_stay():
    digests = {name: LatencyTable.load(name).digest for name in registry.names("devices")}
    assert (digests["note10"], digests["v100-b64"], digests["pixel3-fbnet"]) == ("092587d8", "608874de", "19acede6")
    content = json.dumps(digests, sort_keys=True).encode()
    assert hashlib.sha256(content).hexdigest().startswith("62f8205c7cdbde66"), "a table was added or changed"


@pytest.mark.parametrize("path", sorted((ROOT / "hardware" / "tables").glob("*.json")), ids=lambda path: path.stem)
def test_shipped_tables_come_back_to_the_byte(path):
    assert tables_schema.serialize(tables_schema.parse(path.read_text())) == path.read_text()


VALIDATION = json.loads(TEXT)["validation"][0]
BAD = {
    "its schema is 1, which is not 2, the one that nasctl reads": {"schema": 1},
    'its field \'unit\' is "s", not "ms"': {"unit": "s"},
    "it has an unknown field 'colour'": {"colour": "red"},
    "it has an unknown field 'x - at `$.batch`'": {"x - at `$.batch`": "red"},
    "its field 'kind' is \"tpu\", not one of gpu, cpu, mobile, accelerator": {"kind": "tpu"},
    "its field 'device' is \"a b\", not a name of letters, digits, '.', '_' and '-'": {"device": "a b"},
    "its field 'device' is \"a\\n\", not a name of letters, digits, '.', '_' and '-'": {"device": "a\n"},
    "its field 'processor' is null, not a string": {"processor": None},
    "its field 'batch' is 0, not a whole number above 0": {"batch": 0},
    "its field 'batch' is true, not a whole number above 0": {"batch": True},
    "its field 'threads' is 1.5, not a whole number above 0": {"threads": 1.5},
    "its field 'overhead' is -1, not a number from 0 to 1e+15": {"overhead": -1},
    f"its field 'overhead' is 1{'0' * 59}..., not a number from 0 to 1e+15": {"overhead": 10**400},
    f"its field 'blocks': '{STEM}': [0] is NaN, not a number from 0 to 1e+15": {"blocks": {STEM: [float("nan")]}},
    "its field 'blocks': 'b': [0] is -0.5, not a number from 0 to 1e+15": {"blocks": {"a": [1], "b": [-0.5]}},
    "its field 'blocks': 'b': [2] is 0, not a whole number above 0": {"blocks": {"b": [1, 0.1, 0]}},
    "its field 'blocks': 'b' is [1.0, 2.0], not [ms] or [ms, iqr, n]": {"blocks": {"b": [1.0, 2.0]}},
    "its field 'blocks': 'b' is [1, 2, 3, 4], not [ms] or [ms, iqr, n]": {"blocks": {"b": [1, 2, 3, 4]}},
    "its field 'blocks': 'b' is 3, not [ms] or [ms, iqr, n]": {"blocks": {"b": 3}},
    "its field 'blocks' is [], not an object": {"blocks": []},
    "its field 'operators': 'count' is Infinity, not a number from 0 to 1e+15": {"operators": {"count": float("inf")}},
    "its field 'source': 'data' is 1, not a string": {"source": {"data": 1}},
    "its field 'inferred' is 7, not a list": {"inferred": 7},
    "its field 'inferred': [1] is 7, not a string": {"inferred": ["a", 7]},
    "its field 'validation': [0] lacks the field 'held_out'": {"validation": [{"mape": 1}]},
    "its field 'validation': [1] has an unknown field 'r2'": {"validation": [VALIDATION, VALIDATION | {"r2": 1}]},
    "its field 'validation': [0]: 'against' is \"x\", not one of networks, sums, blocks": {
        "validation": [VALIDATION | {"against": "x"}]
    },
    "its field 'validation': [0]: 'kendall' is \"x\", not a number up to 1e+15": {
        "validation": [VALIDATION | {"kendall": "x"}]
    },
    "its field 'context' has the key \"heat\", not one of alone, weights, moved, count": {"context": {"heat": 1.0}},
    "its field 'context': 'alone' is \"x\", not a number from 0 to 1e+15": {"context": {"alone": "x"}},
    'its "method" is "modelled", so it has to have "operators" and no "blocks"': {"method": "modelled"},
}


@pytest.mark.parametrize("message", BAD)
def test_a_bad_table_is_refused_in_one_sentence(tmp_path, message):
    (tmp_path / "toy.json").write_text(changed(**BAD[message]))
    with pytest.raises(NasctlError) as error:
        LatencyTable.load(str(tmp_path / "toy.json"))
    assert str(error.value) == (
        f"{tmp_path / 'toy.json'} is no latency table, {message}; make one with `nasctl device profile`"
    )


REQUIRED = [name for name in tables_schema.TableFile.__struct_fields__ if name not in tables_schema.OPTIONAL]


@pytest.mark.parametrize("field", ["schema", "unit", *REQUIRED])
def test_a_lacking_field_is_named(field):
    content = json.loads(TEXT)
    del content[field]
    message = 'it has no "schema"' if field == "schema" else f"it lacks the field '{field}'"
    with pytest.raises(NasctlError, match=f"^{message}$"):
        tables_schema.parse(json.dumps(content))


def test_a_key_that_is_there_twice_is_refused():
    twice = TEXT.replace('"Add() @ 8x4x4, 8x4x4": [0.25]', '"Add()": [0.25],\n "Add()": [0.5]')
    with pytest.raises(NasctlError, match=r"^it is not JSON: 'Add\(\)' is there twice$"):
        tables_schema.parse(twice)


def test_what_is_no_table_at_all_is_refused(tmp_path):
    (tmp_path / "text.json").write_text("latency: 5")
    for name, message in (("text.json", "is not JSON"), ("none.json", "cannot be read: No such file")):
        with pytest.raises(NasctlError, match=message):
            LatencyTable.load(str(tmp_path / name))
    for text in ("[]", "3", "null"):
        with pytest.raises(NasctlError, match='it has no "schema"'):
            tables_schema.parse(text)
    with pytest.raises(UnknownName, match="did you mean 'mobile'"):
        LatencyTable.load("mobil")
    with pytest.raises(NasctlError, match="cannot be written"):
        LatencyTable("toy", "cpu", 1, {}).save(tmp_path / "no" / "toy.json")


def test_a_large_table_is_read_without_a_python_call_for_each_row():
    text = changed(blocks={f"Block(channels={k}) @ 3x8x8": [k / 7, 0.1, 9] for k in range(20_000)})
    calls = 0

    def count(frame, event, arg):
        nonlocal calls
        calls += event == "call"

    tables_schema.parse(TEXT)  # what is made once is made here
    sys.setprofile(count)
    try:
        fields = tables_schema.parse(text)
    finally:
        sys.setprofile(None)
    assert len(fields["blocks"]) == 20_000
    assert calls < 1000


def test_help_does_not_import_the_validation():
    code = "import sys; from nasctl.cli import cli; cli([*sys.argv[1:], '--help'], standalone_mode=False); "
    code += "sys.exit('msgspec' in sys.modules)"
    for words in ([], ["device"], ["device", "list"], ["device", "kit"]):
        subprocess.run([sys.executable, "-c", code, *words], check=True, stdout=subprocess.DEVNULL)

"""Latency of architectures that were not searched for: ids, files of genomes, exports and free architectures."""

import json

import pytest
from click.testing import CliRunner

from nasctl import registry
from nasctl.architectures import from_json, ids
from nasctl.cli import cli
from nasctl.hardware.table import LatencyTable
from nasctl.hardware.tables_schema import Row, Validation

TINY = "nb201:channels=4,cells=1,resolution=8"
NORMAL = registry.normal("spaces", TINY)
BLOCKS = [
    {"block": "ConvNormAct", "channels": 8, "kernel": 3, "act": None, "name": "stem"},
    {"block": "MBConv", "channels": 8, "kernel": 5, "expand": 3},
    {"block": "Add", "inputs": ["stem", "1"], "name": "sum"},
    {"block": "nb201.Reduction", "channels": 16},
    {"block": "Classifier", "classes": 10},
]
FREE = {"input": [3, 16, 16], "blocks": BLOCKS}


def typed(*words):
    return CliRunner().invoke(cli, ["device", "predict", *map(str, words), "--store", "none.db"])


def known(name, ms, **changes):
    """A table of every block of the free architecture and the tiny space, at one price."""
    keys = [span.emission.key for span in from_json.network(FREE).spans]
    space = registry.create("spaces", TINY)
    for choice in range(5):
        keys += [span.emission.key for span in space.network((choice,) * 6).spans]
    return LatencyTable(
        **{"device": name, "kind": "cpu", "batch": 1, "blocks": dict.fromkeys(keys, Row(ms)), **changes}
    )


@pytest.fixture
def files(tmp_path, monkeypatch):
    """Two tables, of which "slow" models its classifiers and was validated elsewhere."""
    monkeypatch.chdir(tmp_path)
    known("fast", 1.0, overhead=0.5).save(tmp_path / "fast.json")
    seen = Validation("networks; of some kind", ("nbmacro",), "networks", 9, 3.25, 1.0, 0.9, 0.8)
    slow = known("slow", 2.0, batch=64, operators={"count": 3.0, "linear.macs": 0.0} | dict.fromkeys(AMOUNTS, 0.0))
    rows = {key: row for key, row in slow.blocks.items() if "Classifier" not in key}
    slow = LatencyTable(**{**vars(slow), "blocks": rows, "validation": (seen,)})
    slow.save(tmp_path / "slow.json")
    (tmp_path / "free.json").write_text(json.dumps(FREE))
    return tmp_path


AMOUNTS = ("globalavgpool.moved", "linear.read", "linear.written", "linear.weights")


def test_devices_stand_side_by_side(files):
    done = typed("free.json", "--device", "fast.json,slow.json")
    assert done.exit_code == 0, done.output
    head, totals, blocks = done.stdout.split("\n\n")
    assert "free.json" in head
    rows = [line.split("\t") for line in totals.splitlines()]
    assert rows[1] == ["fast", "fast", "5.5", "1", "5 measured", "never validated"]
    # Two operators of the classifier, at 3 each.
    assert rows[2][:5] == ["slow", "slow", "~14", "64", "4 measured, 1 modelled"]
    assert rows[2][5] == "3.2%, Spearman 0.9000, 9 networks"
    lines = [line.split("\t") for line in blocks.splitlines()]
    assert lines[0][-2:] == ["ms on fast (batch 1)", "ms on slow (batch 64)"]
    assert [line[-2:] for line in lines[1:6]] == [["1", "2"]] * 4 + [["1", "~6"]]
    assert lines[6][0].startswith("~ modelled: ")


def test_a_file_of_genomes_is_predicted_line_by_line(files):
    space = registry.create("spaces", TINY)
    genomes = [(3,) * 6, (2,) * 6]
    whole = [ids.encode(TINY, space.genes, genome) for genome in genomes]
    (files / "some.txt").write_text(f"3,3,3,3,3,3\n\n{whole[1]}\n")
    given = ("some.txt", "--space", TINY, "--device", "fast.json", "--device", "slow.json")
    content = json.loads(typed(*given, "--json").stdout)
    assert [one["arch"] for one in content] == whole
    for one, genome in zip(content, genomes, strict=True):
        count = len(space.network(genome).spans)
        assert one["latency"]["fast"] == count + 0.5
        assert one["error"]["slow"].startswith(f"NOT VALIDATED for {NORMAL}; elsewhere 3.2%")
        assert len(one["blocks"]) == count
        assert (one["batch"], one["space"]) == ({"fast": 1, "slow": 64}, NORMAL)
    totals, devices = typed(*given).stdout.split("\n\n")
    lines = [line.split("\t") for line in totals.splitlines()]
    assert [line[0] for line in lines] == ["architecture", *whole]
    assert lines[1][1] == f"{content[0]['latency']['fast']:.4g}"
    assert [line.split("\t")[2] for line in devices.splitlines()] == ["method", "measured", "measured"]


def test_what_was_exported_is_read_back(files):
    words = [
        "export",
        "--arch",
        "3,3,3,3,3,3",
        "--space",
        TINY,
        "--format",
        "json",
        "-o",
        "one.json",
        "--store",
        "n.db",
    ]
    assert CliRunner().invoke(cli, words).exit_code == 0
    (content,) = json.loads(typed("one.json", "--device", "fast.json", "--json").stdout)
    assert content["latency"]["fast"] == len(registry.create("spaces", TINY).network((3,) * 6).spans) + 0.5
    assert content["arch"] == ids.encode(TINY, registry.create("spaces", TINY).genes, (3,) * 6)


def test_a_device_that_knows_no_such_block_is_left_out_and_named(files):
    known("empty", 1.0, blocks={}).save(files / "empty.json")
    done = typed("free.json", "--device", "empty.json,fast.json")
    assert done.exit_code == 0
    assert "without empty: device 'empty' has no row for" in done.stderr
    assert "ms on empty" not in done.stdout
    alone = typed("free.json", "--device", "empty.json")
    assert (alone.exit_code, alone.stdout) == (2, "")
    assert "has no row for" in alone.stderr


def test_mistakes_are_answered_in_a_sentence(files):
    (files / "broken.json").write_text("{")
    (files / "bad.json").write_text(json.dumps({"input": [3, 8, 8], "blocks": [{"block": "Cnov"}]}))
    (files / "bad.txt").write_text("3,3,3,3,3,3\nwhat\n")
    (files / "empty.txt").write_text("\n")
    for arch, sentence in (
        ("broken.json", "broken.json is not JSON"),
        ("bad.json", "bad.json: blocks[0]: no block is called 'Cnov'"),
        ("bad.txt", "bad.txt, line 2: 'what' is no id"),
        ("empty.txt", "empty.txt holds no architecture"),
        ("none.json", "there is no file none.json"),
        ("what", "'what' is no id"),
    ):
        done = typed(arch, "--space", TINY, "--device", "fast.json")
        assert (done.exit_code, done.stderr.count("\n")) == (2, 1), done.stderr
        assert sentence in done.stderr


def test_all_shipped_devices_are_asked_by_default():
    space = registry.create("spaces", "mbconv")
    word = ids.encode("mbconv", space.genes, (0,) * len(space.genes))
    (content,) = json.loads(CliRunner().invoke(cli, ["device", "predict", word, "--json"]).stdout)
    assert "note10" in content["latency"]
    assert content["error"].keys() == content["latency"].keys() <= set(registry.names("devices"))
    text = CliRunner().invoke(cli, ["device", "predict", word]).stdout
    assert "ms on note10" not in text  # blocks are shown on devices that are named
    kinds = json.loads(CliRunner().invoke(cli, ["device", "predict", word, "--device", "mobile", "--json"]).stdout)
    assert kinds[0]["table"].keys() == {"mobile"}

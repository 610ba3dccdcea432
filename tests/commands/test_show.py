"""What is shown of an architecture is right, and readable."""

import json

import pytest
from click.testing import CliRunner
from torch import nn

from nasctl.cli import cli
from nasctl.commands.show import _choices
from nasctl.errors import MissingBlock
from nasctl.hardware.table import BlockLatency
from nasctl.problem.space import choice_text, choice_value


def typed(*words):
    return CliRunner().invoke(cli, words)


class FakeTable:
    """Every block costs its MACs in millions; those with a kernel of 5 are modelled; "mobile" knows none."""

    overhead, batch, validation, noise_note = 0.5, 64, (), ""

    def __init__(self, device, space=None):
        self.device = device

    def block(self, emission):
        if self.device == "mobile":
            raise MissingBlock(self.device, emission.key)
        return BlockLatency(emission.macs / 1e6, "modelled" if "kernel=5" in emission.key else "measured")

    def block_latencies(self, network):
        return tuple(self.block(span.emission) for span in network.spans)

    def accuracy(self, space=None):
        return "never validated"

    def latency(self, network):
        return self.overhead + sum(self.block(span.emission).ms for span in network.spans)


@pytest.fixture
def fake_tables(monkeypatch):
    monkeypatch.setattr("nasctl.hardware.kinds.load_table", FakeTable)


@pytest.mark.usefixtures("fake_tables")
def test_show_agrees_with_what_is_published():
    # NAS-Bench-Macro's own figures of its largest network; see test_networks.
    done = typed("show", "22222222", "--space", "nbmacro", "--device", "gpu,mobile", "--json", "--store", "none.db")
    assert done.exit_code == 0, done.stderr
    assert "without mobile: " in done.stderr
    content = json.loads(done.stdout)
    assert (content["params"], content["macs"], content["native"]) == (2_932_586, 105_660_928, "22222222")
    # The normalisation of the first block's expansion, 6 times 32 channels, reads and writes the largest values.
    assert content["memory"] == 4 * 2 * 6 * 32 * 32 * 32
    assert content["genes"] == {f"stage{s}.{k}": "MB6_K5" for s, n in ((1, 2), (2, 3), (3, 3)) for k in range(n)}
    blocks = content["blocks"]
    assert [block["name"] for block in blocks] == ["stem", *content["genes"], "head", "classifier"]
    assert sum(block["params"] for block in blocks) == content["params"]
    assert content["latency"] == {"gpu": pytest.approx(0.5 + 105.660928)}
    assert (content["batch"], content["overhead"]) == ({"gpu": 64}, {"gpu": 0.5})
    # A 3x3 convolution of 3 channels into 32 on 32x32.
    assert blocks[0]["latency"] == {"gpu": pytest.approx(3 * 3 * 3 * 32 * 32 * 32 / 1e6)}
    assert (blocks[0]["key"], blocks[0]["params"]) == ("ConvNormAct(channels=32, kernel=3) @ 3x32x32", 864 + 64)
    assert [block["origin"]["gpu"] for block in blocks].count("modelled") == 8


@pytest.mark.usefixtures("fake_tables")
def test_show_is_readable():
    done = typed("show", "2,1,1,2,0,0,1,1", "--space", "nbmacro", "--device", "gpu", "--store", "none.db")
    assert done.exit_code == 0, done.stderr
    head, _, body = done.stdout.partition("\n\n")
    assert "nbmacro:canonical=true,classes=10,resolution=32" in head
    latency = (
        "64, 0.5 ms of it beside the blocks, by gpu; blocks: 8 measured, 2 modelled; error, held out: never validated"
    )
    assert latency in " ".join(head.split())
    columns, *rows, foot = [line.split("\t") for line in body.splitlines()]
    assert columns[-1] == "ms on gpu (batch 64)"
    assert rows[0] == ["stem", "ConvNormAct(channels=32, kernel=3)", "3x32x32 -> 32x32x32", "928", "884.7 k", "0.885"]
    assert [row[0] for row in rows if row[-1].startswith("~")] == ["stage1.0", "stage2.1"]
    assert foot[0].startswith("~ modelled: ")


@pytest.mark.usefixtures("fake_tables")
def test_show_leaves_out_choices_that_make_no_difference():
    # A depth of 3 in the first stage and of 2 in the others: one and two blocks of two genes each are not there.
    genome = ",".join(map(str, (1, *[2, 1] * 4, *[0, *[1, 2] * 4] * 4)))
    words = ("show", genome, "--space", "mbconv", "--device", "gpu", "--store", "none.db")
    content, text = json.loads(typed(*words, "--json").stdout), typed(*words).stdout
    beyond = [("stage1", 3), *((f"stage{stage}", place) for stage in range(2, 6) for place in (2, 3))]
    assert content["inactive"] == [
        f"{stage}.{place}.{gene}" for stage, place in beyond for gene in ("kernel", "expand")
    ]
    lines = dict(line.split(maxsplit=1) for line in text.splitlines()[:10])
    assert lines["stage1"] == "depth 3; 0 kernel 7, expand 4; 1 kernel 7, expand 4; 2 kernel 7, expand 4"
    assert lines["stage2"] == "depth 2; 0 kernel 5, expand 6; 1 kernel 5, expand 6"
    assert lines["inactive"].startswith("18 other genes")


@pytest.mark.usefixtures("fake_tables")
def test_show_asks_the_usual_devices_and_makes_no_store(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    content = json.loads(typed("show", "3,1,2,1,4,3", "--space", "nb201", "--json").stdout)
    assert set(content["latency"]) == {"gpu", "cpu"}
    assert list(tmp_path.iterdir()) == []


def test_choices_that_are_classes_have_their_names():
    choices = (nn.ReLU, (nn.GELU, 2), max, 3)
    assert [choice_text(choice) for choice in choices] == ["ReLU", "('GELU', 2)", "max", "3"]
    assert json.dumps(list(map(choice_value, choices))) == '["ReLU", ["GELU", 2], "max", 3]'
    assert dict(_choices({"stem.act": nn.ReLU})) == {"stem": "act ReLU"}

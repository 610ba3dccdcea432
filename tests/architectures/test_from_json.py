"""Free architectures are read as the networks of their blocks, and mistakes are named with their entry."""

import warnings

import pytest

from nasctl.api import (
    Add,
    Builder,
    ConcatFeatures,
    ConvNormAct,
    FlattenMap,
    MBConv,
    NasctlError,
    PatchEmbedding,
    PositionEmbedding,
    SelfAttention,
    SeparableConv1d,
    UnflattenMap,
)
from nasctl.architectures import from_json

BLOCKS = [
    {"block": "ConvNormAct", "channels": 8, "kernel": 3, "act": None, "name": "stem"},
    {"block": "MBConv", "channels": 8, "kernel": 5, "expand": 3},
    {"block": "Add", "inputs": ["stem", "1"], "name": "sum"},
    {"block": "nb201.Reduction", "channels": 16},
    {"block": "Classifier", "classes": 10},
]
FREE = {"input": [3, 16, 16], "blocks": BLOCKS}


def test_a_free_architecture_is_the_network_that_its_blocks_make():
    net = Builder((3, 16, 16))
    stem = net.add(ConvNormAct(8, 3, act=None), *net.inputs, name="stem")
    wide = net.add(MBConv(8, 5, 3.0), stem, name="1")
    both = net.add(Add(), stem, wide, name="sum")
    keys = [span.emission.key for span in net.build(both).spans]
    found = from_json.network(FREE)
    assert [span.emission.key for span in found.spans][:3] == keys
    assert [span.name for span in found.spans] == ["stem", "1", "sum", "3", "4"]
    assert found.spans[3].emission.key == "nb201.Reduction(channels=16) @ 8x16x16"
    assert found.out_shape == (10,)
    alone = from_json.network({"input": [8, 4, 4], "blocks": [{"block": "Classifier", "classes": 3}]})
    assert alone.macs == 24
    assert alone.spans[0].emission.key == "Classifier(classes=3) @ 8x4x4"


@pytest.mark.parametrize(
    ("entry", "sentence"),
    [
        ({"block": "MBConv", "channels": 8}, "blocks[0]: MBConv: it lacks the field 'kernel'"),
        ({"block": "MBConw"}, "did you mean 'MBConv'?"),
        ({"block": "nb201.Haed", "classes": 3}, "did you mean 'nb201.Head'?"),
        ({"block": "nowhere.Head", "classes": 3}, "no space is called 'nowhere'"),
        ({"block": "Conv", "chanels": 8}, "no field of Conv is called 'chanels'; did you mean 'channels'?"),
        ({"block": "Conv", "channels": 8.5}, "blocks[0]: Conv: its field 'channels' is 8.5, not a whole number"),
        ({"block": "Conv", "channels": True}, "blocks[0]: Conv: its field 'channels' is true, not a whole number"),
        ({"block": "Conv", "channels": 8, "groups": 5}, "cannot take an input of 3x32x32"),
        ({"block": "Conv", "channels": 8, "stride": 0}, "cannot take an input of 3x32x32"),
        ({"block": "Conv", "channels": 0}, "nothing would be left"),
        ({"block": "ConvNormAct", "channels": 8, "act": "mish"}, "cannot take an input of 3x32x32 (KeyError: 'mish')"),
        ({"block": "Add", "inputs": ["input", "x"]}, "no block before this one is called 'x'"),
        ({"block": "ReLU", "name": "input"}, "the name 'input' is taken"),
        ({"block": "ReLU", "inputs": []}, "blocks[0]: its field 'inputs' is [], not a list of names"),
        ({"channels": 8}, "blocks[0]: it lacks the field 'block'"),
        ({"block": 7}, "blocks[0]: its field 'block' is 7, not the name of a block"),
        ({"block": "ReLU", "name": None}, "blocks[0]: its field 'name' is null, not a name"),
        ({"block": "ReLU", "inputs": ["input", 3]}, "blocks[0]: its field 'inputs': [1] is 3, not a string"),
        ({"block": "MBConv", "channels": 8, "kernel": 3, "expand": "6"}, "its field 'expand' is \"6\", not a number"),
        ({"block": "ConvNormAct", "channels": 8, "act": 3}, "its field 'act' is 3, not a string"),
        ({"block": "rnn.Recurrent", "recurrent": True}, "no field of rnn.Recurrent is called 'recurrent'"),
        ({"block": "darts.NormedPool", "pool": {}}, "darts.NormedPool cannot be read from JSON"),
        ("ReLU", 'blocks[0]: it is "ReLU", not an object'),
        ({"block": "Identity"}, "no block with a layer in it"),
    ],
)
def test_what_is_no_block_is_named(entry, sentence):
    with pytest.raises(NasctlError) as caught:
        from_json.network({"input": [3, 32, 32], "blocks": [entry]})
    assert sentence in str(caught.value)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ([], "here it is [], not an object"),
        ({}, "here it lacks the field 'input'"),
        ({"input": [3], "blocks": {}}, "here its field 'blocks' is {}, not a list"),
        ({"input": [3, 0, 8], "blocks": []}, "here its field 'input': [1] is 0, not a whole number above 0"),
        ({"input": [], "blocks": []}, "here its field 'input' is [], not a shape such as [3, 224, 224]"),
        ({"input": 3, "blocks": []}, "here its field 'input' is 3, not a shape such as [3, 224, 224]"),
        ({"input": [3], "blocks": [], "layers": []}, "here it has an unknown field 'layers'"),
    ],
)
def test_what_is_no_architecture_is_refused(content, sentence):
    with pytest.raises(NasctlError) as caught:
        from_json.network(content)
    assert str(caught.value).startswith("a free architecture is written {")
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)


def test_two_blocks_whose_modules_would_be_one_are_refused():
    entries = [{"block": "ReLU", "name": "s1.0"}, {"block": "ReLU", "name": "s1_0"}]
    with pytest.raises(NasctlError, match=r"^blocks\[1\]: .*'s1\.0' and 's1_0'"):
        from_json.network({"input": [3, 8, 8], "blocks": entries})


def test_layers_of_sequences_are_blocks_too_by_their_old_names_as_well():
    new = [
        {"block": "PatchEmbedding", "width": 8, "size": 4},
        {"block": "FlattenMap"},
        {"block": "PositionEmbedding", "name": "tokens"},
        {"block": "SelfAttention", "heads": 2},
        {"block": "SeparableConv1d", "width": 6, "kernel": 3},
        {"block": "ConcatFeatures", "inputs": ["tokens", "4"]},
        {"block": "UnflattenMap", "height": 4, "width": 2},
    ]
    old = {
        "PatchEmbedding": "Patches",
        "FlattenMap": "Tokens",
        "PositionEmbedding": "Positions",
        "SeparableConv1d": "PlaceConv",
        "ConcatFeatures": "Join",
        "UnflattenMap": "Image",
    }
    net = Builder((3, 16, 8))
    x = net.add(PatchEmbedding(8, 4), *net.inputs, name="0")
    x = tokens = net.add(PositionEmbedding(), net.add(FlattenMap(), x, name="1"), name="tokens")
    x = net.add(SeparableConv1d(6, 3), net.add(SelfAttention(2), x, name="3"), name="4")
    x = net.add(UnflattenMap(4, 2), net.add(ConcatFeatures(), tokens, x, name="5"), name="6")
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # an old name in a file is no reason to warn
        for entries in (new, [{**entry, "block": old.get(entry["block"], entry["block"])} for entry in new]):
            assert from_json.network({"input": [3, 16, 8], "blocks": entries}) == net.build(x)

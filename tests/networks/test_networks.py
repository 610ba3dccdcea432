"""Known answers about layers, blocks and networks."""

import runpy
import sys
from dataclasses import dataclass

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from nasctl import registry
from nasctl.api import (
    ActConvNorm,
    Add,
    AvgPool,
    BasicBlock,
    Builder,
    Classifier,
    Concat,
    Conv,
    ConvNormAct,
    GlobalAvgPool,
    HSigmoid,
    HSwish,
    Identity,
    Linear,
    Logits,
    MaxPool,
    MBConv,
    Multiply,
    ReLU,
    ReLU6,
    Sigmoid,
    SqueezeExcite,
    Swish,
    Zero,
    make_divisible,
)
from nasctl.errors import NasctlError
from nasctl.networks.python_source import source
from nasctl.testing import drawn

MOBILENETV2 = [
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
]
MOBILENETV3_LARGE = [  # kernel, expanded channels, channels, SE, activation, stride: table 1 of arXiv:1905.02244
    (3, 16, 16, False, "relu", 1),
    (3, 64, 24, False, "relu", 2),
    (3, 72, 24, False, "relu", 1),
    (5, 72, 40, True, "relu", 2),
    (5, 120, 40, True, "relu", 1),
    (5, 120, 40, True, "relu", 1),
    (3, 240, 80, False, "hswish", 2),
    (3, 200, 80, False, "hswish", 1),
    (3, 184, 80, False, "hswish", 1),
    (3, 184, 80, False, "hswish", 1),
    (3, 480, 112, True, "hswish", 1),
    (3, 672, 112, True, "hswish", 1),
    (5, 672, 160, True, "hswish", 2),
    (5, 960, 160, True, "hswish", 1),
    (5, 960, 160, True, "hswish", 1),
]


def sequence(shape, *parts):
    net = Builder(shape)
    (x,) = net.inputs
    for k, part in enumerate(parts):
        x = net.add(part, x, name=f"part{k}")
    return net.build(x)


def test_resnet18_is_the_published_one():
    stages = [BasicBlock(64 << stage, 2 if stage and not k else 1) for stage in range(4) for k in range(2)]
    net = sequence((3, 224, 224), ConvNormAct(64, 7, 2), MaxPool(3, 2), *stages, Classifier(1000))
    assert (net.params, round(net.macs / 1e6, 2)) == (11_689_512, 1814.07)  # torchvision's resnet18


def test_mobilenetv2_is_the_published_one():
    blocks = [
        MBConv(channels, 3, expand, 1 if k else stride, act="relu6")
        for expand, channels, depth, stride in MOBILENETV2
        for k in range(depth)
    ]
    ends = ConvNormAct(32, 3, 2, act="relu6"), ConvNormAct(1280, act="relu6"), Classifier(1000)
    net = sequence((3, 224, 224), ends[0], *blocks, *ends[1:])
    assert (net.params, round(net.macs / 1e6, 2)) == (3_504_872, 300.77)  # torchvision's mobilenet_v2


def test_mobilenetv3_large_is_the_published_one():
    parts, channels = [ConvNormAct(16, 3, 2, act="hswish")], 16
    for kernel, expanded, out, se, act, stride in MOBILENETV3_LARGE:
        parts.append(MBConv(out, kernel, expanded / channels, stride, act, se))
        channels = out
    parts += [ConvNormAct(960, act="hswish"), GlobalAvgPool(), Logits(1280), HSwish(), Linear(1000)]
    net = sequence((3, 224, 224), *parts)
    assert (net.params, round(net.macs / 1e6, 2)) == (5_483_032, 216.59)  # torchvision's mobilenet_v3_large


@pytest.mark.parametrize(
    "layer",
    [
        *(Conv(12, kernel, stride, groups, dilation, bias) for kernel, stride, groups, dilation, bias in (
            (1, 1, 1, 1, False), (3, 2, 1, 1, True), (5, 1, 6, 1, False), (3, 1, 2, 2, False), (3, 2, 6, 3, True),
            (7, 2, 3, 1, False),
        )),
        AvgPool(3), AvgPool(2, 2), AvgPool(3, 2), MaxPool(3, 2), MaxPool(2, 2), GlobalAvgPool(),
        ReLU(), ReLU6(), Swish(), HSwish(), Sigmoid(), HSigmoid(), Zero(), SqueezeExcite(3),
        SqueezeExcite(5, gate="sigmoid"), BasicBlock(6), BasicBlock(8, 2), ActConvNorm(5, 3, 2),
        MBConv(6, 5, 3, se=True), MBConv(10, 3, 1, 2), MBConv(6, 3, 1, act="swish"), Logits(7), Classifier(7),
    ],
    ids=repr,
)  # fmt: skip
@pytest.mark.parametrize("shape", [(6, 9, 9), (6, 8, 13)], ids=str)
def test_each_layer_agrees_with_its_module(layer, shape):
    net = sequence(shape, layer)
    with torch.device("meta"), FlopCounterMode(display=False) as counter:
        module = net.module()
        out = module(torch.empty(2, *shape))
    assert out.shape == (2, *net.out_shape)
    assert sum(map(torch.numel, module.parameters())) == net.params
    assert counter.get_total_flops() == 2 * 2 * net.macs


def test_concat_and_gates():
    net = Builder((4, 5, 5), (4, 1, 1))
    gated = net.add(Multiply(), *net.inputs, name="gate")
    whole = net.build(net.add(Concat(), net.inputs[0], gated, name="both"))
    x, gate = torch.randn(2, 4, 5, 5), torch.randn(2, 4, 1, 1)
    assert whole.out_shape == (8, 5, 5)
    assert torch.equal(whole.module()(x, gate), torch.cat([x, x * gate], 1))


def test_peak_memory_by_hand():
    net = Builder((2, 4, 4))  # 32 values
    (x,) = net.inputs
    wide = net.add(Conv(6), x, name="wide")  # 96 values; the input lives on for the sum: 32 + 96 = 128
    act = net.add(ReLU(), wide, name="act")  # not in place: 32 + 96 + 96 = 224
    back = net.add(Conv(2), act, name="back")  # 32 + 96 + 32 = 160
    net.add(Conv(100), x, name="dead")  # nothing reads it: 32 + 32 + 1600 = 1664, and gone at once
    total = net.add(Add(), x, back, name="add")  # 96
    assert net.build(total).memory == 4 * 1664
    small = sequence((2, 4, 4), Conv(6), ReLU(), Conv(2))
    assert small.memory == 4 * (96 + 96)
    assert sequence((2, 4, 4), GlobalAvgPool()).memory == 4 * (32 + 2)


@pytest.mark.parametrize("spec", registry.names_without_options("spaces"))
def test_peak_memory_is_what_a_run_in_node_order_holds(spec):
    # The module drops every value after its last use; what is alive while a child runs is inputs, output and the rest.
    space = registry.create("spaces", spec)
    for genome in drawn(space, 3):
        network = space.network(space.canonical(genome))
        nodes, sizes = network.nodes, {-1: torch.Size(network.input_shapes[0]).numel()}
        most = 0
        for k, node in enumerate(nodes):
            sizes[k] = torch.Size(node.out_shape).numel()
            later = {i for other in nodes[k + 1 :] for i in other.inputs} | {network.output}
            alive = {i for i in sizes if i in later or i in node.inputs or i == k}
            most = max(most, sum(sizes[i] for i in alive))
        assert network.memory == 4 * most


@pytest.mark.parametrize(
    ("block", "key"),
    [
        (MBConv(40, 5, 6, stride=2), "MBConv(channels=40, kernel=5, expand=6, stride=2) @ 24x56x56"),
        (MBConv(24, 3, 3.0, stride=1), "MBConv(channels=24, kernel=3, expand=3) @ 24x56x56"),
        (
            MBConv(24, 3, 3, act="swish", se=True),
            "MBConv(channels=24, kernel=3, expand=3, act='swish', se=True) @ 24x56x56",
        ),
    ],
)
def test_keys_leave_defaults_out(block, key):
    net = Builder((24, 56, 56))
    (span,) = net.build(net.add(block, *net.inputs, name="block")).spans
    assert span.emission.key == key


def test_identity_is_nothing():
    net = Builder((24, 56, 56))
    assert net.add(Identity(), *net.inputs, name="skip") == net.inputs[0]
    assert net.build(-1).spans == ()


@dataclass(frozen=True)
class Chained:
    """A block of activations with these names."""

    names: tuple[str, ...]

    def emit(self, net, *inputs):
        (x,) = inputs
        for name in self.names:
            x = net.add(ReLU(), x, name=name)
        return x


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (("a", ReLU()), ("a", ReLU())),
        (("a", ConvNormAct(4)), ("a", ConvNormAct(4))),
        (("s1.0", Conv(4)), ("s1_0", Conv(4))),
        (("s1_0", Conv(4)), ("s1.0", ConvNormAct(4))),
        (("s1.0", ReLU()), ("s1", Chained(("0", "1")))),
        (("s1", Chained(("0", "1"))), ("s1.0", ReLU())),
        (("s1", Chained(("a.b", "c"))), ("s1.a", Chained(("a", "b")))),
        (("s1_a", Chained(("a", "b"))), ("s1", Chained(("a.b", "c")))),
    ],
    ids=lambda one: one[0],
)
def test_two_layers_of_one_name_are_refused(first, second):
    def build(net, x):
        for name, what in (first, second):
            x = net.add(what, x, name=name)
        return net.build(x)

    @dataclass(frozen=True)
    class Outer:
        def emit(self, net, *inputs):
            return build(net, *inputs).output

    net = Builder((4, 5, 5))
    with pytest.raises(NasctlError) as raised:
        build(net, *net.inputs).module()
    assert all(f"'{name}" in str(raised.value) for name, _ in (first, second))
    # So is a block that names two of its parts alike.
    net = Builder((4, 5, 5))
    with pytest.raises(NasctlError) as within:
        net.add(Outer(), *net.inputs, name="outer")
    assert str(within.value) == str(raised.value)


def test_the_message_names_both_layers():
    net = Builder((4, 5, 5))
    x = net.add(ReLU(), *net.inputs, name="s1.0")
    with pytest.raises(NasctlError, match=r"the layers 's1\.0' and 's1_0' in one network: .* attribute 's1_0'"):
        net.add(ReLU(), x, name="s1_0")
    with pytest.raises(NasctlError, match=r"a second layer named 's1\.0'"):
        net.add(ReLU(), x, name="s1.0")


def test_names_that_only_begin_alike_are_no_clash():
    net = Builder((4, 5, 5))
    (x,) = net.inputs
    for name, what in (("s1", Chained(("0", "1"))), ("s1.2", ReLU()), ("s1_x", Chained(("0", "1"))), ("s", ReLU())):
        x = net.add(what, x, name=name)
    network = net.build(net.add(Identity(), x, name="s"))  # a block without layers needs no name
    assert list(network.module().state_dict()) == []
    assert [name for name, _ in network.module().named_children()] == ["s1_0", "s1_1", "s1_2", "s1_x_0", "s1_x_1", "s"]


@pytest.mark.parametrize("spec", registry.names_without_options("spaces"))
def test_no_space_has_two_layers_of_one_name(spec):
    space = registry.create("spaces", spec)
    largest = tuple(len(gene.choices) - 1 for gene in space.genes)
    for genome in [*drawn(space, 30), largest]:
        nodes = space.network(space.canonical(genome)).nodes
        assert len({node.name.replace(".", "_") for node in nodes}) == len(nodes)


def test_channels_are_rounded_as_in_the_reference():
    assert [make_divisible(value) for value in (3, 11, 12, 19.2, 28.8, 48, 115.2, 134.4)] == [
        8,
        16,
        16,
        24,
        32,
        48,
        112,
        136,
    ]


def test_the_file_of_an_untrained_network_refuses_a_photo(tmp_path, monkeypatch):
    net = Builder((3, 8, 8))
    (x,) = net.inputs
    text = source(net.build(net.add(Conv(channels=2), x, name="conv")))
    (path := tmp_path / "net.py").write_text(text)
    monkeypatch.setattr(sys, "argv", [str(path), "photo.png"])
    with pytest.raises(SystemExit, match=r"Cannot read photo\.png: the network is not one trained on images"):
        runpy.run_path(str(path), run_name="__main__")
    monkeypatch.setattr(sys, "argv", [str(path)])
    runpy.run_path(str(path), run_name="__main__")

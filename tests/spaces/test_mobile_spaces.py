"""Known answers about the spaces of ProxylessNAS and FBNet, and about the layers that only they have."""

import csv
import gzip
import itertools
import random
import re
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from nasctl import registry
from nasctl.api import BadOption, Builder, ChannelShuffle, Classifier, ConvNormAct, Fidelity, MBConv, ReLU
from nasctl.hardware.distinct_blocks import distinct_blocks
from nasctl.hardware.fitting.operators import network_features
from nasctl.hardware.operator_model import features
from nasctl.spaces.fbnet import CHOICES, Separable
from nasctl.testing import drawn

KERNELS, EXPANSIONS = (3, 5, 7), (3, 4, 6)
HW_NAS_BENCH = "fbnet:cifar,resolution=32,classes=100,head=1504"  # what its figures for CIFAR-100 are of
FULL = (4, 4, 4, 4, 4, 1)  # blocks of the stages


def sequence(shape, *parts):
    net = Builder(shape)
    (x,) = net.inputs
    for k, part in enumerate(parts):
        x = net.add(part, x, name=f"part{k}")
    return net.build(x)


def proxyless(kernels, expansions):
    """The genome of a network of six stages, written with active blocks alone."""
    genome = []
    for stage, (ks, es) in enumerate(zip(kernels, expansions, strict=True)):
        pairs = [(KERNELS.index(k), EXPANSIONS.index(e)) for k, e in zip(ks, es, strict=True)]
        genome += [len(ks) - 2] if stage < 5 else []
        genome += itertools.chain(*pairs, *[(0, 0)] * (FULL[stage] - len(ks)))
    return tuple(genome)


def uniform(kernel, expand, depths):
    return proxyless([[kernel] * depth for depth in depths], [[expand] * depth for depth in depths])


SMALLEST, LARGEST = uniform(3, 3, (2, 2, 2, 2, 2, 1)), uniform(7, 6, FULL)
# The published network for phones; "mobile 14" is the same with other channels.
MOBILE = proxyless(
    [[5, 3], [7, 3, 5, 5], [7, 5, 5, 5], [5, 5, 5, 5], [7, 7, 7, 7], [7]],
    [[3, 3], [3, 3, 3, 3], [6, 3, 3, 3], [6, 3, 3, 3], [6, 6, 3, 3], [6]],
)


@pytest.mark.parametrize(
    ("options", "genome", "macs", "params"),
    [
        ("width=1.3", SMALLEST, 265.53, 3.719),
        ("width=1.3", LARGEST, 1004.91, 7.942),
        ("", SMALLEST, 154.16, 2.501),
        ("", LARGEST, 606.59, 5.103),
        ("widths=32,40,80,96,192,320", MOBILE, 320.43, 4.081),
        ("width=1.4,widths=28,40,80,96,184,320", MOBILE, 580.88, 6.858),
    ],
)
def test_proxyless_is_once_for_all(options, genome, macs, params):
    # Counted from ofa_proxyless.py of github.com/mit-han-lab/once-for-all and, the last two, from the architecture
    # files "proxyless_mobile" and "proxyless_mobile_14" of ProxylessNAS.
    network = registry.create("spaces", f"proxyless:{options}".removesuffix(":")).network(genome)
    assert (round(network.macs / 1e6, 2), round(network.params / 1e6, 3)) == (macs, params)
    assert not any(isinstance(node.layer, ReLU) for node in network.nodes)  # all of them are ReLU6


@pytest.mark.parametrize(
    ("stages", "last", "macs", "params"),
    [  # (channels, stride, kernels, expansions) of each stage of the published networks for GPUs and for CPUs
        (
            [(32, 2, [5], [3]), (56, 2, [7, 3], [3, 3]), (112, 2, [7, 5], [6, 3]), (128, 1, [5, 3, 5], [6, 3, 3]),
             (256, 2, [7, 7, 7, 5], [6, 6, 6, 6]), (432, 1, [7], [6])],
            1728, 465.26, 7.120,
        ),
        (
            [(32, 2, [3] * 4, [6, 3, 3, 3]), (48, 2, [3, 3, 3, 5], [6, 3, 3, 3]), (88, 2, [3, 3], [6, 3]),
             (104, 1, [5, 3, 3, 3], [6, 3, 3, 3]), (216, 2, [5, 5, 5, 3], [6, 3, 3, 3]), (360, 1, [5], [6])],
            1432, 439.24, 4.362,
        ),
    ],
    ids=["gpu", "cpu"],
)  # fmt: skip
def test_published_networks_of_proxylessnas(stages, last, macs, params):
    blocks = [
        MBConv(channels, kernel, expand, 1 if place else stride, "relu6")
        for channels, stride, kernels, expansions in stages
        for place, (kernel, expand) in enumerate(zip(kernels, expansions, strict=True))
    ]
    begin = ConvNormAct(40, 3, 2, act="relu6"), MBConv(24, 3, 1, act="relu6")
    net = sequence((3, 224, 224), *begin, *blocks, ConvNormAct(last, act="relu6"), Classifier(1000))
    assert (round(net.macs / 1e6, 2), round(net.params / 1e6, 3)) == (macs, params)


def pixel1_key(span):
    """What the published table of a Pixel 1 calls a block."""
    (c, h, w), out = span.emission.in_shapes[0], span.emission.out_shape
    if span.name == "classifier":
        return f"Logits-input:{h}x{w}x{c}-output:{out[0]}"
    sizes = f"input:{h}x{w}x{c}-output:{out[1]}x{out[2]}x{out[0]}"
    if span.name in ("stem", "mix"):
        return f"{'Conv' if span.name == 'stem' else 'Conv_1'}-{sizes}"
    kernel, expand = (re.search(f"{field}=(\\d)", span.emission.key)[1] for field in ("kernel", "expand"))
    added = int("." in span.name and not span.name.endswith(".0"))
    return f"expanded_conv-{sizes}-expand:{expand}-kernel:{kernel}-stride:{h // out[1]}-idskip:{added}"


@pytest.mark.parametrize(
    ("genome", "ms"),
    [
        (LARGEST, 180.975184),
        (uniform(3, 3, FULL), 72.462422),
        (uniform(5, 3, FULL), 85.278567),
        (uniform(3, 6, FULL), 126.765646),
    ],
)
def test_proxyless_has_the_blocks_of_the_pixel1_table(data, genome, ms):
    text = (data("mobile-lut") / "pixel1_proxylessnas_pixel_trim.yaml").read_text()
    table = {key: float(mean) for key, mean in re.findall(r"^(\S+):\n(?:  count.*\n)?  mean: (\S+)$", text, re.M)}
    assert len(table) == 72
    network = registry.create("spaces", "proxyless").network(genome)
    assert sum(table[pixel1_key(span)] for span in network.spans) == pytest.approx(ms, abs=1e-6)


def test_proxyless_merges_what_only_differs_beyond_the_depth():
    space = registry.create("spaces", "proxyless")
    other = (*SMALLEST[:5], 2, 1, *SMALLEST[7:])  # block 2 of stage 1, which a depth of 2 leaves out
    assert space.canonical(other) == SMALLEST
    assert space.network(other) == space.network(SMALLEST)
    assert space.canonical(LARGEST) == LARGEST
    last = (*SMALLEST[:-2], 2, 1)  # the block of the sixth stage is always there
    assert space.canonical(last) == last
    assert [gene.name for gene in space.genes[-3:]] == ["stage5.3.expand", "stage6.0.kernel", "stage6.0.expand"]
    assert len(distinct_blocks(space)) == 4 + 5 * 9 * 2 + 9


def test_resolution_as_a_gene():
    space = registry.create("spaces", "proxyless:resolutions=160,192,224")
    for choice, size in enumerate((160, 192, 224)):
        alone = registry.create("spaces", f"proxyless:resolution={size}")
        assert space.network((choice, *MOBILE)) == alone.network(MOBILE)
    reduced = space.reduced(Fidelity(size=64))
    assert [reduced.network((k, *MOBILE)).input_shapes[0][1] for k in range(3)] == [46, 55, 64]


def test_no_feature_falls_when_an_ordered_gene_rises():
    space = registry.create("spaces", "proxyless")
    for genome in drawn(space, 5):
        for k, gene in enumerate(space.genes):
            chain = [(*genome[:k], choice, *genome[k + 1 :]) for choice in range(len(gene.choices))]
            for small, large in pairwise(network_features(space.network(one)) for one in chain):
                assert all(small[name] <= large.get(name, 0) for name in small), (gene, genome)


@pytest.mark.parametrize(
    "spec",
    ["proxyless:width=0", "proxyless:widths=24,40", "proxyless:resolution=31", "proxyless:resolutions=224,160",
     "proxyless:classes=0", "fbnet:width=0", "fbnet:resolution=31", "fbnet:cifar,resolution=7", "fbnet:head=0"],
)  # fmt: skip
def test_an_option_that_makes_no_network_is_refused(spec):
    with pytest.raises(BadOption):
        registry.create("spaces", spec)


def fbnet(text):
    return tuple(CHOICES.index(word) for word in text.split())


@pytest.mark.parametrize(
    ("options", "genome", "macs", "params"),
    [
        (  # FBNet-A
            "head=1504",
            "skip k3_e3 k3_e1 skip skip k5_e6 k3_e3 k5_e1 k3_e3 k5_e6 k5_e3 k5_e1_g2 k5_e6 k3_e6 k5_e1_g2 k5_e3 "
            "k3_e1_g2 k5_e6 k5_e6 k5_e3 k5_e6 k5_e6",
            249.4, 4.3,
        ),
        (  # FBNet-B
            "head=1984",
            "k3_e1 k3_e6 k5_e1 k3_e1 k3_e1 k5_e6 k5_e3 k3_e6 k5_e6 k5_e6 k5_e1 skip k5_e3 k5_e6 k3_e1 k5_e1 k5_e3 "
            "k5_e6 k5_e1 k5_e6 k5_e6 k3_e6",
            295.6, 4.8,
        ),
        (  # FBNet-C
            "head=1984",
            "k3_e1 k3_e6 skip k3_e1 k3_e1 k5_e6 k5_e3 k5_e6 k3_e6 k5_e6 k5_e3 k5_e6 k5_e6 k5_e6 k5_e6 k5_e6 k5_e3 "
            "k5_e6 k5_e6 k5_e6 k5_e6 k3_e6",
            383.0, 5.5,
        ),
        (  # FBNet-96-0.35-1
            "width=0.35,resolution=96,head=1416",
            "k3_e1 k3_e6 k3_e6 skip skip k5_e6 k5_e6 skip skip k5_e6 skip skip skip k3_e6 skip skip skip "
            "k5_e6 k5_e6 skip skip k5_e6",
            12.9, 1.8,
        ),
    ],
    ids=["A", "B", "C", "96"],
)  # fmt: skip
def test_published_fbnets(options, genome, macs, params):
    # Millions as the README of github.com/facebookresearch/mobile-vision prints them; its way of counting is not said.
    # The blocks are those of its model definitions, but layer 10 of B: k5_e1 as in re-implementations of the paper's
    # figure; its own k5_e6 makes 306 million.
    network = registry.create("spaces", f"fbnet:{options}").network(fbnet(genome))
    assert network.macs / 1e6 == pytest.approx(macs, rel=0.006)
    assert network.params / 1e6 == pytest.approx(params, abs=0.1)


# (kernel, expansion, groups) of each choice
FORMULAS = [(3, 1, 1), (3, 1, 2), (3, 3, 1), (3, 6, 1), (5, 1, 1), (5, 1, 2), (5, 3, 1), (5, 6, 1), (1, 0, 1)]


def counted(genome, small, head, classes):
    """Parameters and MACs of HW-NAS-Bench's network, by a formula for each layer."""
    h, c, layers = 32 if small else 112, 16, iter(genome)
    params, macs = 27 * 16 + 2 * 16, 27 * 16 * h * h
    for channels, depth, stride in zip(
        (16, 24, 32, 64, 112, 184, 352), (1, 4, 4, 4, 4, 4, 1), (1, 1 if small else 2, 2, 2, 1, 2, 1), strict=True
    ):
        for place in range(depth):
            s, choice = 1 if place else stride, next(layers)
            k, e, g = FORMULAS[choice]
            out = h // s
            if e:
                wide = e * c
                params += c * wide // g + wide * k * k + wide * channels // g + 2 * (wide + wide + channels)
                macs += h * h * c * wide // g + out * out * (wide * k * k + wide * channels // g)
            elif (s, c) != (1, channels):
                params += c * channels + 2 * channels
                macs += out * out * c * channels
            h, c = out, channels
    params += c * head + 2 * head + head * classes + classes
    return params, macs + h * h * c * head + head * classes


@pytest.mark.parametrize(
    ("spec", "small", "head", "classes"), [("fbnet", False, 1984, 1000), (HW_NAS_BENCH, True, 1504, 100)]
)
def test_fbnet_counts_what_a_formula_counts(spec, small, head, classes):
    space = registry.create("spaces", spec)
    for genome in [(8,) * 22, (7,) * 22, (1,) * 22, *drawn(space, 20)]:
        network = space.network(genome)
        assert (network.params, network.macs) == counted(genome, small, head, classes)


def test_fbnet_has_the_rows_of_hw_nas_bench(data):
    # The latencies of these four devices are sums of table rows, so some value for each row has to make all of them.
    space = registry.create("spaces", HW_NAS_BENCH)
    with gzip.open(data("fbnet-latency") / "help_fbnet_latency_ms.csv.gz", "rt", newline="") as file:
        rows = list(csv.DictReader(file))
    genomes = [tuple(int(row[gene.name]) for gene in space.genes) for row in rows]
    places = {key: k for k, key in enumerate(distinct_blocks(space))}
    assert len(places) == 3 + 8 + 6 * 9 + 5 * 8  # a skip that changes nothing is no block
    amounts = np.zeros((len(rows), len(places)))
    for k, genome in enumerate(genomes):
        for span in space.network(genome).spans:
            amounts[k, places[span.emission.key]] += 1
    ms = np.array([[float(row[f"lat_{name}"]) for name in ("pixel3", "raspi4", "eyeriss", "fpga")] for row in rows])
    values = np.linalg.lstsq(amounts[:3500], ms[:3500], rcond=None)[0]
    assert np.abs(amounts[3500:] @ values - ms[3500:]).max() < 1e-8


def test_fbnet_merges_skips_that_change_nothing():
    space = registry.create("spaces", "fbnet")
    rest = (0,) * 17
    assert space.canonical((8, 8, 8, 3, 8, *rest)) == (8, 8, 3, 8, 8, *rest)  # layer 1 halves the image: it stays
    runs = {space.canonical((0, 0, *run, *rest)) for run in itertools.product(range(9), repeat=3)}
    assert len(runs) == 1 + 8 + 8**2 + 8**3
    skips = space.network((8,) * 22)
    assert [span.name for span in skips.spans if span.name.startswith("layer")] == [
        f"layer{k}" for k in (1, 5, 9, 13, 17, 21)
    ]


def test_fbnet_writes_and_reads_digits():
    space = registry.create("spaces", "fbnet")
    genome = tuple(random.Random(0).choices(range(9), k=22))
    assert space.parse(space.spell(genome)) == genome
    assert space.parse("0" * 21) is space.parse("0" * 21 + "9") is None
    assert [space.genes[k].name for k in (0, 21)] == ["layer0", "layer21"]


@pytest.mark.parametrize("layer", [ChannelShuffle(2), ChannelShuffle(3), Separable(6, 3), Separable(6, 5, groups=2),
                                   Separable(10, 3, 2, groups=2)], ids=repr)  # fmt: skip
@pytest.mark.parametrize("shape", [(6, 9, 9), (6, 8, 13)], ids=str)
def test_each_layer_agrees_with_its_module(layer, shape):
    net = sequence(shape, layer)
    with torch.device("meta"), FlopCounterMode(display=False) as counter:
        module = net.module()
        out = module(torch.empty(2, *shape))
    assert out.shape == (2, *net.out_shape)
    assert sum(map(torch.numel, module.parameters())) == net.params
    assert counter.get_total_flops() == 2 * 2 * net.macs


def test_channels_are_dealt_out_in_turn():
    x = torch.arange(12.0).reshape(1, 6, 1, 2).requires_grad_()
    out = sequence((6, 1, 2), ChannelShuffle(2)).module()(x)
    assert out[0, :, 0, 0].tolist() == [0, 6, 2, 8, 4, 10]  # channels 0 3 1 4 2 5
    (gradient,) = torch.autograd.grad((out * torch.arange(6.0).view(6, 1, 1)).sum(), x)
    assert gradient[0, :, 0, 0].tolist() == [0, 2, 4, 1, 3, 5]


def test_the_shuffle_lets_groups_see_each_other():
    module = sequence((8, 1, 1), Separable(4, 3, groups=2)).module().eval()
    x = torch.ones(2, 8, 1, 1)
    x[1, 0] = 2.0  # a channel of the first group
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.abs_()  # so that no rectifier closes
        one, other = module(x)
    assert (one != other).all()


def test_grouped_blocks_have_features_of_their_own():
    (span,) = sequence((8, 4, 4), Separable(8, 5, groups=2)).spans
    amounts = features(span.emission)
    assert amounts["grouped.macs"] == 2 * 8 * 8 // 2 * 16
    assert amounts["channelshuffle.moved"] == 2 * 8 * 16
    assert span.emission.key == "fbnet.Separable(channels=8, kernel=5, groups=2) @ 8x4x4"
    assert "grouped.macs" not in features(sequence((8, 4, 4), Separable(8, 5)).spans[0].emission)

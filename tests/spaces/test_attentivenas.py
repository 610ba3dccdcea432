"""Known answers about the space of AttentiveNAS: its published networks, a formula for each layer, its shortcuts."""

from itertools import pairwise, product

import pytest
import torch
from torch.nn.functional import avg_pool2d, conv2d
from torch.utils.flop_counter import FlopCounterMode

from nasctl import registry
from nasctl.api import BadOption, Builder, Fidelity, make_divisible
from nasctl.hardware.fitting.operators import network_features
from nasctl.spaces._staged import Bridged
from nasctl.testing import drawn

STAGES = ("mb1", "mb2", "mb3", "mb4", "mb5", "mb6", "mb7")
WIDTHS = ("stem", *STAGES, "last")
PUBLISHED = "attentivenas:resolutions=192,224,256,288"

# Resolution, widths, depths, kernels and expansions of A0 to A6; the millions of FLOPs, by which MACs are meant, that
# the README of github.com/facebookresearch/AttentiveNAS prints; MACs and parameters by another counter, in millions.
NETWORKS = [
    (192, (16, 16, 24, 32, 64, 112, 192, 216, 1792), "1333331", "3333333", "1444466", 203, 203.39, 8.954),
    (224, (16, 16, 24, 32, 64, 112, 192, 216, 1984), "1333331", "3335353", "1444466", 279, 279.24, 9.453),
    (224, (16, 16, 24, 32, 64, 112, 200, 224, 1984), "1333341", "3333353", "1454466", 317, 316.73, 11.150),
    (224, (16, 16, 24, 32, 64, 112, 208, 224, 1984), "2334351", "3335333", "1444466", 357, 356.52, 12.785),
    (256, (16, 16, 24, 32, 64, 112, 192, 216, 1984), "1334351", "3335353", "1445466", 444, 443.53, 11.810),
    (256, (16, 16, 24, 32, 72, 112, 192, 216, 1792), "1333461", "3335333", "1454466", 491, 490.52, 12.597),
    (288, (16, 16, 24, 32, 64, 112, 216, 224, 1984), "1334461", "3333353", "1465466", 709, 709.01, 15.155),
]  # fmt: skip


@pytest.fixture(scope="module")
def space():
    return registry.create("spaces", PUBLISHED)


def genome(space, resolution, widths, depths, kernels, expansions):
    """The genome of a network as its authors write it down; what is no gene has to be as it always is."""
    values = {"resolution": resolution, **{f"{name}.width": w for name, w in zip(WIDTHS, widths, strict=True)}}
    for name, depth, kernel, expand in zip(STAGES, depths, kernels, expansions, strict=True):
        values |= {f"{name}.depth": int(depth), f"{name}.kernel": int(kernel), f"{name}.expand": int(expand)}
    assert [values[f"{name}.expand"] for name in ("mb1", "mb6", "mb7")] == [1, 6, 6]
    return tuple(gene.choices.index(values[gene.name]) for gene in space.genes)


@pytest.mark.parametrize("row", NETWORKS, ids=[f"A{k}" for k in range(7)])
def test_published_networks(space, row):
    *spelled, printed, macs, params = row
    network = space.network(genome(space, *spelled))
    assert round(network.macs / 1e6) == printed
    assert (round(network.macs / 1e6, 2), round(network.params / 1e6, 3)) == (macs, params)
    assert network.input_shapes == ((3, spelled[0], spelled[0]),)


def test_the_smallest_and_the_largest(space):
    smallest, largest = (0,) * len(space.genes), tuple(len(gene.choices) - 1 for gene in space.genes)
    assert smallest == genome(space, *NETWORKS[0][:5])  # A0
    network = space.network(largest)
    assert (round(network.macs / 1e6, 2), round(network.params / 1e6, 3)) == (1939.34, 23.404)


def test_without_convolutions_in_its_shortcuts_a0_costs_less(space):
    network = space.network(genome(space, *NETWORKS[0][:5]))
    shortcuts = [node for node in network.nodes if node.name.endswith(".shortcut")]
    assert [node.name for node in shortcuts] == [f"mb{k}.0.shortcut" for k in range(2, 8)]  # mb1 keeps 16 channels
    macs = sum(node.layer.macs(*node.in_shapes) for node in shortcuts)
    assert round((network.macs - macs) / 1e6, 1) == 198.5


def block_cost(c, out, h, kernel, expand, stride, se):
    """Parameters and MACs of one block, by a formula for each layer."""
    wide, to = c * expand, h // stride
    params = wide * kernel**2 + 2 * wide + wide * out + 2 * out
    macs = to**2 * (wide * kernel**2 + wide * out)
    if expand > 1:
        params += c * wide + 2 * wide
        macs += h**2 * c * wide
    if se:
        few = make_divisible(wide // 4)
        params += 2 * wide * few + few + wide
        macs += 2 * wide * few
    if c != out:  # a convolution in the shortcut
        params += c * out
        macs += to**2 * c * out
    return params, macs


def counted(space, genome):
    """Parameters and MACs of a whole network."""
    value = {gene.name: gene.choices[choice] for gene, choice in zip(space.genes, genome, strict=True)}
    h, c = value["resolution"] // 2, value["stem.width"]
    costs = [(27 * c + 2 * c, 27 * c * h**2)]
    value |= {"mb1.expand": 1, "mb6.expand": 6, "mb7.expand": 6}
    for name, stride, se in zip(STAGES, (1, 2, 2, 2, 1, 2, 1), (0, 0, 1, 0, 1, 1, 1), strict=True):
        for place in range(value[f"{name}.depth"]):
            out, s = value[f"{name}.width"], 1 if place else stride
            costs.append(block_cost(c, out, h, value[f"{name}.kernel"], value[f"{name}.expand"], s, se))
            h, c = h // s, out
    wide, last = 6 * c, value["last.width"]
    head = wide * last + last * 1000
    costs.append((c * wide + 2 * wide + head + 1000, c * wide * h**2 + head))
    return tuple(map(sum, zip(*costs, strict=True)))


def test_every_network_costs_what_a_formula_counts(space):
    for one in [genome(space, *row[:5]) for row in NETWORKS] + drawn(space, 60):
        network = space.network(one)
        assert (network.params, network.macs) == counted(space, one)


def test_every_gene_makes_a_difference(space):
    for one in drawn(space, 5):
        for k, gene in enumerate(space.genes):
            others = [(*one[:k], choice, *one[k + 1 :]) for choice in range(len(gene.choices))]
            assert [space.canonical(other) for other in others] == others
            assert len({tuple(map(repr, space.network(other).spans)) for other in others}) == len(others), gene.name


def with_widths(space, **choices):
    """The smallest network, but for some widths."""
    return tuple(choices.get(gene.name.removesuffix(".width"), 0) for gene in space.genes)


def test_an_ordered_gene_takes_nothing_away(space):
    # With all widths of two neighbours too: a shortcut has a convolution unless they are equal.
    number = {gene.name.removesuffix(".width"): len(gene.choices) for gene in space.genes}
    pairs = [
        with_widths(space, **{before: i, after: j})
        for before, after in pairwise(WIDTHS)
        for i, j in product(range(number[before]), range(number[after]))
    ]
    for one in [*pairs, *drawn(space, 3)]:
        for k, gene in enumerate(space.genes):
            chain = [(*one[:k], choice, *one[k + 1 :]) for choice in range(len(gene.choices)) if gene.ordered]
            for small, large in pairwise(network_features(space.network(other)) for other in chain):
                assert all(small[name] <= large.get(name, 0) for name in small), (gene, one)


def test_a_width_that_can_take_a_convolution_away_is_not_ordered(space):
    assert [gene.name for gene in space.genes if not gene.ordered] == [
        f"{name}.width" for name in ("stem", "mb1", "mb2", "mb6")
    ]
    for name, neighbour in {"stem": {"mb1": 1}, "mb1": {"stem": 1}, "mb2": {}, "mb6": {}}.items():
        last = {"mb6": 3}.get(name, 1)  # mb2 meets the 32 of mb3 and mb6 the 216 of mb7
        small, large = (space.network(with_widths(space, **{name: w}, **neighbour)) for w in (0, last))
        assert len(large.nodes) < len(small.nodes)


def bridged(block, shape):
    net = Builder(shape)
    return net.build(net.add(block, *net.inputs, name="bridged"))


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("channels", [8, 16])
def test_the_shortcut_is_a_pool_and_a_convolution_where_they_are_needed(stride, channels):
    network = bridged(Bridged(channels, 3, 4, stride), (8, 6, 6))
    module, x = network.module().double().eval(), torch.randn(2, 8, 6, 6, dtype=torch.double)
    torch.nn.init.zeros_(module.bridged_block_project_norm.weight)  # what is left is the shortcut
    expected = avg_pool2d(x, 2) if stride == 2 else x
    expected = conv2d(expected, module.bridged_shortcut.weight) if channels == 16 else expected
    assert hasattr(module, "bridged_pool") == (stride == 2)
    assert hasattr(module, "bridged_shortcut") == (channels == 16)
    torch.testing.assert_close(module(x), expected)


@pytest.mark.parametrize(
    "block", [Bridged(16, 5, 6, 2, True), Bridged(8, 3, 4, 2), Bridged(16, 3, 1), Bridged(8, 3, 1)], ids=repr
)
@pytest.mark.parametrize("shape", [(8, 12, 12), (8, 7, 7), (8, 6, 9), (8, 1, 1)], ids=str)
def test_a_block_agrees_with_its_module(block, shape):
    network = bridged(block, shape)
    with torch.device("meta"), FlopCounterMode(display=False) as counter:
        module = network.module()
        out = module(torch.empty(2, *shape))
    assert out.shape == (2, *network.out_shape)
    assert sum(map(torch.numel, module.parameters())) == network.params
    assert counter.get_total_flops() == 2 * 2 * network.macs


def test_resolution_is_a_gene_only_where_it_is_asked_for(space):
    rest = genome(space, *NETWORKS[3][:5])[1:]
    for choice, size in enumerate((192, 224, 256, 288)):
        alone = registry.create("spaces", f"attentivenas:resolution={size}")
        assert space.network((choice, *rest)) == alone.network(rest)
    reduced = space.reduced(Fidelity(size=64))
    assert [reduced.network((k, *rest)).input_shapes[0][1] for k in range(4)] == [43, 50, 57, 64]
    assert all(reduced.network((k, *rest)).out_shape == (1000,) for k in range(4))


@pytest.mark.parametrize(
    "options", ["resolution=16", "resolution=230", "resolutions=224,192", "resolutions=192,200", "classes=0"]
)
def test_an_option_that_makes_no_network_is_refused(options):
    with pytest.raises(BadOption):
        registry.create("spaces", f"attentivenas:{options}")

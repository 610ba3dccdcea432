"""Known answers about the space of MnasNet."""

from itertools import pairwise, product
from math import prod

import pytest
import torch
from torch.nn.functional import avg_pool2d

from nasctl import registry
from nasctl.api import BadOption, Builder, Fidelity
from nasctl.hardware.fitting.operators import network_features
from nasctl.spaces.mnasnet import OPERATIONS, SKIPS, Searched
from nasctl.testing import drawn

STRIDES = (1, 2, 2, 2, 1, 2, 1)
SPECS = ("mnasnet", "mnasnet:reference=mnasnet_a1")
FIRST = ("sepconv", 3, 0.0, "none", 16, 1)
# The blocks of `mnasnet_a1` in mnasnet_models.py of github.com/tensorflow/tpu, and those of MobileNetV2 (table 2).
MNASNET_A1 = [
    FIRST,
    ("mbconv6", 3, 0.0, "identity", 24, 2),
    ("mbconv3", 5, 0.25, "identity", 40, 3),
    ("mbconv6", 3, 0.0, "identity", 80, 4),
    ("mbconv6", 3, 0.25, "identity", 112, 2),
    ("mbconv6", 5, 0.25, "identity", 160, 3),
    ("mbconv6", 3, 0.0, "identity", 320, 1),
]
REST = ((24, 2), (32, 3), (64, 4), (96, 3), (160, 3), (320, 1))
MOBILENET_V2 = [FIRST, *(("mbconv6", 3, 0.0, "identity", channels, layers) for channels, layers in REST)]


@pytest.fixture(scope="module", params=SPECS)
def space(request):
    return registry.create("spaces", request.param)


def blocks(space, genome):
    """The choices of each block: operation, kernel, gate, skip, channels, layers."""
    values = [gene.choices[choice] for gene, choice in zip(space.genes, genome, strict=True)]
    return [tuple(values[k : k + 6]) for k in range(0, len(values), 6)]


def genome(space, blocks):
    values = [value for block in blocks for value in block]
    return tuple(gene.choices.index(value) for gene, value in zip(space.genes, values, strict=True))


@pytest.mark.parametrize(
    ("spec", "given", "params", "macs"),
    [
        (SPECS[1], MNASNET_A1, 3_887_038, 311_579_072),  # the paper's table 1: 3.9 and 312 million
        (SPECS[0], MOBILENET_V2, 3_504_872, 300_774_272),  # parameters are torchvision's
    ],
    ids=["MnasNet-A1", "MobileNetV2"],
)
def test_published_networks(spec, given, params, macs):
    space = registry.create("spaces", spec)
    network = space.network(genome(space, given))
    assert (network.params, network.macs) == (params, macs)


def counted(blocks):
    """Parameters and MACs by a formula for each layer."""
    h, c = 112, 32
    params, macs = 29 * c, 27 * c * h**2
    for (operation, kernel, ratio, _, out, layers), stride in zip(blocks, STRIDES, strict=True):
        for place in range(layers):
            to = h if place else h // stride
            wide = {"conv": out, "sepconv": c, "mbconv3": 3 * c, "mbconv6": 6 * c}[operation]
            if operation == "conv":
                inner, norms = kernel**2 * c * out, out
            else:
                inner, norms = wide * (kernel**2 + out), wide + out + wide * (wide > c)
            outer = c * wide if operation.startswith("mbconv") else 0
            gate = 2 * wide * (c // 4) if ratio else 0
            params += inner + outer + 2 * norms + gate + (c // 4 + wide if ratio else 0)
            macs += inner * to**2 + outer * h**2 + gate
            h, c = to, out
    return params + 1280 * (c + 2) + 1281 * 1000, macs + 1280 * c * h**2 + 1280 * 1000


def test_every_network_costs_what_a_formula_counts(space):
    for one in drawn(space, 80):
        network = space.network(one)
        assert (network.params, network.macs) == counted(blocks(space, one))


def test_the_choices_are_those_of_the_paper(space):
    sizes = [prod(len(gene.choices) for gene in space.genes[k : k + 6]) for k in range(0, 42, 6)]
    assert sizes == [288, 432, 432, 432, 432, 432, 288]  # S = 432 in section 4.1; one layer has no fewer
    values = {gene.name: gene.choices for gene in space.genes}
    middle = {40: (30, 40, 50), 32: (24, 32, 40)}[values["block3.channels"][1]]
    assert values["block3.channels"] == middle
    assert (values["block1.layers"], values["block4.layers"]) == ((1, 2), (3, 4, 5))
    assert (112 in values["block5.channels"]) == (middle[1] == 40)


def test_a_skip_that_goes_nowhere_is_none(space):
    # Equal channels before and behind are rare, so blocks 2 and 3 get them; blocks of one layer, too.
    value = {gene.name: gene.choices for gene in space.genes}
    same = set(value["block2.channels"]) & set(value["block3.channels"])
    for channels, skip, layers in product((*same, 40), SKIPS, (2, 3)):
        given = blocks(space, drawn(space, 1)[0])
        given[0] = (*given[0][:3], skip, given[0][4], 1)
        given[1] = (*given[1][:3], skip, max(same), 1)
        given[2] = (*given[2][:3], skip, channels, layers)
        one = genome(space, given)
        found = blocks(space, space.canonical(one))
        assert [block[3] for block in found[:3]] == ["none", "none", skip]
        assert space.network(one) == space.network(space.canonical(one))
    for one in drawn(space, 100):
        assert space.network(one) == space.network(space.canonical(one))


def test_no_other_choice_is_redundant(space):
    for one in map(space.canonical, drawn(space, 5)):
        for k, gene in enumerate(space.genes):
            others = {space.canonical((*one[:k], c, *one[k + 1 :])) for c in range(len(gene.choices))}
            assert len({tuple(span.emission.key for span in space.network(other).spans) for other in others}) == len(
                others
            ), gene.name


def test_a_skip_is_added_where_channels_are_the_same(space):
    for one in drawn(space, 50):
        found = {node.name for node in space.network(one).nodes}
        before = 32
        for k, ((*_, skip, channels, layers), stride) in enumerate(zip(blocks(space, one), STRIDES, strict=True), 1):
            added = [f"block{k}.{place}.add" in found for place in range(layers)]
            first = channels == before and (skip == "pool" or (skip == "identity" and stride == 1))
            assert added == [first, *[skip != "none"] * (layers - 1)]
            before = channels


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize(("skip", "stride"), [("none", 1), ("identity", 1), ("pool", 1), ("pool", 2)])
def test_a_skip_is_the_input_or_its_means(operation, skip, stride):
    x = torch.randn(2, 8, 6, 6, dtype=torch.double)
    net = Builder((8, 6, 6))
    layer = Searched(operation, 8, 3, stride, True, skip)
    module = net.build(net.add(layer, *net.inputs, name="layer")).module().double().eval()
    norms = [part for part in module.modules() if isinstance(part, torch.nn.BatchNorm2d)]
    torch.nn.init.zeros_(norms[-1].weight)  # what is left is the skip
    pooled = avg_pool2d(x, 3, stride, 1, count_include_pad=False)
    torch.testing.assert_close(module(x), {"none": torch.zeros_like(x), "identity": x, "pool": pooled}[skip])


def test_an_ordered_gene_takes_nothing_away(space):
    assert {gene.name.partition(".")[2] for gene in space.genes if gene.ordered} == {"kernel", "se", "layers"}
    for one in drawn(space, 5):
        for k, gene in enumerate(space.genes):
            chain = [(*one[:k], choice, *one[k + 1 :]) for choice in range(len(gene.choices)) if gene.ordered]
            for small, large in pairwise(network_features(space.network(other)) for other in chain):
                assert all(small[name] <= large.get(name, 0) for name in small), (gene, one)


@pytest.mark.parametrize("options", ["resolution=31", "resolution=5000", "classes=0", "reference=resnet"])
def test_an_option_that_makes_no_network_is_refused(options):
    with pytest.raises(BadOption, match="mnasnet"):
        registry.create("spaces", f"mnasnet:{options}")


def test_reduced_has_smaller_images():
    space, other = (registry.create("spaces", spec) for spec in ("mnasnet", "mnasnet:resolution=96"))
    small = space.reduced(Fidelity(size=96))
    assert all(small.network(one) == other.network(one) for one in drawn(space, 5))
    assert space.reduced(Fidelity(size=8)).input.shape == (3, 32, 32)

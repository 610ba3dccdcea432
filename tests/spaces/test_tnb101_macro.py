"""Known answers about the skeletons of TransNAS-Bench-101."""

from itertools import product

import pytest
import torch
from torch.nn.functional import batch_norm, conv2d

from nasctl import registry
from nasctl.api import BadOption, Builder, Fidelity
from nasctl.spaces.tnb101_macro import Residual
from nasctl.testing import drawn

# The benchmark's networks: 4 to 6 modules, 1 to 3 of them twice the channels, 1 to 4 of them half the size.
STRINGS = {
    f"64-{''.join(codes)}-basic"
    for length in (4, 5, 6)
    for codes in product("1234", repeat=length)
    if 1 <= sum(code in "24" for code in codes) <= 3 and 1 <= sum(code in "34" for code in codes) <= 4
}


@pytest.fixture(scope="module")
def space():
    return registry.create("spaces", "tnb101_macro")


@pytest.fixture(scope="module")
def classes(space):
    """Every genome, by the one that stands for it."""
    found = {}
    for genome in product(*(range(len(gene.choices)) for gene in space.genes)):
        found.setdefault(space.canonical(genome), []).append(genome)
    return found


def test_parameters_are_those_of_the_benchmarks_code():
    # Its classifier of scenes with the 63 classes that NASLib gives it; the benchmark's own configuration has 47.
    space = registry.create("spaces", "tnb101_macro:classes=63")
    assert space.network(space.parse("64-1242-basic")).params == 11_218_783


def test_the_genomes_stand_for_the_benchmarks_3256_strings(space, classes):
    spelled = {genome: space.spell(genome) for genome in classes}
    assert len(spelled) == len(STRINGS) == 3_256
    assert set(spelled.values()) == STRINGS
    lengths = [sum(len(text.split("-")[1]) == length for text in STRINGS) for length in (4, 5, 6)]
    assert lengths == [210, 750, 2_296]
    assert all(space.canonical(genome) == genome == space.parse(text) for genome, text in spelled.items())


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        ((0, 0, 0, 0, 0, 0), "64-1114-basic"),  # the last module does what none does
        ((1, 1, 1, 1, 0, 0), "64-2223-basic"),  # no fourth doubling
        ((2, 3, 2, 2, 4, 4), "64-343322-basic"),  # no fifth halving
        ((0, 1, 2, 0, 0, 3), "64-12313-basic"),  # no module in place of the fifth
    ],
)
def test_a_genome_that_breaks_a_rule_is_mended(space, raw, text):
    assert space.spell(raw) == space.spell(space.canonical(raw)) == text


def test_networks_of_a_class_are_one(space, classes):
    for genome, many in list(classes.items())[::50]:
        assert all(space.network(raw) == space.network(genome) for raw in many)


def test_costs_are_what_a_formula_counts(space, classes):
    for genome in list(classes)[::20]:
        size, channels = 64, 64
        params, macs = 27 * 32 + 64 + 9 * 32 * 64 + 128, 27 * 32 * 128**2 + 9 * 32 * 64 * 64**2
        for code in space.spell(genome).split("-")[1]:
            out, size = channels * (2 if code in "24" else 1), size // (2 if code in "34" else 1)
            weights = 9 * channels * out + 27 * out * out + (channels * out if code != "1" else 0)
            params += weights + 2 * out * (4 if code == "1" else 5)
            macs += weights * size**2
            channels = out
        network = space.network(genome)
        assert (network.params, network.macs) == (params + (channels + 1) * 47, macs + channels * 47)


def test_the_smallest_and_the_largest(space, classes):
    networks = [space.network(genome) for genome in classes]
    for costs, ends in (
        ([network.params for network in networks], (995_023, 40_175_951)),
        ([network.macs for network in networks], (301_733_760, 132_428_357_120)),
    ):
        assert (min(costs), max(costs)) == ends


@pytest.mark.parametrize(("channels", "stride", "size"), [(8, 1, 6), (16, 1, 6), (8, 2, 6), (16, 2, 7), (8, 2, 1)])
def test_a_block_computes_what_the_benchmarks_code_computes(channels, stride, size):
    net = Builder((8, size, size))
    module = net.build(net.add(Residual(channels, stride), *net.inputs, name="block")).module()
    x, weights = torch.randn(4, 8, size, size), dict(module.named_parameters())

    def layer(x, name, stride=1):
        weight = weights[f"block_{name}_conv.weight"]
        return batch_norm(conv2d(x, weight, None, stride, weight.shape[-1] // 2), None, None, training=True)

    expected = layer(layer(x.relu(), "conv_a", stride).relu(), "conv_b")
    expected = expected + (x if (channels, stride) == (8, 1) else layer(x, "shortcut", stride))
    torch.testing.assert_close(module(x), expected)


def test_reads_no_string_of_another_network(space):
    for text in (
        "",
        "64-1111-basic",
        "64-2222-basic",
        "64-33333-basic",
        "64-124-basic",
        "64-1242121-basic",
        "64-1250-basic",
        "32-1242-basic",
        "64-1242-basic\n",
        "64-124\u0662-basic",
        "64-41414-1_02_333",
    ):
        assert space.parse(text) is None
    narrow = registry.create("spaces", "tnb101_macro:channels=32")
    assert narrow.spell(narrow.parse("32-1242-basic")) == "32-1242-basic"


@pytest.mark.parametrize("options", ["channels=3", "channels=0", "classes=0", "resolution=31"])
def test_an_option_that_makes_no_network_is_refused(options):
    with pytest.raises(BadOption, match="tnb101_macro"):
        registry.create("spaces", f"tnb101_macro:{options}")


def test_reduced_has_fewer_blocks_and_smaller_images(space):
    for genome in drawn(space, 5):
        whole, small = space.network(genome), space.reduced(Fidelity(size=64, cells=1)).network(genome)
        assert small.input_shapes == ((3, 64, 64),)
        names = [span.name for span in whole.spans if not span.name.endswith(".1") or span.name == "stem.1"]
        assert [span.name for span in small.spans] == names
    assert space.reduced(Fidelity(size=64)).network(genome) == registry.create(
        "spaces", "tnb101_macro:resolution=64"
    ).network(genome)

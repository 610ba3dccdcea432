"""Known answers about the HyTra space: how many networks it has, BossNet-T, a formula for each layer, its attention."""

from itertools import product

import pytest
import torch
from torch.nn.functional import conv2d, scaled_dot_product_attention

from nasctl import registry
from nasctl.api import BadOption, Builder, Fidelity, InvalidGenome
from nasctl.spaces.hytra import Heads, Squares
from nasctl.testing import drawn

BOSSNET = (
    "5433323000100000"  # [[1], [1], [1, 1, 1, 0, 1], [0, 0, 0, 1, 0, 0, 0, 0, 0]] in retraining_hytra/boss_models.py
)


@pytest.fixture(scope="module")
def space():
    return registry.create("spaces", "hytra")


@pytest.mark.parametrize(
    ("options", "printed"),  # billions of MACs in the README of github.com/changlin31/BossNAS
    [
        ("se=off", 3.4),
        ("se=on", 3.4),
        ("resolution=288", 5.7),
        ("last_stride=1", 7.9),
        ("last_stride=1,resolution=256", 10.5),
    ],
    ids=["T0 without SE", "T0", "T0^", "T1", "T1^"],
)
def test_published_networks(options, printed):
    space = registry.create("spaces", f"hytra:{options}")
    assert round(space.network(space.parse(BOSSNET)).macs / 1e9, 1) == printed


@pytest.mark.slow  # asks for the canonical form of 131,072 genomes
@pytest.mark.parametrize(
    ("options", "sequences", "networks"), [("limited=off", 714, 2_818_103), ("limited=on", 337, 2_777_600)]
)
def test_the_number_of_networks(options, sequences, networks):
    # Attention everywhere: what is left of it in the canonical genome are the layers that have a choice.
    space = registry.create("spaces", f"hytra:{options}")
    found = {}
    for steps in product(range(4), *[range(2)] * 15):
        canonical = space.canonical(tuple(choice for step in steps for choice in (step, 1)))
        found[canonical[::2]] = sum(canonical[1::2])
    assert len(found) == sequences
    assert sum(2**choices for choices in found.values()) == networks


def counted(code, resolution=224, se=True, last_stride=2, classes=1000):
    """Parameters and MACs by a formula for each layer, from a code."""
    h, c, before = resolution // 4, 64, 0
    params, macs = 147 * 64 + 128, 147 * 64 * (2 * h) ** 2
    for k, digit in enumerate(code):
        scale = {"5": 0, "4": 1, "3": 2, "2": 2, "1": 3, "0": 3}[digit]
        m, stride = 64 * 2**scale, 1
        if scale > before and not k:
            cut = 2**scale if last_stride == 2 else min(4, 2**scale)
            h //= cut
            params, macs, c = params + c * cut**2 + c * m + 2 * m, macs + h**2 * c * (cut**2 + m), m
        elif scale > before:
            stride = last_stride if scale == 3 else 2
        macs += h**2 * c * m  # the first convolution sees the maps before the stride
        h, before = h // stride, scale
        params += c * m + 10 * m + 2 * m + 2 * m + 4 * m**2 + 8 * m
        macs += h**2 * (9 * m + 4 * m**2)
        if digit in "02":
            params, macs = params + 3 * m**2, macs + 3 * h**2 * m**2 + 2 * h**4 * m
        else:
            params, macs = params + 9 * m**2, macs + 9 * h**2 * m**2
            if se:
                params, macs = params + 2 * m**2 + m // 4 + 4 * m, macs + 2 * m**2
        if c != 4 * m:
            params, macs = params + 4 * c * m + 8 * m, macs + 4 * h**2 * c * m
        c = 4 * m
    for _ in range(before, 3):
        h //= 2
        params, macs, c = params + 18 * c**2 + 4 * c, macs + 18 * h**2 * c**2, 2 * c
    return params + c * classes + classes, macs + c * classes


@pytest.mark.parametrize("given", [{}, {"resolution": 96, "se": False}, {"last_stride": 1}, {"classes": 10}], ids=str)
def test_every_network_costs_what_a_formula_counts(given):
    space = registry.create("spaces", "hytra:" + ",".join(f"{k}={str(v).lower()}" for k, v in given.items()))
    genomes = [space.parse(code) for code in (BOSSNET, "5" * 16, "4" * 16, "2" * 16, "0" * 16, "5554444444444443")]
    for genome in genomes + drawn(space, 40):
        network = space.network(genome)
        assert (network.params, network.macs) == counted(space.spell(genome), **given)


def test_the_code_is_that_of_the_supernet(space):
    genome = space.parse(BOSSNET)
    named = dict(zip([gene.name for gene in space.genes], genome, strict=True))
    assert [k for k in range(2, 17) if named[f"layer{k}.down"]] == [2, 3, 8]
    assert [k for k in range(1, 17) if named[f"layer{k}.operation"]] == [6, 8, 9, 10, 12, 13, 14, 15, 16]
    for one in drawn(space, 100):
        assert space.parse(space.spell(one)) == space.canonical(one)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "5" * 15,
        "5" * 17,
        "6" + "5" * 15,
        "5555555555555553",
        "3333333333333335",
        "\N{FULLWIDTH DIGIT FIVE}" * 16,
        "5" * 16 + "\n",
    ],
)
def test_what_is_no_code_is_none(space, text):
    assert space.parse(text) is None


def test_what_is_no_choice_makes_no_difference(space):
    for one in drawn(space, 30):
        assert space.network(space.canonical(one)) == space.network(one)
    assert space.canonical((3, 1) + (1, 0) * 15) == (3, 1) + (0, 0) * 15  # no step below the last scale
    assert space.canonical((0, 1) + (0, 1) * 15) == (0,) * 32  # no attention at the first
    with pytest.raises(InvalidGenome):
        space.canonical((4,) + (0,) * 31)


def test_the_supernet_limits_the_scales_of_its_blocks(space):
    limited = registry.create("spaces", "hytra:limited=on")
    assert limited.spell((0,) * 32) == "5555444433333333"
    assert limited.canonical((0,) * 8 + (1,) + (0,) * 23) == (0,) * 32  # that step has to be
    assert limited.parse("5" * 16) is None
    assert space.parse("5" * 16) is not None
    assert limited.parse(BOSSNET) == space.parse(BOSSNET)


def built(what, shape):
    net = Builder(shape)
    network = net.build(net.add(what, *net.inputs, name="a"))
    return network, network.module().double(), torch.randn(2, *shape, dtype=torch.double)


def test_attention_is_between_all_places_of_a_map():
    network, module, x = built(Heads(128), (128, 3, 4))
    places = x.flatten(2).transpose(1, 2)
    projected = (places @ getattr(module, f"a_{name}").weight.T for name in ("query", "key", "value"))
    heads = [value.view(2, 12, 2, 64).transpose(1, 2) for value in projected]
    expected = scaled_dot_product_attention(*heads).permute(0, 1, 3, 2).reshape(2, 128, 3, 4)
    torch.testing.assert_close(module(x), expected)
    assert network.out_shape == (128, 3, 4)


@pytest.mark.parametrize("size", [2, 4, 8])
def test_squares_neither_overlap_nor_are_padded(size):
    network, module, x = built(Squares(size), (3, 16, 16))
    torch.testing.assert_close(module(x), conv2d(x, module.a.weight, stride=size, groups=3))
    assert network.out_shape == (3, 16 // size, 16 // size)


def test_maps_are_as_small_as_the_code_says(space):
    for code in (BOSSNET, "0" * 16, "4" * 16, "5554444444444443"):
        network = space.network(space.parse(code))
        ends = {span.name: span.emission.out_shape for span in network.spans}
        for k, digit in enumerate(code, start=1):
            size = {"5": 56, "4": 28, "3": 14, "2": 14, "1": 7, "0": 7}[digit]
            assert ends[f"layer{k}"] == (256 * 56 // size, size, size)
        assert [shape for name, shape in ends.items() if name.startswith("rest")][-1:] in ([], [(2048, 7, 7)])
        assert network.out_shape == (1000,)


def test_reduced_has_smaller_images(space):
    small, other = space.reduced(Fidelity(size=100)), registry.create("spaces", "hytra:resolution=96")
    assert all(small.network(genome) == other.network(genome) for genome in drawn(space, 5))
    assert space.reduced(Fidelity(size=8)).input.shape == (3, 32, 32)


@pytest.mark.parametrize("options", ["resolution=100", "resolution=16", "classes=0", "last_stride=3"])
def test_an_option_that_makes_no_network_is_refused(options):
    with pytest.raises(BadOption):
        registry.create("spaces", f"hytra:{options}")

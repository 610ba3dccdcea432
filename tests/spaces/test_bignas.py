"""Known answers about the space of BigNAS; its blocks are those of AttentiveNAS, which has tests of its own."""

from itertools import pairwise
from math import prod

import pytest

from nasctl import registry
from nasctl.api import BadOption, Fidelity, make_divisible
from nasctl.hardware.fitting.operators import network_features
from nasctl.testing import drawn

STRIDES = (1, 2, 2, 2, 1, 2, 1)


@pytest.fixture(scope="module")
def space():
    return registry.create("spaces", "bignas:resolutions=192,224,288,320")


def ends(space):
    return (0,) * len(space.genes), tuple(len(gene.choices) - 1 for gene in space.genes)


def test_the_smallest_and_the_largest(space):
    costs = [(network.macs, network.params) for network in map(space.network, ends(space))]
    assert costs == [(219_382_144, 5_595_032), (1_899_778_560, 19_255_096)]


def counted(space, genome):
    """Parameters and MACs by a formula for each layer; the shortcuts of blocks that change channels included."""
    value = {"mb1.kernel": 3, "mb2.kernel": 3}
    value |= {gene.name: gene.choices[choice] for gene, choice in zip(space.genes, genome, strict=True)}
    h, c = value["resolution"] // 2, value["stem.width"]
    params, macs = 29 * c, 27 * c * h**2
    for k, stride in enumerate(STRIDES, 1):
        for place in range(value[f"mb{k}.depth"]):
            out, area = value[f"mb{k}.width"], value[f"mb{k}.kernel"] ** 2
            wide = c if k == 1 else 6 * c
            few = make_divisible(wide // 4)
            to = h if place else h // stride
            mixing = wide * out + c * out * (c != out)
            params += wide * area + mixing + 2 * wide + 2 * out + 2 * wide * few + few + wide
            macs += to**2 * (wide * area + mixing) + 2 * wide * few
            if k > 1:
                params += c * wide + 2 * wide
                macs += h**2 * c * wide
            h, c = to, out
    last = value["last.width"]
    return params + c * last + 2 * last + last * 1000 + 1000, macs + c * last * h**2 + last * 1000


def test_every_network_costs_what_a_formula_counts(space):
    for genome in [*ends(space), *drawn(space, 60)]:
        network = space.network(genome)
        assert (network.params, network.macs) == counted(space, genome)


def test_what_is_always_the_same_is_no_gene(space):
    assert prod(len(gene.choices) for gene in space.genes[1:]) == 58_982_400
    names = [gene.name for gene in space.genes]
    assert [f"mb{k}.kernel" for k in range(3, 8)] == [name for name in names if name.endswith("kernel")]
    assert not any(name.endswith("expand") for name in names)


def test_an_ordered_gene_takes_nothing_away(space):
    assert [gene.name for gene in space.genes if not gene.ordered] == ["mb1.width"]  # 24 is a width of mb2 too
    for genome in [*ends(space), *drawn(space, 5)]:
        for k, gene in enumerate(space.genes):
            chain = [(*genome[:k], choice, *genome[k + 1 :]) for choice in range(len(gene.choices)) if gene.ordered]
            for small, large in pairwise(network_features(space.network(other)) for other in chain):
                assert all(small[name] <= large.get(name, 0) for name in small), (gene, genome)


def test_a_resolution_alone_is_no_gene(space):
    rest = drawn(space, 1)[0][1:]
    assert space.network((2, *rest)) == registry.create("spaces", "bignas:resolution=288").network(rest)
    reduced = space.reduced(Fidelity(size=64))
    assert [reduced.network((k, *rest)).input_shapes[0][1] for k in range(4)] == [38, 45, 58, 64]


@pytest.mark.parametrize("options", ["resolution=16", "resolution=230", "resolutions=224,192", "classes=0"])
def test_an_option_that_makes_no_network_is_refused(options):
    with pytest.raises(BadOption, match="bignas"):
        registry.create("spaces", f"bignas:{options}")

"""Known answers about the space of inverted residuals that BossNAS ranks."""

import pytest

from nasctl import registry
from nasctl.api import BadOption, Builder, Classifier, Fidelity
from nasctl.spaces.bossnas import FIRST, HEAD, LAST, STAGES, STEM, block
from nasctl.testing import drawn


@pytest.fixture(scope="module")
def space():
    return registry.create("spaces", "bossnas")


def test_efficientnet_b0_is_made_of_these_blocks():
    # 5,288,548 parameters (torchvision's count, and that of the authors of DNA); its stages have other depths.
    net = Builder((3, 224, 224))
    x = net.add(FIRST, net.add(STEM, *net.inputs, name="stem"), name="first")
    for (channels, stride, _), kernel, depth in zip(STAGES, (3, 5, 3, 5, 5), (2, 2, 3, 3, 4), strict=True):
        for place in range(depth):
            x = net.add(block(channels, kernel, 6, 1 if place else stride), x, name=f"{channels}.{place}")
    x = net.add(HEAD, net.add(LAST, x, name="last"), name="head")
    network = net.build(net.add(Classifier(1000), x, name="classifier"))
    assert (network.params, round(network.macs / 1e6, 2)) == (5_288_548, 385.81)


def counted(genome, size=224, classes=1000):
    """Parameters and MACs by a formula for each layer."""
    h, c, genes = size // 2, 32, iter(genome)
    params, macs = 29 * c, 27 * c * h**2
    for out, stride, layers in ((16, 1, 1), *STAGES, (320, 1, 1)):
        for place in range(layers):
            choice = 0 if out in (16, 320) else next(genes)
            area, wide = (9, 25)[choice % 2], c * (1 if out == 16 else (6, 3)[choice // 2])
            to = h if place else h // stride
            few = c // 4
            params += wide * (area + out + 2) + 2 * out + 2 * wide * few + few + wide
            macs += to**2 * wide * (area + out) + 2 * wide * few
            if wide > c:
                params += c * wide + 2 * wide
                macs += h**2 * c * wide
            h, c = to, out
    head = 1280 * (c + 2) + 1281 * classes
    return params + head, macs + 1280 * c * h**2 + 1280 * classes


@pytest.mark.parametrize(("options", "size", "classes"), [("", 224, 1000), (":resolution=96,classes=7", 96, 7)])
def test_costs_are_what_a_formula_counts(options, size, classes):
    space = registry.create("spaces", f"bossnas{options}")
    for genome in [(1,) * 18, (2,) * 18, *drawn(space, 40)]:
        network = space.network(genome)
        assert (network.params, network.macs) == counted(genome, size, classes)


def test_smallest_and_largest(space):
    costs = [(network.params, network.macs) for network in (space.network((k,) * 18) for k in (2, 1))]
    assert costs == [(3_979_720, 261_966_448), (5_693_320, 491_401_312)]


def test_a_shortcut_stands_only_where_the_shape_is_kept(space):
    nodes = space.network((0,) * 18).nodes
    added = {node.name.removesuffix(".add") for node in nodes if node.name.endswith(".add")}
    assert added == {gene.name for gene in space.genes if not gene.name.endswith(".0")}


def test_reads_and_writes_the_authors_lists(space):
    best = "[11][1111][1101][1011][1101]"
    assert space.parse(best) == (1, 1, 1, 1, 1, 1, 1, 1, 0, 1, 1, 0, 1, 1, 1, 1, 0, 1)
    assert all(space.parse(space.spell(genome)) == genome for genome in drawn(space, 50))
    for text in (
        "",
        best[:-1],
        f"{best}[1]",
        f" {best}",
        f"{best}\n",
        best.replace("1", "4"),
        best.replace("1", "\u0661"),
    ):
        assert space.parse(text) is None


@pytest.mark.parametrize("options", ["resolution=31", "resolution=5000", "classes=0"])
def test_an_option_that_makes_no_network_is_refused(options):
    with pytest.raises(BadOption, match="bossnas"):
        registry.create("spaces", f"bossnas:{options}")


def test_reduced_has_smaller_images(space):
    small, other = space.reduced(Fidelity(size=96)), registry.create("spaces", "bossnas:resolution=96")
    assert all(small.network(genome) == other.network(genome) for genome in drawn(space, 5))
    assert space.reduced(Fidelity(size=8)).input.shape == (3, 32, 32)
